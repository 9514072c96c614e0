"""What a person is told when git or DVC fails: the reason, and not the advice after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.versions.git_calls import failure

LOCKED = """\
fatal: Unable to create '/d/.git/refs/tags/v0007.lock': File exists.

Another git process seems to be running in this repository, e.g.
an editor opened by 'git commit'. Please make sure all processes
are terminated then try again. If it still fails, a git process
may have crashed in this repository earlier:
remove the file manually to continue.
"""
NO_RIGHTS = """\
git@hub.example: Permission denied (publickey).
fatal: Could not read from remote repository.

Please make sure you have the correct access rights
and the repository exists.
"""
REFUSED = """\
remote: not today
To /srv/hub.git
 ! [remote rejected] main -> main (pre-receive hook declined)
error: failed to push some refs to '/srv/hub.git'
hint: See the 'Note about fast-forwards' for details.
"""
TRACEBACK = """\
Traceback (most recent call last):
  File "dvc_shards.py", line 1, in <module>
dvc.exceptions.DvcException: not every image could be pushed to the remote
"""


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (LOCKED, "Unable to create '/d/.git/refs/tags/v0007.lock': File exists"),
        (NO_RIGHTS, "git@hub.example: Permission denied (publickey)"),
        (REFUSED, "! [remote rejected] main -> main (pre-receive hook declined)"),
        (TRACEBACK, "not every image could be pushed to the remote"),
        ("", "it was killed"),
    ],
    ids=["locked", "no-rights", "refused", "traceback", "silent"],
)
def test_a_failure_is_told_by_its_reason(tmp_path: Path, said: str, reason: str) -> None:
    assert str(failure("git push", said, tmp_path)) == f"git push failed in {tmp_path}: {reason}."

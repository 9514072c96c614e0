"""The git remote of a dataset repository: take over what came, push what was committed.

Nothing here decides whether a version exists. A remote that is down or refuses costs a sentence,
and the next push brings everything that is missing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from data.atomic import write_file
from data.errors import VersionError
from data.versions.attempt import NO_VERSION, PROPOSED, attempt
from data.versions.git_calls import Git

NAME = "origin"
PUSHED = "refs/carpal/pushed"
"""What the remote has taken: its tags leave no trace here otherwise."""
_REASON = ".git/carpal-unpushed.txt"
_SCP_LIKE = re.compile(r"[\w.@-]+:")


@dataclass(frozen=True, slots=True)
class GitRemote:
    """A remote and the branch that versions are committed on.

    Attributes:
        git: The repository.
        url: URL or folder; empty: there is no remote.
        branch: The branch.
    """

    git: Git
    url: str
    branch: str

    def fetch(self) -> str:
        """Looks at the remote.

        Returns:
            Why that was not possible; empty: it was, or there is no remote.
        """
        if not self.url:
            return ""
        self._configure()
        try:
            self.git.call_remote("fetch", "--quiet", "--prune", "--no-tags", NAME)
        except VersionError as error:
            return str(error)
        return ""

    def fast_forward(self) -> None:
        """Moves the work tree to what the remote's branch has in addition.

        The work tree must be clean, and on the branch.

        Raises:
            VersionError: Both have commits that the other lacks.
        """
        ours, theirs = self._apart()
        if ours and theirs:
            root = self.git.root
            raise VersionError(
                f"{self.branch} in {root} and in the git remote {self.shown} have gone different "
                f"ways: unite them with `git -C {root} merge {NAME}/{self.branch}`."
            )
        if theirs:
            with attempt(self.git, NO_VERSION):
                self.git.run("merge", "--quiet", "--ff-only", f"{NAME}/{self.branch}")

    def push(self, versions: Sequence[str]) -> str:
        """Pushes the branch and those of these versions that the remote lacks, all or nothing.

        Returns:
            Why that was not possible; empty: it was, or there is no remote.
        """
        if not self.url:
            return ""
        self._configure()
        tags = self._lacking(versions)
        ours, _ = self._apart()
        if not tags and not ours:
            return ""
        branch = f"refs/heads/{self.branch}"
        reason = self._push("--atomic", f"{branch}:{branch}", *(f"{ref}:{ref}" for ref in tags))
        if reason:
            self.postpone(reason)
            return reason
        self._note({f"{PUSHED}/{ref.removeprefix('refs/tags/')}": tags[ref] for ref in tags})
        (self.git.root / _REASON).unlink(missing_ok=True)
        return ""

    def postpone(self, reason: str) -> None:
        """Notes why nothing is pushed now, for `unpushed`."""
        write_file(self.git.root / _REASON, reason.encode())

    def push_proposal(self, name: str) -> str:
        """Pushes the branch of a proposal; returns why not, if not."""
        if not self.url or self.has_taken_proposal(name):
            return ""
        self._configure()
        commit = self.git.run("rev-parse", f"{PROPOSED}/{name}").strip()
        reason = self._push(f"+{PROPOSED}/{name}:refs/heads/proposals/{name}")
        if not reason:
            self._note({f"{PUSHED}/proposals/{name}": commit})
        return reason

    def lacks_proposal(self, name: str) -> str:
        """Says that the remote lacks a proposal; empty: it has it, or there is no remote."""
        if not self.url or self.has_taken_proposal(name):
            return ""
        return f"proposals/{name} is not in the git remote {self.shown} yet."

    def remove_proposal(self, name: str) -> None:
        """Removes the branch of a proposal that is closed; if that fails, people can do it."""
        if self.url and self.git.ask("rev-parse", "--verify", self.seen_proposal(name)):
            self._push("--delete", f"refs/heads/proposals/{name}")

    def has_taken(self, version: str) -> bool:
        """Says whether the remote has this version, as far as it is known here."""
        refs = (f"{PUSHED}/{version}", f"refs/tags/{version}")
        found = [self.git.ask("rev-parse", "--quiet", "--verify", ref) for ref in refs]
        return found[0] != "" and found[0] == found[1] and self._is_configured()

    def has_taken_proposal(self, name: str) -> bool:
        """Says whether the remote got this proposal once."""
        refs = (f"{PUSHED}/proposals/{name}", f"{PROPOSED}/{name}")
        found = [self.git.ask("rev-parse", "--quiet", "--verify", ref) for ref in refs]
        return found[0] != "" and found[0] == found[1]

    def seen_proposal(self, name: str) -> str:
        """Returns where the last fetch put the branch of a proposal."""
        return f"refs/remotes/{NAME}/proposals/{name}"

    def unpushed(self, version: str) -> str:
        """Says why the remote lacks a version; empty: it has it, or there is no remote."""
        if not self.url or self.has_taken(version):
            return ""
        reason = ""
        with suppress(OSError):
            reason = (self.git.root / _REASON).read_text()
        return f"{version} is not in the git remote {self.shown}" + (
            f": {reason}" if reason else " yet: the next push brings it there."
        )

    @property
    def shown(self) -> str:
        """The URL without a password."""
        return re.sub(r"//[^/@]*@", "//", self.url)

    def _apart(self) -> tuple[int, int]:
        """Counts the commits that only the work tree's branch has, and only the remote's."""
        there = f"refs/remotes/{NAME}/{self.branch}"
        if not self.url or not self.git.ask("rev-parse", "--quiet", "--verify", there):
            return (1 if self.url else 0), 0
        both = ("--left-right", "--count", f"HEAD...{there}")
        ours, theirs = self.git.run("rev-list", *both).split()
        return int(ours), int(theirs)

    def _is_configured(self) -> bool:
        return self.git.ask("config", f"remote.{NAME}.url") == self.url

    def _configure(self) -> None:
        if self._is_configured():
            return
        # What another remote has taken says nothing of this one.
        known = self.git.run("for-each-ref", "--format=delete %(refname)", PUSHED)
        seen = self.git.run("for-each-ref", "--format=delete %(refname)", f"refs/remotes/{NAME}")
        self.git.run("update-ref", "--stdin", stdin=known + seen)
        self.git.run("config", f"remote.{NAME}.fetch", f"+refs/heads/*:refs/remotes/{NAME}/*")
        self.git.run("config", f"remote.{NAME}.url", self.url)

    def _push(self, *arguments: str) -> str:
        option = [part for part in arguments if part.startswith("--")]
        refs = [part for part in arguments if not part.startswith("--")]
        try:
            self.git.call_remote("push", "--quiet", *option, NAME, *refs)
        except VersionError as error:
            return str(error)
        return ""

    def _refs(self, *wanted: str) -> dict[str, str]:
        if not wanted:
            return {}
        lines = self.git.run("for-each-ref", "--format=%(refname) %(objectname)", *wanted)
        return {line.split()[0]: line.split()[1] for line in lines.splitlines()}

    def _lacking(self, versions: Sequence[str]) -> dict[str, str]:
        """Returns tag -> object of those versions that the remote lacks, as `has_taken` knows."""
        taken = self._refs(PUSHED)
        return {
            tag: target
            for tag, target in self._refs(*(f"refs/tags/{name}" for name in versions)).items()
            if taken.get(f"{PUSHED}/{tag.removeprefix('refs/tags/')}") != target
        }

    def _note(self, refs: dict[str, str]) -> None:
        lines = "".join(f"update {ref} {target}\n" for ref, target in refs.items())
        self.git.run("update-ref", "--stdin", stdin=lines)


def remote_address(remote: str) -> str:
    """Returns a remote as git takes it from any folder: a folder becomes absolute."""
    if not remote or "://" in remote or (_SCP_LIKE.match(remote) and not Path(remote).exists()):
        return remote
    return str(Path(remote).expanduser().resolve())

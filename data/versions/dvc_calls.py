"""Run the program `dvc_shards.py`, which knows DVC, while this process goes on."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import VersionError
from data.versions.git_calls import failure, isolated_environment

_PROGRAM = Path(__file__).with_name("dvc_shards.py")


@contextmanager
def dvc_at_work(root: Path, *arguments: str, kept_open: Collection[int] = ()) -> Iterator[None]:
    """Starts the program, and waits for it at the end of the block.

    If the block raises, the program is ended first: whoever undoes what the block did is alone.

    Args:
        root: The repository.
        arguments: For the program; without any, nothing is started.
        kept_open: File descriptors that it inherits; see `writer_lock`.

    Raises:
        VersionError: DVC is missing or reports an error, such as a remote that does not answer.
        StorageError: The disk is full.
    """
    if not arguments:
        yield
        return
    if importlib.util.find_spec("dvc") is None:
        raise VersionError("DVC is not installed in the environment of Carpal.")
    with tempfile.TemporaryFile() as said:
        # -P: the modules beside the program must not shadow those that DVC imports.
        process = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM), str(root), *arguments],
            env=_environment(root),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            pass_fds=tuple(kept_open),
        )
        try:
            yield
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.wait():
            said.seek(0)
            raise failure("DVC", said.read().decode(errors="replace"), root)


def call_dvc(root: Path, *arguments: str, kept_open: Collection[int] = ()) -> None:
    """Runs the program to its end; see `dvc_at_work`."""
    with dvc_at_work(root, *arguments, kept_open=kept_open):
        pass


def _environment(root: Path) -> dict[str, str]:
    private = root / ".dvc" / "tmp"
    return {
        **isolated_environment(),
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": str(private / "no-user-configuration"),
        "DVC_SYSTEM_CONFIG_DIR": str(private / "no-system-configuration"),
        "DVC_SITE_CACHE_DIR": str(private / "site"),
    }

"""Dataset versions: a git + DVC repository that only ever grows.

A version exists when, and only when, its annotated tag does. Everything before the tag can be cut
off at any line: a note in `.git` says what was being done, and whoever comes next with the writer
lock either finds the tag, or puts everything back to where it was and starts over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from data.atomic import write_file
from data.domain import DatasetVersion, Example, LabelledRadiograph, Split, TaskSpec
from data.errors import NotFoundError, VersionError
from data.git_calls import Git
from data.pool import Pool, pool_path
from data.shards import (
    ShardedImage,
    call_dvc,
    make_shard,
    plan_shard,
    read_remote,
    read_shards,
    shard_files,
    shard_name,
    shard_names,
)
from data.version_attempt import attempt, is_under_way, recover
from data.version_draft import LABELS, VersionDraft, draft_version
from data.version_start import BRANCH, start_repository
from data.version_text import Row, instant, read_table, read_trailers, row_values
from data.writer_lock import writer_lock

DVC_CONFIG = ".dvc/config"
LOCK_WAIT_S = 120.0
"""A version with 10,000 new images takes 5 s on a quiet machine, without a remote far away."""

_VERSION = re.compile(r"v(\d{4,9})", re.ASCII)


class DatasetRepository:
    """The dataset repository of a workspace.

    Attributes:
        root: Its work tree.
        pool: The pool that images are linked from.
        spec: The task.
        remote: DVC remote that every version is pushed to; empty: none.
    """

    def __init__(
        self,
        root: Path,
        pool: Path,
        spec: TaskSpec,
        author: str,
        remote: str = "",
        lock_wait_s: float = LOCK_WAIT_S,
    ) -> None:
        """Opens the repository; it need not exist yet.

        Args:
            root: Its work tree.
            pool: The pool that images are linked from.
            spec: The task.
            author: `Name <address>` of the commits.
            remote: DVC remote, a folder or a URL such as `s3://bucket/path`. The next version
                after a change pushes all images to the new one.
            lock_wait_s: Longest wait for another writer, seconds.

        Raises:
            VersionError: The author is written in another form.
        """
        self.root = root.resolve()
        self.pool = pool.resolve()
        self.spec = spec
        self.remote = remote if "://" in remote or not remote else str(Path(remote).resolve())
        self._author = author
        self._lock_wait_s = lock_wait_s
        self._git = Git(self.root, author)

    def initialise(self) -> None:
        """Makes the repository, wholly or not at all; does nothing if it exists.

        Raises:
            VersionError: The folder holds something else, or git or DVC is missing.
            StorageError: The disk is full.
        """
        if not self._exists():
            with writer_lock(self._lock_file, self._lock_wait_s) as lock:
                if not self._exists():
                    start_repository(self.root, self._author, lock)

    def versions(self) -> list[str]:
        """Returns the names of all versions, oldest first."""
        names = self._git.run("tag", "--list", "v*").split() if self._exists() else []
        return sorted((n for n in names if _VERSION.fullmatch(n)), key=lambda name: int(name[1:]))

    def latest(self) -> str | None:
        """Returns the name of the latest version."""
        return next(reversed(self.versions()), None)

    def describe(self, version: str) -> DatasetVersion:
        """Returns what the commit of a version says of it.

        Raises:
            NotFoundError: There is no such version.
            VersionError: Its commit was not made by Carpal.
        """
        text = self._read(version, "log", "-1", "--format=%H%n%cI%n%B", f"refs/tags/{version}")
        commit, date, message = text.split("\n", 2)
        trailers = read_trailers(message)
        try:
            return DatasetVersion(
                name=version,
                commit=commit,
                labels=int(trailers["Labels"]),
                expert_labels=int(trailers["Expert-Labels"]),
                last_event=int(trailers["Ledger-Head"].split()[0]),
                committed_at=instant(datetime.fromisoformat(date)),
            )
        except (KeyError, ValueError) as error:
            raise VersionError(
                f"The commit of {version} lacks what a dataset version states: {error}."
            ) from error

    def rows(self, version: str) -> list[Row]:
        """Returns the rows of `labels.csv` of a version: column -> cell.

        Raises:
            NotFoundError: There is no such version.
        """
        return read_table(self._read(version, "show", f"refs/tags/{version}:{LABELS}"))

    def examples(self, version: str) -> list[Example]:
        """Returns what a training of a version learns from and is judged by.

        The paths lead into the pool, where the images lie whether or not DVC has checked them out.

        Raises:
            NotFoundError: There is no such version.
            VersionError: A value is not one of the task.
        """
        return [
            Example(
                radiograph_id=row["id"],
                path=pool_path(self.pool, row["id"], Path(row["image"]).name),
                values=row_values(row, self.spec),
                split=Split(row["split"]),
            )
            for row in self.rows(version)
        ]

    def image_path(self, radiograph_id: str) -> Path:
        """Returns the image of a radiograph in the pool.

        Raises:
            NotFoundError: The pool does not hold it.
        """
        path = Pool(self.pool).find(radiograph_id)
        if path is None:
            raise NotFoundError(f"The pool does not hold radiograph {radiograph_id}.")
        return path

    def dirty(self) -> str:
        """Says why no version can be committed on top of the work tree; empty if one can.

        An interrupted commit is no reason: the next one tidies up after it.
        """
        if not self._exists() or is_under_way(self.root):
            return ""
        changed = self._git.run("status", "--porcelain", "--untracked-files=no").splitlines()
        if changed:
            files = ", ".join(line[3:] for line in changed[:5])
            return (
                f"Somebody changed {files} in {self.root}: undo it with "
                f"`git -C {self.root} restore --staged --worktree .`, or commit it."
            )
        if not self._git.run("branch", "--show-current").strip():
            return (
                f"{self.root} is on no branch: go back with `git -C {self.root} switch {BRANCH}`."
            )
        latest = self.latest()
        if latest and self._git.run("rev-list", "--max-count=1", f"HEAD..{latest}"):
            return f"The branch of {self.root} does not contain {latest}: switch to one that does."
        return ""

    def commit_version(
        self,
        rows: Sequence[LabelledRadiograph],
        *,
        trigger: str,
        ledger_head: tuple[int, str],
        committed_at: datetime,
    ) -> DatasetVersion:
        """Commits the labels as a new version, wholly or not at all.

        Pushes the images before the tag is set. Nothing changed since the latest version: nothing
        is committed, and the latest version is returned.

        Args:
            rows: All labelled radiographs; what is missing here is withdrawn.
            trigger: What asked for the version, for people.
            ledger_head: Sequence number and hash of the last ledger event that `rows` contain.
            committed_at: The time that the commit carries.

        Raises:
            VersionError: A patient would be in two splits, an image is not in the pool, somebody
                changed the work tree, another process writes for too long, or git or DVC failed.
            StorageError: The disk is full.
        """
        self.initialise()
        with writer_lock(self._lock_file, self._lock_wait_s) as lock:
            git = Git(self.root, self._author, (lock,))
            recover(git)
            if reason := self.dirty():
                raise VersionError(reason)
            return self._commit(git, rows, trigger, ledger_head, instant(committed_at))

    def _commit(
        self,
        git: Git,
        labelled: Sequence[LabelledRadiograph],
        trigger: str,
        ledger_head: tuple[int, str],
        committed_at: datetime,
    ) -> DatasetVersion:
        latest = self.latest()
        number = int(latest[1:]) + 1 if latest else 1
        shards = read_shards(self.root)
        missing = [row.radiograph for row in labelled if row.radiograph.id not in shards]
        added = plan_shard(number, missing, self.pool)
        draft = draft_version(
            self.spec,
            labelled,
            self.rows(latest) if latest else [],
            {**shards, **added},
            number=number,
            trigger=trigger,
            ledger_head=ledger_head,
            committed_at=committed_at,
        )
        if draft is None:
            return self.describe(f"v{number - 1:04d}")
        with attempt(git, number):
            self._add_images(git, number, added)
            self._add_text(git, draft, shard_files(number) if added else ())
        return self.describe(draft.name)

    def _add_images(self, git: Git, number: int, added: Mapping[str, ShardedImage]) -> None:
        wanted: list[str] = []
        shards = shard_names(self.root)
        if added:
            make_shard(self.root, number, added, self.pool)
            wanted += ["--add", shard_name(number)]
            shards.append(shard_name(number))
        moved = read_remote(self.root) != self.remote
        if moved:
            wanted += ["--remote", self.remote]
        if self.remote and (moved or added):  # A new remote has none of the images yet.
            wanted += ["--push", *(shards if moved else shards[-1:])]
        if wanted:
            call_dvc(self.root, *wanted, kept_open=git.kept_open)

    def _add_text(self, git: Git, draft: VersionDraft, shard: Sequence[str]) -> None:
        for name, text in draft.texts.items():
            write_file(self.root / name, text.encode())
        git.run("add", "--", *draft.texts, DVC_CONFIG, *shard)
        message = ("--cleanup=verbatim", "--file=-")
        git.run("commit", "--quiet", *message, stdin=draft.message, at=draft.committed_at)
        # From here on the version exists.
        git.run("tag", *message, draft.name, stdin=draft.message, at=draft.committed_at)

    def _read(self, version: str, *arguments: str) -> str:
        if version not in self.versions():
            raise NotFoundError(f"There is no dataset version {version!r}.")
        return self._git.run(*arguments)

    def _exists(self) -> bool:
        return (self.root / ".git").is_dir()

    @property
    def _lock_file(self) -> Path:
        # Beside the repository, not in it: it is needed before there is one.
        return self.root.with_name(f"{self.root.name}.lock")

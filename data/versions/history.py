"""Read dataset versions: from git alone, while the next one is being written or not."""

from __future__ import annotations

from pathlib import Path

from data.domain import DatasetVersion, Example, Split, TaskSpec
from data.errors import NotFoundError
from data.pool import pool_path
from data.versions.attempt import is_under_way
from data.versions.draft import LABELS, SPLITS
from data.versions.git_calls import Git
from data.versions.table import LabelTable
from data.versions.tags import describe_version, read_tag, version_names
from data.versions.text import Row, read_trailers, row_values
from data.versions.work_tree import hand_edits

LEAST_WEIGHT = 0.25
"""Weight of a label on which its readers do not agree at all: it still says something."""


class VersionHistory:
    """The versions of a dataset repository.

    Attributes:
        root: Its work tree.
        pool: The pool that images are linked from.
        spec: The task.
    """

    def __init__(self, root: Path, pool: Path, spec: TaskSpec, author: str) -> None:
        """Opens the repository; it need not exist yet.

        Raises:
            VersionError: The author is not written `Name <address>`.
        """
        self.root = root.resolve()
        self.pool = pool.resolve()
        self.spec = spec
        self._git = Git(self.root, author)

    def versions(self) -> list[str]:
        """Returns the names of all versions, oldest first."""
        return version_names(self._git) if self._exists() else []

    def latest(self) -> str | None:
        """Returns the name of the latest version."""
        return next(reversed(self.versions()), None)

    def describe(self, version: str) -> DatasetVersion:
        """Returns what the tag of a version says of it.

        Raises:
            NotFoundError: There is no such version.
            VersionError: Its tag was not made by Carpal.
        """
        return describe_version(self._opened(version), version)

    def trigger(self, version: str) -> str:
        """Returns what asked for a version.

        Raises:
            NotFoundError: There is no such version.
        """
        message = read_tag(self._opened(version), version).message
        return read_trailers(message).get("Trigger", "")

    def table(self, version: str) -> LabelTable:
        """Returns `labels.csv` of a version.

        Raises:
            NotFoundError: There is no such version.
        """
        tag = read_tag(self._opened(version), version)
        return LabelTable.parse(self._git.read("cat-file", "blob", f"{tag.commit}:{LABELS}"))

    def rows(self, version: str) -> list[Row]:
        """Returns the rows of `labels.csv` of a version: column -> cell.

        Raises:
            NotFoundError: There is no such version.
        """
        return self.table(version).rows()

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
                weight=max(float(row["agreement"] or 1), LEAST_WEIGHT),
                patient=row["patient"],
            )
            for row in self.rows(version)
        ]

    def edited_by_hand(self) -> str:
        """Says that somebody changed the tables on the branch after the latest version.

        That is no error: the ledger is the truth, and the next version is written from it.
        """
        latest = self.latest()
        edits = hand_edits(self._git, latest) if latest else ""
        if not edits or is_under_way(self.root):  # A version's commit is there before its tag.
            return ""
        return (
            f"{LABELS} or {SPLITS} was changed by hand in commit {edits}: the next version takes "
            "that back, because labels are changed in Label Studio."
        )

    def _opened(self, version: str) -> Git:
        if not self._exists():
            raise NotFoundError(f"There is no dataset version {version!r}.")
        return self._git

    def _exists(self) -> bool:
        return (self.root / ".git").is_dir()

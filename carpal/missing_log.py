"""The list of what an XNAT project should have and has not."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import TextIO

from data.atomic import storage_error
from data.sources.xnat_project import DOWNLOAD_FAILED, Missing

COLUMNS = ("subject", "session", "scan", "what", "detail")


class MissingLog:
    """A CSV file that grows while an import runs; it is made with its first row.

    Attributes:
        path: Where it is written.
        counts: What is missing -> how often.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        self._file: TextIO | None = None

    def add(self, missing: Missing) -> None:
        """Writes one row.

        Raises:
            StorageError: The disk is full or the folder cannot be written.
        """
        row = (missing.subject, missing.session, missing.scan, missing.what, missing.detail)
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("w", encoding="utf-8", newline="")
                csv.writer(self._file).writerow(COLUMNS)
            csv.writer(self._file).writerow(row)
            self._file.flush()
        except OSError as error:
            raise storage_error(error, self.path) from error
        self.counts[missing.what] += 1

    def add_failed_downloads(self, refused: Path) -> None:
        """Takes over from the list of what an import refused what could not be downloaded."""
        if not refused.exists():
            return
        with refused.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["reason"].startswith(DOWNLOAD_FAILED):
                    _, subject, session, scan, *_ = row["name"].split("/", 4) + 3 * [""]
                    self.add(Missing(subject, session, scan, "download failed", row["reason"]))

    def summary(self) -> str:
        """Returns one sentence, or nothing if nothing is missing."""
        if not self.counts:
            return ""
        told = ", ".join(f"{count} x {what}" for what, count in sorted(self.counts.items()))
        return f"Missing in XNAT: {told}. All of it: {self.path}"

    def __enter__(self) -> MissingLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

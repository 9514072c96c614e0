"""The list of what an XNAT project should have and has not."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from carpal.growing_table import GrowingTable
from carpal.import_files import RefusedFile
from data.sources.xnat_project import DOWNLOAD_FAILED, Missing

COLUMNS = ("subject", "session", "scan", "what", "detail")


class MissingLog(GrowingTable):
    """A CSV file that grows while an import runs.

    Attributes:
        counts: What is missing -> how often.
    """

    holds = "list of what is missing"

    def __init__(self, path: Path) -> None:
        super().__init__(path, COLUMNS)
        self.counts: Counter[str] = Counter()

    def add(self, missing: Missing) -> None:
        """Writes one row.

        Raises:
            StorageError: The disk is full or the folder cannot be written.
        """
        self.write((missing.subject, missing.session, missing.scan, missing.what, missing.detail))
        self.counts[missing.what] += 1

    def add_failed_downloads(self, refused: Path) -> None:
        """Takes over from the list of what an import refused what could not be downloaded.

        Nothing is taken over where there is no such list, or a file of another kind that the import
        has left alone.
        """
        if not RefusedFile(refused).is_there():
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

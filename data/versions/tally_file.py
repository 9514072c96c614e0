"""Keep the tally of the latest `labels.csv` beside the repository, for the next version.

Whoever loses or damages the file loses nothing but time: the next version counts all rows.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path

from data.atomic import write_file
from data.errors import StorageError
from data.versions.tally import Tally

FILE = ".git/carpal-tally"
"""git does not look at it."""

FORMAT = 1


def write_tally(root: Path, blob: str, tally: Tally) -> None:
    """Keeps a tally; where that is not possible, there is none.

    Args:
        root: The repository.
        blob: git's name of the content of `labels.csv` that it was counted from.
        tally: Of that table.
    """
    facts = {
        "format": FORMAT,
        "labels": blob,
        "counts": [[columns, list(of.items())] for columns, of in tally.counts.items()],
        "in_split": list(tally.in_split.items()),
        "in_both": list(tally.in_both.items()),
    }
    body = json.dumps(facts).encode() + b"\n" + tally.patients
    with suppress(StorageError):
        # Without a sync: its hash tells whether all of it is there.
        write_file(root / FILE, _digest(body) + b"\n" + body, sync=False)


def read_tally(root: Path, blob: str) -> Tally | None:
    """Returns the tally of the `labels.csv` that git names so; None: it is not kept, or damaged."""
    try:
        digest, _, body = (root / FILE).read_bytes().partition(b"\n")
    except OSError:
        return None
    if digest != _digest(body):
        return None
    head, _, patients = body.partition(b"\n")
    facts = json.loads(head)
    if (facts["format"], facts["labels"]) != (FORMAT, blob):
        return None
    return Tally(
        {
            tuple(columns): Counter({tuple(cells): n for cells, n in of})
            for columns, of in facts["counts"]
        },
        patients,
        Counter(dict(facts["in_split"])),
        Counter({(one, other): n for (one, other), n in facts["in_both"]}),
    )


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()

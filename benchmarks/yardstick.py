"""The public yardstick: how the 12,611 training radiographs of the RSNA challenge are dealt out.

Each radiograph is a patient of its own. Its part follows from SHA-256 over `0:<image number>`, read
as a fraction of 2**256: below 0.8 it trains, below 0.9 it calibrates, the rest tests. `main`
prints the counts and a hash of the list, by which anybody can check that they have the same one.

    CARPAL_TEST_DATA=FOLDER python benchmarks/yardstick.py
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from data.domain import Example, Split
from data.sources.rsna import read_rsna

SEED = 0
SHARES = ((0.8, Split.TRAIN), (0.9, Split.CALIBRATION), (1.0, Split.TEST))


def rsna_examples() -> list[Example]:
    """Returns the radiographs as examples, sorted by image number.

    Raises:
        SystemExit: CARPAL_TEST_DATA is not set.
    """
    data = os.environ.get("CARPAL_TEST_DATA")
    if not data:
        sys.exit("CARPAL_TEST_DATA is not set: it names a folder with real radiographs.")
    items = [item for item in read_rsna(Path(data) / "rsna", None, 0) if not item.problem]
    return sorted(
        (
            Example(
                hashlib.sha256(item.path.name.encode()).hexdigest(),
                item.path,
                dict(item.values),
                split_of(item.path.stem),
            )
            for item in items
        ),
        key=lambda example: int(example.path.stem),
    )


def split_of(number: str) -> Split:
    """Returns the part that an image number belongs to."""
    digest = hashlib.sha256(f"{SEED}:{number}".encode()).digest()
    place = int.from_bytes(digest) / 2**256
    return next(split for share, split in SHARES if place < share)


def main() -> None:
    """Prints how many radiographs are in each part, and the hash of the list."""
    lines = [f"{e.path.stem},{e.split}\n" for e in rsna_examples()]
    for _, split in SHARES:
        print(f"{split}: {sum(line.endswith(f',{split}{chr(10)}') for line in lines)}")
    print(hashlib.sha256("".join(lines).encode()).hexdigest())


if __name__ == "__main__":
    main()

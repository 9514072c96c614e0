"""How long a person waits for `carpal versions diff` and `checkout` of a version of 10,000 rows.

Both are timed as commands, from the start of the process to its end, on a dataset repository of
small drawn films. Baselines, in the same run:

1. diff: `git diff --stat` between the two tags, which reads the same tables and says less.
2. checkout: what a user without Carpal does, `git clone` and `dvc checkout` from the same cache.

    python benchmarks/version_speed.py --json FILE
"""

from __future__ import annotations

import hashlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image
from report import Figure, arguments, write

from data.domain import LabelledRadiograph, Radiograph, Split
from data.versions.repository import DatasetRepository
from labeling_config.tasks import load_task

ROWS = 10_000
ADDED, CORRECTED, WITHDRAWN = 50, 30, 5
REPEATS = 5
GOAL_DIFF_S = 2.0
GOAL_CHECKOUT_S = 1.0
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def main() -> None:
    """Makes the repository, times the commands and writes the figures."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of the version")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "workspace"
        rows = _two_versions(home, options.rows)
        places = (Path(folder) / f"copy-{number}" for number in range(10**6))
        diffs = _timed(lambda: _carpal(home, "versions", "diff"))
        pictures = _timed(
            lambda: _carpal(home, "versions", "diff", "--picture", f"{folder}/diff.png")
        )
        gits = _timed(lambda: _run(home / "dataset", "git", "diff", "--stat", "v0001", "v0002"))
        ours: list[float] = []
        plain: list[float] = []
        for _ in range(REPEATS):
            ours += _timed(lambda: _checkout(home, next(places)), repeats=1)
            plain += _timed(lambda: _plain_checkout(home, next(places)), repeats=1)
    diff, checkout = statistics.median(diffs), statistics.median(ours)
    beyond = checkout - statistics.median(plain)
    figures = [
        Figure(
            f"carpal versions diff, {rows} rows, median",
            "s",
            diff,
            statistics.median(gits),
            "git diff --stat",
            f"<= {GOAL_DIFF_S:g} s",
            diff <= GOAL_DIFF_S,
        ),
        Figure(
            f"carpal versions checkout with images, {rows} rows, median",
            "s",
            checkout,
            statistics.median(plain),
            "git clone and dvc checkout",
            f"<= {GOAL_CHECKOUT_S:g} s beyond it",
            beyond <= GOAL_CHECKOUT_S,
        ),
    ]
    write(
        "version_speed",
        figures,
        options.json,
        rows=rows,
        diff_s=diffs,
        diff_with_picture_s=pictures,
        git_diff_s=gits,
        checkout_s=ours,
        plain_checkout_s=plain,
        checkout_beyond_dvc_s=beyond,
    )


def _two_versions(home: Path, count: int) -> int:
    """Commits two versions, the second one with `count` rows; returns its rows."""
    repository = DatasetRepository(
        home / "dataset", home / "pool", load_task("bone_age"), "Carpal <carpal@localhost>"
    )
    labels = [_label(home / "pool", number) for number in range(count + WITHDRAWN)]
    first = labels[: len(labels) - ADDED]
    second = [_corrected(row) for row in labels[:CORRECTED]] + labels[CORRECTED + WITHDRAWN :]
    for head, of in enumerate((first, second), start=1):
        repository.commit_version(
            of, trigger="a benchmark", ledger_head=(head, "0" * 64), committed_at=NOON
        )
    return len(second)


def _label(pool: Path, number: int) -> LabelledRadiograph:
    random = np.random.default_rng(number)
    buffer = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (32, 24), dtype=np.uint8)).save(buffer, "PNG")
    key = hashlib.sha256(buffer.getvalue()).hexdigest()
    path = f"images/{key[:2]}/{key}.png"
    (pool / path).parent.mkdir(parents=True, exist_ok=True)
    (pool / path).write_bytes(buffer.getvalue())
    split = (Split.TEST, Split.CALIBRATION, *[Split.TRAIN] * 8)[number % 10]
    return LabelledRadiograph(
        radiograph=Radiograph(key, f"{number:016x}", split, "drawn", path, 24, 32, NOON),
        values={
            "age_months": float(random.integers(0, 241)),
            "sex": ("female", "male")[number % 2],
        },
        readers=(("ada", "bob", "cat")[number % 3] + "@example.org",),
        agreement=1.0,
        reference=False,
        labelled_at=NOON,
    )


def _corrected(row: LabelledRadiograph) -> LabelledRadiograph:
    return replace(
        row, values={**row.values, "age_months": 240.0 - float(row.values["age_months"])}
    )


def _checkout(home: Path, place: Path) -> None:
    _carpal(home, "versions", "checkout", "v0002", "--to", str(place))
    _check(place)


def _plain_checkout(home: Path, place: Path) -> None:
    source = home / "dataset"
    _run(home, "git", "clone", "--quiet", "--branch", "v0002", str(source), str(place))
    dvc = (sys.executable, "-m", "dvc")
    _run(place, *dvc, "cache", "dir", "--local", str(source / ".dvc" / "cache"))
    _run(place, *dvc, "checkout", "--quiet")
    _check(place)


def _check(place: Path) -> None:
    if not any((place / "images" / "shard-0001").glob("*.png")):
        raise SystemExit(f"{place} holds no images.")


def _carpal(home: Path, *command: str) -> None:
    _run(home, sys.executable, "-m", "carpal", *command)


def _run(folder: Path, *command: str) -> None:
    environment = {
        **os.environ,
        "CARPAL_HOME": str(folder),
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(folder.parent / "site"),
        "GIT_CONFIG_PARAMETERS": "'advice.detachedHead=false'",
    }
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)


def _timed(action: Callable[[], None], repeats: int = REPEATS) -> list[float]:
    seconds: list[float] = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return seconds


if __name__ == "__main__":
    main()

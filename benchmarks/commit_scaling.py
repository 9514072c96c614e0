"""What a dataset version of 50 new labels costs, on top of 1,000, 10,000 and 100,000 labels.

For each size a workspace with tiny images is filled, committed once, and then 50 labels are added
and committed again and again; the sizes take turns, so that all of them see the same machine. The
clock runs around `commit_current`: ledger, consensus, tables, report, images into DVC, git commit
and tag. Baseline for the growth is the smallest size. Baseline for the cost is what keeping all
images in one folder under plain DVC costs: 50 more files and `dvc add FOLDER` again.

Memory is the largest resident set of a process that does nothing but commit. The size of the
repository is that of `.git` after 20 commits at 10,000 labels; packing is timed apart, because it
happens now and then, outside of commits.

    python benchmarks/commit_scaling.py --json FILE
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from report import Figure, arguments, write

from data.domain import Radiograph, Reading, Split
from data.ledger.ledger import Ledger
from data.pool import pool_path
from data.versions import tidying as version_tidying
from data.versions.repository import DatasetRepository
from labeling_config.tasks import load_task
from workers.committing import commit_current

SIZES = (1_000, 10_000, 100_000)
LABELS = 50
ROUNDS = 5
PACKED_SIZE, PACKED_COMMITS = 10_000, 20
BATCH = 5_000
GOAL_GROWTH = 1.5
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPLITS = (*(Split.TRAIN,) * 8, Split.CALIBRATION, Split.TEST)


@dataclass(frozen=True, slots=True)
class Round:
    """What one commit cost.

    Attributes:
        seconds: By the clock.
        own_mb: Largest resident set of this process, MiB.
        tidy_s: Seconds of the packing that followed, mostly next to none.
    """

    seconds: float
    own_mb: float
    tidy_s: float


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace of `size` labels, to which more are added."""

    home: Path
    size: int

    def fill(self) -> None:
        """Puts images into the pool and radiographs and readings into the ledger; commits them."""
        more = LABELS * (ROUNDS + PACKED_COMMITS + 1)
        with self.ledger() as ledger:
            for start in range(0, self.size + more, BATCH):
                numbers = range(start, min(start + BATCH, self.size + more))
                ledger.add_radiographs([self._pooled(number) for number in numbers])
                self.label(ledger, range(start, min(start + BATCH, self.size)))
            commit_current(ledger, self.repository(), load_task("bone_age"), "the first labels")

    def label(self, ledger: Ledger, numbers: range) -> None:
        """Lets two readers in turn label radiographs."""
        ledger.record_readings(
            [
                Reading(
                    radiograph_id=content_of(number)[0],
                    reader=("ada@example.org", "bob@example.org")[number % 2],
                    values={
                        "age_months": float(number % 229),
                        "sex": ("female", "male")[number % 2],
                    },
                    read_at=NOON + timedelta(seconds=number),
                    annotation=f"1:{number + 1}",
                )
                for number in numbers
            ]
        )

    def commits(self, labelled: int, rounds: int) -> Iterator[Round]:
        """Adds 50 labels and commits them, `rounds` times."""
        spec, repository = load_task("bone_age"), self.repository()
        with self.ledger() as ledger:
            for start in range(labelled, labelled + LABELS * rounds, LABELS):
                self.label(ledger, range(start, start + LABELS))
                began = time.perf_counter()
                commit_current(ledger, repository, spec, f"{LABELS} new labels")
                seconds = time.perf_counter() - began
                own = _largest_resident_mb()
                began = time.perf_counter()
                repository.tidy()
                yield Round(seconds, own, time.perf_counter() - began)

    def ledger(self) -> Ledger:
        """Opens the ledger."""
        return Ledger.open(f"sqlite:///{self.home / 'ledger.db'}")

    def repository(self) -> DatasetRepository:
        """Opens the dataset repository."""
        spec, pool = load_task("bone_age"), self.home / "pool"
        return DatasetRepository(self.home / "dataset", pool, spec, "Carpal <carpal@localhost>")

    def _pooled(self, number: int) -> Radiograph:
        key, content = content_of(number)
        place = pool_path(self.home / "pool", key, f"{key}.png")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        patient = hashlib.sha256(b"patient%d" % number).hexdigest()[:16]
        path = place.relative_to(self.home / "pool").as_posix()
        return Radiograph(key, patient, SPLITS[number % 10], "synthetic", path, 16, 16, NOON)


def content_of(number: int) -> tuple[str, bytes]:
    """Returns id and bytes of an image: noise of 256 bytes, which nobody decodes here."""
    content = hashlib.sha256(b"film%d" % number).digest() * 8
    return hashlib.sha256(content).hexdigest(), content


def _largest_resident_mb() -> float:
    """Of this process; `getrusage` would tell that of the process that started it, if larger."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found.group(1)) / 1024 if found else float("nan")


def main() -> None:
    """Measures in turns and writes the figures."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="labels to begin with")
    parser.add_argument("--one", nargs=4, metavar=("HOME", "SIZE", "LABELLED", "ROUNDS"))
    options = parser.parse_args()
    if options.one:
        home, *counts = options.one
        size, labelled, rounds = map(int, counts)
        done = list(Workspace(Path(home), size).commits(labelled, rounds))
        print(json.dumps([asdict(one) for one in done]))
        return
    with tempfile.TemporaryDirectory() as folder:
        spaces = [Workspace(Path(folder) / str(size), size) for size in sorted(options.sizes)]
        for space in spaces:
            space.home.mkdir()
            space.fill()
            list(_measured(space, space.size, 1))  # The first one warms files and caches.
        rounds: dict[int, list[Round]] = {space.size: [] for space in spaces}
        for turn in range(1, ROUNDS + 1):
            for space in spaces:
                rounds[space.size] += _measured(space, space.size + turn * LABELS, 1)
        plain = _plain_dvc(spaces[-1])
        packed, growth = _packed(spaces)
        packing = _packing(spaces[-1])
    figures = _figures(rounds, plain)
    if packed:
        figures += _size_figures(packed, growth)
    versions = ROUNDS + 2
    figures.append(
        Figure(
            f"packing {versions} versions of {spaces[-1].size:,} labels, each",
            "s",
            packing / versions,
            median(one.seconds for one in rounds[spaces[-1].size]),
            "the commit",
        )
    )
    raw = {str(size): [asdict(one) for one in done] for size, done in rounds.items()}
    write("commit_scaling", figures, options.json, rounds=raw)


def _measured(space: Workspace, labelled: int, rounds: int) -> list[Round]:
    """Commits in a process of its own, whose memory is that of a commit alone."""
    numbers = map(str, (space.size, labelled, rounds))
    command = [sys.executable, __file__, "--one", str(space.home), *numbers]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [Round(**one) for one in json.loads(done.stdout)]


def _plain_dvc(space: Workspace) -> float:
    """Seconds of `dvc add FOLDER` after 50 files were added to one folder of all images."""
    root = space.home / "plain"
    (root / "images").mkdir(parents=True)
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(root / "site")}

    def call(*command: str) -> None:
        subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)

    def add(numbers: range) -> float:
        for number in numbers:
            key, content = content_of(number)
            (root / "images" / f"{key}.png").write_bytes(content)
        began = time.perf_counter()
        call(sys.executable, "-m", "dvc", "add", "--quiet", "images")
        return time.perf_counter() - began

    call("git", "init", "--quiet")
    call(sys.executable, "-m", "dvc", "init", "--quiet")
    call(sys.executable, "-m", "dvc", "config", "cache.type", "hardlink,copy")
    add(range(space.size))
    return add(range(space.size, space.size + LABELS))


def _packed(spaces: list[Workspace]) -> tuple[list[Round], tuple[int, int]]:
    """20 commits in a row, and the bytes of `.git` and of the tables that they wrote."""
    space = next((space for space in spaces if space.size == PACKED_SIZE), None)
    if space is None:
        return [], (0, 0)
    done = _measured(space, space.size + LABELS * (ROUNDS + 1), PACKED_COMMITS)
    root = space.home / "dataset"
    tables = sum((root / name).stat().st_size for name in ("labels.csv", "splits.csv"))
    files = (path for path in (root / ".git").rglob("*") if path.is_file())
    return done, (
        sum(path.stat().st_size for path in files),
        tables * (PACKED_COMMITS + ROUNDS + 2),
    )


def _figures(rounds: dict[int, list[Round]], plain: float) -> list[Figure]:
    seconds = {size: median(one.seconds for one in done) for size, done in rounds.items()}
    memory = {size: max(one.own_mb for one in done) for size, done in rounds.items()}
    smallest, *larger = sorted(rounds)
    figures = [
        Figure(
            f"commit of +{LABELS} onto {size:,} labels",
            "s",
            seconds[size],
            seconds[smallest],
            f"the same onto {smallest:,}",
            f"at most {GOAL_GROWTH} times as long",
            seconds[size] <= GOAL_GROWTH * seconds[smallest],
        )
        for size in larger
    ]
    largest = max(rounds)
    return [
        *figures,
        Figure(
            f"commit of +{LABELS} onto {largest:,} labels",
            "s",
            seconds[largest],
            plain,
            "dvc add of one folder with all images",
            "quicker",
            seconds[largest] < plain,
        ),
        Figure(
            f"peak memory of a commit onto {largest:,}",
            "MiB",
            memory[largest],
            memory[smallest],
            f"onto {smallest:,}",
        ),
    ]


def _size_figures(packed: list[Round], sizes: tuple[int, int]) -> list[Figure]:
    return [
        Figure(
            f".git after {PACKED_COMMITS + ROUNDS + 2} versions of {PACKED_SIZE:,} labels",
            "MB",
            sizes[0] / 1e6,
            sizes[1] / 1e6,
            "their tables one by one",
            "smaller",
            sizes[0] < sizes[1],
        ),
        Figure(
            f"packing at {PACKED_SIZE:,} labels, mean over {PACKED_COMMITS} commits",
            "s",
            sum(one.tidy_s for one in packed) / len(packed),
            median(one.seconds for one in packed),
            "the commit",
        ),
    ]


def _packing(space: Workspace) -> float:
    """Seconds that it takes to pack the versions of a workspace."""
    version_tidying.VERSIONS = 0
    began = time.perf_counter()
    space.repository().tidy()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

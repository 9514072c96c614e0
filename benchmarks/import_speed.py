"""How fast radiographs come in, against a plain loop that only decodes and hashes them.

1. Import of all radiographs into an empty workspace: decoding, hashing, fingerprint, search for
   near duplicates, pool, ledger, everything on the disk at the end. Baseline: a loop of
   `cv2.imread` (grey) and SHA-256 over the same files, one thread. Both are counted per second of
   processor time, so that what else the machine does decides less; they take turns.
   Second baseline, in the same turns: the least that any import must do that loses nothing in a
   power cut and keeps a file per film: the plain loop, a file under its hash, one bare SQLite row,
   and every 500 films the file system synced, then the rows committed. It knows no duplicates,
   patients, splits or references, and refuses nothing. docs/benchmarks.md says what was tried to
   come nearer to it, and what each change brought.
2. The same with films as large as hospitals deliver them (drawn larger, with noise, as JPEG).
3. The first import again: everything is known.
4. The search for near duplicates alone, among as many films and among 100,000 (fingerprints of
   this data, shifted at random).

With CARPAL_TEST_DATA the 12,611 radiographs of the RSNA challenge, otherwise phantoms.

    python benchmarks/import_speed.py --json FILE
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray
from report import Figure, arguments, write

from data.atomic import sync_file_system
from data.domain import Split, Target
from data.importing.duplicates import FilmIndex
from data.importing.items import BATCH, import_items
from data.ledger.ledger import Ledger
from data.pool import Pool
from data.sources.item import SourceItem
from data.sources.phantoms import read_phantoms
from data.sources.rsna import read_rsna

GOAL = 0.8
ROUNDS = 3
PHANTOMS = 3000
PHANTOM_SIDE = 300
LARGE = 150
LARGE_SIDE = 2400
LOOP = "cv2.imread + SHA-256, one thread"
LEAST = "decoded, hashed, one file and one bare SQLite row each, on the disk; one thread"
MANY = 100_000
SEARCHED = 1000
TARGETS = (
    Target("age_months", "number", "months", minimum=0, maximum=240),
    Target("sex", "choice", choices=("female", "male")),
)


@dataclass(frozen=True, slots=True)
class Spent:
    """What something took.

    Attributes:
        wall_s: By the clock.
        cpu_s: Of all processors, children included.
    """

    wall_s: float
    cpu_s: float


def main() -> None:
    """Runs all measurements and writes the figures."""
    options = arguments(__doc__ or "").parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        items, what = radiographs(Path(folder))
        loops, least, firsts, again = [], [], [], []
        for number in range(ROUNDS):
            loops.append(measure(partial(plain_loop, items)))
            least.append(measure(partial(least_import, items, Path(folder) / f"least-{number}")))
            home = Path(folder) / f"workspace-{number}"
            firsts.append(measure(partial(run_import, items, home, len(items))))
            again.append(measure(partial(run_import, items, home, 0)))
        loops.append(measure(partial(plain_loop, items)))
        films = fingerprints(home)
        large = enlarged(items, Path(folder))
        large_loop = measure(partial(plain_loop, large))
        large_import = measure(partial(run_import, large, Path(folder) / "large", len(large)))
    searches = {count: search_s(films, count) for count in (len(films), MANY)}
    ratio = Figure(
        f"import of {len(large)} films of {LARGE_SIDE} px per core used",
        "images/s",
        len(large) / large_import.cpu_s,
        len(large) / large_loop.cpu_s,
        LOOP,
        f">= {GOAL:g} of it",
        large_loop.cpu_s / large_import.cpu_s >= GOAL,
    )
    write_figures(options.json, what, len(items), (loops, least, firsts, again), searches, ratio)


def radiographs(folder: Path) -> tuple[list[SourceItem], str]:
    """Returns the items that are imported, as files, and what they are."""
    data = os.environ.get("CARPAL_TEST_DATA")
    if data:
        items = [item for item in read_rsna(Path(data) / "rsna", None, 0) if not item.problem]
        return items, f"{len(items)} radiographs of the RSNA challenge, long side 299 px, JPEG"
    items = []
    for item in read_phantoms(PHANTOMS, 0, PHANTOM_SIDE):
        path = folder / f"{item.name}.png"
        path.write_bytes(item.read().payload)
        items.append(SourceItem(item.name, path, item.patient, item.values, stamp=item.name))
    return items, f"{PHANTOMS} phantoms of {PHANTOM_SIDE} px, PNG: CARPAL_TEST_DATA is not set"


def enlarged(items: Sequence[SourceItem], folder: Path) -> list[SourceItem]:
    """Returns some of the films at the size of a detector."""
    random = np.random.default_rng(0)
    larger = []
    for item in items[:: max(1, len(items) // LARGE)][:LARGE]:
        film = cv2.imread(str(item.path), cv2.IMREAD_GRAYSCALE)
        if film is None:
            raise RuntimeError(item.path)
        scale = LARGE_SIDE / max(film.shape)
        film = cv2.resize(film, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(film + random.normal(0, 2, film.shape), 0, 255).astype(np.uint8)
        path = folder / f"large-{len(larger)}.jpg"
        cv2.imwrite(str(path), noisy, [cv2.IMWRITE_JPEG_QUALITY, 90])
        larger.append(SourceItem(path.name, path, path.name))
    return larger


def measure(work: Callable[[], None]) -> Spent:
    """Returns what a piece of work took, processes that it started included."""
    began, cpu = time.perf_counter(), cpu_s()
    work()
    return Spent(time.perf_counter() - began, cpu_s() - cpu)


def cpu_s() -> float:
    """Returns the processor time of this process and of all that it started."""
    return sum(
        sum(process.cpu_times()[:4])  # user, system, and both of children that have ended
        for process in (psutil.Process(), *psutil.Process().children(recursive=True))
    )


def plain_loop(items: Sequence[SourceItem]) -> None:
    """Decodes and hashes every file."""
    for item in items:
        path = str(item.path)
        if cv2.imread(path, cv2.IMREAD_GRAYSCALE) is None:
            raise RuntimeError(path)
        with Path(path).open("rb") as file:
            hashlib.sha256(file.read()).hexdigest()


def least_import(items: Sequence[SourceItem], home: Path) -> None:
    """Decodes, hashes and keeps every file under its hash, with a row, safe from a power cut."""
    for number in range(256):
        (home / f"{number:02x}").mkdir(parents=True)
    with closing(sqlite3.connect(home / "least.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(
            "CREATE TABLE films (id TEXT PRIMARY KEY, name TEXT, height INT, width INT)"
        )
        for begin in range(0, len(items), BATCH):
            rows = [keep_film(item, home) for item in items[begin : begin + BATCH]]
            sync_file_system(home)
            database.execute("BEGIN IMMEDIATE")
            database.executemany("INSERT INTO films VALUES (?, ?, ?, ?)", rows)
            database.execute("COMMIT")


def keep_film(item: SourceItem, home: Path) -> tuple[str, str, int, int]:
    """Writes one film under its hash; returns its row."""
    with open(str(item.path), "rb", buffering=0) as file:  # noqa: PTH123 (a Path takes longer)
        payload = file.read()
    film = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_GRAYSCALE)
    if film is None:
        raise RuntimeError(item.path)
    key = hashlib.sha256(payload).hexdigest()
    draft, place = f"{home}/{key}", f"{home}/{key[:2]}/{key}"
    with open(draft, "xb", buffering=0) as file:  # noqa: PTH123
        file.write(payload)
    os.replace(draft, place)  # noqa: PTH105
    return key, item.name, film.shape[0], film.shape[1]


def run_import(items: Sequence[SourceItem], home: Path, expected: int) -> None:
    """Imports everything into a workspace."""
    home.mkdir(exist_ok=True)
    with Ledger.open(f"sqlite:///{home / 'ledger.db'}") as ledger:
        report = import_items(
            iter(items),
            pool=Pool(home / "pool"),
            ledger=ledger,
            source="benchmark",
            salt="benchmark",
            calibration_share=0.1,
            test_share=0.1,
            reference_splits=frozenset({Split.CALIBRATION, Split.TEST}),
            targets=TARGETS,
        )
    if report.new != expected or report.refused:
        raise RuntimeError(f"{report.new} new, {report.refused[:3]} refused")


def fingerprints(home: Path) -> NDArray[np.uint8]:
    """Returns (n, bytes): the fingerprints of a workspace."""
    with Ledger.open(f"sqlite:///{home / 'ledger.db'}") as ledger:
        return np.stack([np.frombuffer(film, np.uint8) for film in ledger.fingerprints().values()])


def search_s(films: NDArray[np.uint8], count: int) -> float:
    """Returns the processor seconds that one film is searched for among `count`."""
    random = np.random.default_rng(0)
    rows = random.integers(0, len(films), count)
    noise = random.integers(-12, 13, (count, films.shape[1]))
    many = films if count == len(films) else np.clip(films[rows] + noise, 0, 255).astype(np.uint8)
    index = FilmIndex({str(number): film.tobytes() for number, film in enumerate(many)})
    wanted = films[random.integers(0, len(films), SEARCHED)]
    began = time.process_time()
    index.search(wanted, [count] * SEARCHED)
    return (time.process_time() - began) / SEARCHED


def write_figures(
    path: Path | None,
    what: str,
    count: int,
    spent: tuple[Sequence[Spent], ...],
    searches: Mapping[int, float],
    large: Figure,
) -> None:
    """Writes the median of each measurement beside that of the plain loop."""
    loops, least, firsts, again = spent
    cores = len(os.sched_getaffinity(0))
    loop = count / median(one.cpu_s for one in loops)
    floor = count / median(one.cpu_s for one in least)
    first = count / median(one.cpu_s for one in firsts)
    share = median(one.cpu_s / one.wall_s / cores for one in firsts)
    wall = count / median(one.wall_s for one in firsts)
    loop_wall = count / median(one.wall_s for one in loops)
    figures = [
        Figure(
            "import per core used",
            "images/s",
            first,
            loop,
            LOOP,
            f">= {GOAL:g} of it",
            first / loop >= GOAL,
        ),
        Figure("import per core used", "images/s", first, floor, LEAST),
        Figure("the least that an import must do, per core used", "images/s", floor, loop, LOOP),
        large,
        Figure("import by the clock", "images/s", wall, loop_wall, LOOP),
        Figure("cores used by the import", "cores", share * cores, cores, "cores of the machine"),
        Figure(
            "import again, everything known, per core used",
            "images/s",
            count / median(one.cpu_s for one in again),
            loop,
            LOOP,
        ),
        *(
            Figure(
                f"search for near duplicates among {among} films",
                "ms of one core per film",
                seconds * 1000,
                1000 / loop,
                LOOP,
            )
            for among, seconds in searches.items()
        ),
    ]
    rounds = {
        name: [asdict(one) for one in measured]
        for name, measured in (
            ("plain loop", loops),
            ("least", least),
            ("import", firsts),
            ("again", again),
        )
    }
    write("import_speed", figures, path, data=what, rounds=rounds)


if __name__ == "__main__":
    main()

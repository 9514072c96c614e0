"""Whatever the order in which facts arrive, and however often: the same facts, the same version.

The ledger, the import and the consensus are real; git and DVC are too slow for many examples, so
they see a few.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.domain import REFERENCE_READER, Reading, Split, Value
from data.importing.items import import_items
from data.ledger.events import EventKind
from data.ledger.ledger import Ledger
from data.pool import Pool
from data.readers.consensus import consensus
from data.sources.item import Delivered, SourceItem
from data.versions.text import SPLIT_COLUMNS, label_columns, label_rows, read_table, write_table
from tests.service.dataset_workspace import open_repository
from tests.unit.data.dataset_cases import NOON, SPEC, a_film, encoded
from workers.committing import commit_current

FILMS = 8
"""Film n shows patient n // 2: every patient has two."""
READERS = ("ada@example.org", "bob@example.org", "cat@example.org")
CHIEF = "chief@example.org"
SALT = "salt"


@dataclass(frozen=True)
class Imported:
    """A source delivered these films, perhaps once more."""

    films: tuple[int, ...]


@dataclass(frozen=True)
class Told:
    """Label Studio told what an annotation says (or that it was skipped), or a source did."""

    film: int
    reader: str
    annotation: str
    values: tuple[tuple[str, Value], ...]
    read_at: datetime
    skipped: bool = False

    @property
    def reading(self) -> Reading:
        return Reading(
            radiograph_id=film_id(self.film),
            reader=self.reader,
            values=dict(self.values),
            read_at=self.read_at,
            annotation=self.annotation,
            withdrawn=self.skipped,
        )


@dataclass(frozen=True)
class Deleted:
    """An annotation is gone from Label Studio, which from then on does not tell it any more."""

    annotation: str


Fact = Imported | Told | Deleted


# Facts and their order


def an_annotation(film: int, reader: int, states: Sequence[tuple[int, str, bool]]) -> list[Told]:
    """One annotation: first submitted, then corrected or skipped, one minute after the other."""
    number = film * 10 + reader
    return [
        Told(
            film=film,
            reader=(*READERS, CHIEF)[reader],
            annotation=f"1:{number}",
            values=() if skipped else (("age_months", float(age)), ("sex", sex)),
            read_at=NOON + timedelta(minutes=10 * number + minute),
            skipped=skipped,
        )
        for minute, (age, sex, skipped) in enumerate(states)
    ]


states = st.lists(
    st.tuples(st.integers(0, 240), st.sampled_from(["female", "male"]), st.booleans()),
    min_size=1,
    max_size=3,
)
annotations = st.dictionaries(
    st.tuples(st.integers(0, FILMS - 1), st.integers(0, len(READERS))),
    st.tuples(states, st.booleans()),
    min_size=1,
    max_size=12,
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Fact], list[Fact]]:
    """The same facts twice: in the order in which they happened, and as they may arrive."""
    told: list[Told] = []
    deleted: list[Deleted] = []
    for (film, reader), (of, gone) in sorted(draw(annotations).items()):
        told += an_annotation(film, reader, of)
        deleted += [Deleted(told[-1].annotation)] if gone else []
    told += [
        Told(film, REFERENCE_READER, "", (("sex", "female"),), NOON)
        for film in draw(st.sets(st.integers(0, FILMS - 1), max_size=2))
    ]
    everything: list[Fact] = [Imported(tuple(range(FILMS))), *told, *deleted]
    again = draw(st.lists(st.sampled_from(told), max_size=4))
    films = draw(st.lists(st.lists(st.integers(0, FILMS - 1), min_size=1, max_size=3), max_size=3))
    repeated = [Imported(tuple(of)) for of in films]
    arriving: list[Fact] = list(draw(st.permutations([*told, *again, *repeated])))
    for fact in deleted:
        last = max(i for i, other in enumerate(arriving) if _annotation(other) == fact.annotation)
        arriving.insert(draw(st.integers(last + 1, len(arriving))), fact)
    return everything, [*arriving, Imported(tuple(reversed(range(FILMS))))]


def _annotation(fact: Fact) -> str:
    return "" if isinstance(fact, Imported) else fact.annotation


# A workspace


@cache
def film(number: int) -> bytes:
    return encoded(a_film(24, 20, seed=number))


@cache
def film_id(number: int) -> str:
    import hashlib

    return hashlib.sha256(film(number)).hexdigest()


def delivered(number: int) -> Delivered:
    return Delivered(film(number))


def an_item(number: int) -> SourceItem:
    return SourceItem(f"film-{number}", patient=str(number // 2), load=partial(delivered, number))


@pytest.fixture(scope="module")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger to copy: making one takes longer than a whole history."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    Ledger.open(f"sqlite:///{path}").close()
    return path


@contextmanager
def a_workspace(empty_ledger: Path) -> Iterator[tuple[Path, Ledger]]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        shutil.copy(empty_ledger, home / "ledger.db")
        with Ledger.open(f"sqlite:///{home / 'ledger.db'}") as ledger:
            yield home, ledger


def arrive(fact: Fact, home: Path, ledger: Ledger) -> None:
    """Lets a fact arrive; nobody can read a film that was not imported."""
    if isinstance(fact, Deleted):
        ledger.withdraw_annotations([fact.annotation])
        return
    if isinstance(fact, Imported):
        import_films(fact.films, home, ledger)
        return
    if ledger.radiograph(film_id(fact.film)) is None:
        import_films((fact.film,), home, ledger)
    ledger.record_readings([fact.reading])


def import_films(films: Sequence[int], home: Path, ledger: Ledger) -> None:
    report = import_items(
        [an_item(number) for number in films],
        pool=Pool(home / "pool"),
        ledger=ledger,
        source="films",
        salt=SALT,
        calibration_share=0.3,
        test_share=0.3,
        reference_splits=frozenset(),
        targets=SPEC.targets,
    )
    assert report.refused == []


def tables(ledger: Ledger) -> tuple[str, str]:
    """labels.csv and splits.csv of the version that would be committed now."""
    _, radiographs, readings = ledger.snapshot()
    labelled = consensus(radiographs, readings, SPEC, [CHIEF])
    images = {radiograph.id: radiograph.path for radiograph in radiographs}
    rows = label_rows(labelled, images, SPEC)
    return write_table(label_columns(SPEC), rows), write_table(SPLIT_COLUMNS, rows)


quick = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


# Properties


@quick
@given(histories())
def test_any_order_of_the_same_facts_gives_the_same_tables(
    empty_ledger: Path, history: tuple[list[Fact], list[Fact]]
) -> None:
    found = []
    for facts in history:
        with a_workspace(empty_ledger) as (home, ledger):
            for fact in facts:
                arrive(fact, home, ledger)

            found.append(tables(ledger))

    assert found[0] == found[1]


@quick
@given(histories())
def test_no_patient_is_ever_in_two_splits(
    empty_ledger: Path, history: tuple[list[Fact], list[Fact]]
) -> None:
    places: dict[str, str] = {}
    with a_workspace(empty_ledger) as (home, ledger):
        for fact in history[1]:
            arrive(fact, home, ledger)

            for row in read_table(tables(ledger)[1]):
                assert places.setdefault(row["patient"], row["split"]) == row["split"]


@quick
@given(histories())
def test_what_is_withdrawn_leaves_the_next_version_and_stays_in_the_history(
    empty_ledger: Path, history: tuple[list[Fact], list[Fact]]
) -> None:
    with a_workspace(empty_ledger) as (home, ledger):
        for fact in history[0]:
            arrive(fact, home, ledger)

        told = [fact for fact in history[0] if isinstance(fact, Told)]
        last = {fact.annotation: fact for fact in told if fact.annotation}
        deleted = {fact.annotation for fact in history[0] if isinstance(fact, Deleted)}
        counting = {key for key, fact in last.items() if key not in deleted and not fact.skipped}
        expected = {film_id(last[key].film) for key in counting}
        expected |= {film_id(fact.film) for fact in told if fact.reader == REFERENCE_READER}
        assert {row["id"] for row in read_table(tables(ledger)[0])} == expected
        values = [event.payload["new"] for event in ledger.events(kinds=[EventKind.LABEL])]
        for fact in told:
            assert any(
                value["reader"] == fact.reader and value["values"] == dict(fact.values)
                for value in values
            )
        assert ledger.verify_chain() == ledger.head()[0]


@pytest.mark.service
@settings(quick, max_examples=3)
@given(histories(), st.integers(5, 9))
def test_versions_on_the_way_do_not_change_what_the_last_one_says(
    empty_ledger: Path, history: tuple[list[Fact], list[Fact]], every: int
) -> None:
    found = []
    for facts, pause in zip(history, (len(history[0]), every), strict=True):
        with a_workspace(empty_ledger) as (home, ledger):
            repository = open_repository(home)
            for number, fact in enumerate([*facts, None], start=1):
                if fact is not None:
                    arrive(fact, home, ledger)
                if (fact is None or number % pause == 0) and has_labels(
                    ledger, repository.latest()
                ):
                    commit_current(ledger, repository, SPEC, "a test", [CHIEF])
            versions = [repository.rows(name) for name in repository.versions()]
            found.append(without_shards(versions[-1]) if versions else [])
            assert one_split_each([row for rows in versions for row in rows])

    assert found[0] == found[1]


def has_labels(ledger: Ledger, latest: str | None) -> bool:
    """Whether there is a first version to commit, or one that may withdraw everything."""
    return latest is not None or tables(ledger)[0].count("\n") > 1


def without_shards(rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Which shard holds an image tells when it came, not what is true."""
    return [{name: cell for name, cell in row.items() if name != "image"} for row in rows]


def one_split_each(rows: Sequence[dict[str, str]]) -> bool:
    patients: dict[str, set[str]] = {}
    for row in rows:
        patients.setdefault(row["patient"], set()).add(row["split"])
    return all(
        len(splits) == 1 and splits <= {s.value for s in Split} for splits in patients.values()
    )

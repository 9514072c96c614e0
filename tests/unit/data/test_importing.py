from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from data import pool as pool_module
from data.domain import REFERENCE_READER, Reading, Split, Value
from data.errors import InvalidInputError, ServiceUnavailableError, StorageError
from data.images.decoding import content_id
from data.importing.items import BATCH, ImportReport, import_items
from data.importing.records import ImportBatch
from data.ledger.events import EventKind
from data.ledger.ledger import Ledger
from data.pool import Pool
from data.sources.item import Delivered, SourceItem
from data.splits import pseudonym
from tests.unit.data.dataset_cases import SPEC, a_film, encoded
from tests.unit.data.ledger_cases import new_ledger, start_script

ALL_SPLITS = frozenset(Split)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with new_ledger(tmp_path) as ledger:
        yield ledger


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool(tmp_path / "pool")


def payload_of(seed: int) -> bytes:
    return encoded(a_film(12, 10, seed))


def in_memory(
    name: str, payload: bytes, patient: str, values: Mapping[str, Value] | None = None
) -> SourceItem:
    return SourceItem(name, None, patient, values or {}, load=partial(Delivered, payload))


def an_item(seed: int, patient: str = "", **values: Value) -> SourceItem:
    return in_memory(f"film-{seed}", payload_of(seed), patient or f"p{seed}", values)


def run_import(
    items: Iterable[SourceItem], pool: Pool, ledger: Ledger, **changed: Any
) -> ImportReport:
    rules: dict[str, Any] = {
        "source": "folder",
        "salt": "salt",
        "calibration_share": 0.2,
        "test_share": 0.2,
        "reference_splits": frozenset({Split.TEST}),
        "targets": SPEC.targets,
        "workers": 1,
    }
    return import_items(iter(items), pool=pool, ledger=ledger, **{**rules, **changed})


def test_new_radiographs_reach_pool_and_ledger(pool: Pool, ledger: Ledger) -> None:
    report = run_import([an_item(1), an_item(2)], pool, ledger)

    assert (report.new, report.known, report.refused) == (2, 0, [])
    assert set(report.radiograph_ids) == {"film-1", "film-2"}
    radiograph = ledger.radiographs_among([report.radiograph_ids["film-1"]])[
        content_id(payload_of(1))
    ]
    assert pool.path(radiograph).read_bytes() == payload_of(1)
    assert (radiograph.width, radiograph.height, radiograph.source) == (10, 12, "folder")


def test_the_ledger_never_sees_the_patient_as_the_source_names_him(
    pool: Pool, ledger: Ledger
) -> None:
    run_import([an_item(1, patient="Doe^John")], pool, ledger)

    (radiograph,) = ledger.radiographs()
    assert radiograph.patient == pseudonym("Doe^John", "salt")
    assert "Doe" not in repr(radiograph)


def test_importing_again_changes_nothing(pool: Pool, ledger: Ledger) -> None:
    items = [an_item(seed, sex="male") for seed in range(10)]
    first = run_import(items, pool, ledger, reference_splits=ALL_SPLITS)
    before = (ledger.radiographs(), ledger.readings(), ledger.head())

    again = run_import(items, pool, ledger, reference_splits=ALL_SPLITS)

    assert (again.new, again.known) == (0, 10)
    assert again.radiograph_ids == first.radiograph_ids
    assert (ledger.radiographs(), ledger.readings(), ledger.head()) == before


def test_a_doubled_image_is_known(pool: Pool, ledger: Ledger) -> None:
    twin = in_memory("twin", payload_of(1), "somebody else")

    report = run_import([an_item(1), twin], pool, ledger)

    assert (report.new, report.known) == (1, 1)
    assert report.radiograph_ids["twin"] == report.radiograph_ids["film-1"]
    (radiograph,) = ledger.radiographs()
    assert radiograph.patient == pseudonym("p1", "salt")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (in_memory("bad", b"no image", "p"), "not an image"),
        (SourceItem("bad", Path("/none.png"), "p"), "cannot be read"),
        (SourceItem("bad", problem="line 7: no age."), "line 7: no age."),
        (in_memory("bad", payload_of(9), " "), "identifier is empty"),
        (SourceItem("bad", patient="p"), "delivers no image"),
    ],
    ids=["not an image", "missing file", "problem of the source", "no patient", "nothing"],
)
def test_a_bad_item_is_refused_with_its_reason_and_the_rest_goes_on(
    pool: Pool, ledger: Ledger, bad: SourceItem, reason: str
) -> None:
    report = run_import([an_item(1), bad, an_item(2)], pool, ledger)

    ((name, why),) = report.refused
    assert name == "bad"
    assert reason in why
    assert report.new == 2
    assert set(report.radiograph_ids) == {"film-1", "film-2"}


def test_all_images_of_a_patient_are_in_one_split(pool: Pool, ledger: Ledger) -> None:
    run_import([an_item(seed, patient=f"p{seed % 5}") for seed in range(30)], pool, ledger)

    splits: dict[str, set[Split]] = {}
    for radiograph in ledger.radiographs():
        splits.setdefault(radiograph.patient, set()).add(radiograph.split)
    assert len(splits) == 5
    assert all(len(of_patient) == 1 for of_patient in splits.values())


def test_a_known_patient_keeps_the_split_when_the_shares_change(pool: Pool, ledger: Ledger) -> None:
    run_import([an_item(1, patient="ada")], pool, ledger, calibration_share=0.0, test_share=0.0)

    run_import([an_item(2, patient="ada")], pool, ledger, calibration_share=0.0, test_share=0.99)

    assert {radiograph.split for radiograph in ledger.radiographs()} == {Split.TRAIN}


def test_references_are_recorded_in_the_held_out_splits_only(pool: Pool, ledger: Ledger) -> None:
    items = [an_item(seed, age_months=float(seed), sex="male") for seed in range(40)]

    run_import(items, pool, ledger, reference_splits=frozenset({Split.TEST, Split.CALIBRATION}))

    held_out = {r.id for r in ledger.radiographs() if r.split is not Split.TRAIN}
    assert 0 < len(held_out) < 40
    recorded = {reading.radiograph_id: reading for reading in ledger.readings()}
    assert set(recorded) == held_out
    assert {reading.reader for reading in recorded.values()} == {REFERENCE_READER}
    by_id = {content_id(item.read().payload): item for item in items}
    assert all(r.values == by_id[key].values for key, r in recorded.items())


def test_an_item_without_values_gives_no_reference(pool: Pool, ledger: Ledger) -> None:
    run_import([an_item(1)], pool, ledger, reference_splits=ALL_SPLITS)

    assert ledger.readings() == []


def test_a_source_that_does_not_say_what_is_needed_gives_no_reference(
    pool: Pool, ledger: Ledger
) -> None:
    items = [an_item(1, sex="male"), an_item(2, sex="male", age_months=90.0)]

    run_import(items, pool, ledger, reference_splits=ALL_SPLITS, reference_needs="age_months")

    (reading,) = ledger.readings()
    assert reading.values == {"sex": "male", "age_months": 90.0}
    assert len(ledger.source_values()) == 2


def test_a_corrected_source_corrects_the_reference(pool: Pool, ledger: Ledger) -> None:
    run_import([an_item(1, sex="male")], pool, ledger, reference_splits=ALL_SPLITS)

    run_import([an_item(1, sex="female")], pool, ledger, reference_splits=ALL_SPLITS)

    (reading,) = ledger.readings()
    assert reading.values == {"sex": "female"}
    assert list(ledger.source_values().values()) == [{"sex": "female"}]


@pytest.mark.long
def test_the_ledger_is_written_in_batches(
    pool: Pool, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    record = Ledger.record_import

    def counted(self: Ledger, batch: ImportBatch, known: int) -> bool:
        sizes.append(len(batch.origins))
        return record(self, batch, known)

    monkeypatch.setattr(Ledger, "record_import", counted)
    payload = payload_of(1)
    items = [in_memory(f"film-{i}", payload, f"p{i}") for i in range(BATCH + 1)]

    run_import(items, pool, ledger)

    assert sizes == [BATCH, 1]


def test_progress_counts_every_item_dealt_with(pool: Pool, ledger: Ledger) -> None:
    seen: list[int] = []

    run_import(
        [an_item(1), in_memory("bad", b"", "p"), an_item(2), an_item(1)],
        pool,
        ledger,
        progress=seen.append,
    )

    assert seen == [1, 2, 3, 4]


def test_what_came_before_a_full_disk_stays_imported(
    pool: Pool, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = pool_module._write
    written = 0

    def disk_for_two(place: str, payload: bytes) -> None:
        nonlocal written
        if written == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(place, payload)
        written += 1

    monkeypatch.setattr(pool_module, "_write", disk_for_two)

    with pytest.raises(StorageError, match="full"):
        run_import([an_item(1), an_item(2), an_item(3), an_item(4)], pool, ledger)

    assert ledger.count_radiographs() == 2
    monkeypatch.undo()
    assert run_import([an_item(n) for n in (1, 2, 3, 4)], pool, ledger).new == 2


@pytest.mark.parametrize("wrong", [{"salt": ""}, {"test_share": 1.5}], ids=["no salt", "no share"])
def test_wrong_settings_stop_the_import_before_it_starts(
    pool: Pool, ledger: Ledger, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInputError):
        run_import([an_item(1)], pool, ledger, **wrong)

    assert not pool.root.exists()


def test_values_of_no_target_are_left_out(pool: Pool, ledger: Ledger) -> None:
    run_import(
        [an_item(1, sex="male", finding="normal")], pool, ledger, reference_splits=ALL_SPLITS
    )

    assert list(ledger.source_values().values()) == [{"sex": "male"}]
    assert [reading.values for reading in ledger.readings()] == [{"sex": "male"}]


def test_what_a_source_says_is_kept_for_every_split_and_is_no_reading(
    pool: Pool, ledger: Ledger
) -> None:
    run_import([an_item(1, sex="male")], pool, ledger, reference_splits=frozenset())

    assert list(ledger.source_values().values()) == [{"sex": "male"}]
    assert list(ledger.events(kinds=[EventKind.LABEL])) == []


def test_a_corrected_source_corrects_a_reference_that_was_made_of_its_word_later(
    pool: Pool, ledger: Ledger
) -> None:
    no_split: frozenset[Split] = frozenset()
    report = run_import([an_item(1, sex="male")], pool, ledger, reference_splits=no_split)
    key = report.radiograph_ids["film-1"]
    ledger.record_readings([Reading(key, REFERENCE_READER, {"sex": "male"}, datetime.now(UTC))])

    run_import([an_item(1, sex="female")], pool, ledger, reference_splits=no_split)

    assert [reading.values for reading in ledger.readings()] == [{"sex": "female"}]


def test_of_two_items_with_one_image_the_first_one_is_believed(pool: Pool, ledger: Ledger) -> None:
    items = [
        in_memory("one", payload_of(1), "p", {"sex": "male"}),
        in_memory("two", payload_of(1), "p", {"sex": "female"}),
    ]
    run_import(items, pool, ledger, reference_splits=ALL_SPLITS)

    report = run_import(items, pool, ledger, reference_splits=ALL_SPLITS)

    assert [name for name, _ in report.flagged] == ["two"]
    assert len(list(ledger.events(kinds=[EventKind.LABEL]))) == 1


def test_facts_of_the_source_are_kept_with_the_radiograph(pool: Pool, ledger: Ledger) -> None:
    delivered = Delivered(payload_of(1), {"laterality": "L", "burned_in_text": "possible"})
    item = SourceItem("film", None, "p", load=partial(lambda it: it, delivered))

    report = run_import([item], pool, ledger)

    (radiograph,) = ledger.radiographs()
    assert radiograph.metadata["laterality"] == "L"
    assert report.flagged == [("film", "possible burned-in text")]


def stamped(item: SourceItem, stamp: str, **changes: Any) -> SourceItem:
    return replace(item, stamp=stamp, **changes)


def never_read() -> Delivered:
    raise AssertionError("It was read again.")


def test_what_an_earlier_import_has_seen_is_not_read_again(pool: Pool, ledger: Ledger) -> None:
    first = run_import([stamped(an_item(1), "s1")], pool, ledger)

    again = run_import([stamped(an_item(1), "s1", load=never_read)], pool, ledger)

    assert (again.new, again.known) == (0, 1)
    assert again.radiograph_ids == first.radiograph_ids


@pytest.mark.parametrize(
    ("stamp", "rules"),
    [
        pytest.param("s2", {}, id="another stamp"),
        pytest.param("", {}, id="no stamp"),
        pytest.param("s1", {"force": True}, id="forced"),
        pytest.param("s1", {"source": "other"}, id="another source"),
    ],
)
def test_an_item_is_read_again_where_it_may_be_another(
    pool: Pool, ledger: Ledger, stamp: str, rules: dict[str, Any]
) -> None:
    run_import([stamped(an_item(1), "s1")], pool, ledger)
    changed = stamped(an_item(2), stamp, name="film-1")

    report = run_import([changed], pool, ledger, **rules)

    assert report.radiograph_ids == {"film-1": content_id(payload_of(2))}


def test_a_corrected_value_of_an_item_that_is_not_read_again_is_taken_over(
    pool: Pool, ledger: Ledger
) -> None:
    run_import([stamped(an_item(1, sex="male"), "s")], pool, ledger, reference_splits=ALL_SPLITS)

    item = stamped(an_item(1, sex="female"), "s", load=never_read)
    run_import([item], pool, ledger, reference_splits=ALL_SPLITS)

    assert [reading.values for reading in ledger.readings()] == [{"sex": "female"}]


def test_a_server_that_fails_for_one_item_stops_no_other(pool: Pool, ledger: Ledger) -> None:
    def fail() -> Delivered:
        raise ServiceUnavailableError("The archive does not answer.")

    told: list[tuple[str, str]] = []
    report = run_import(
        [SourceItem("lost", None, "p", load=fail), an_item(1)],
        pool,
        ledger,
        on_refused=lambda name, why: told.append((name, why)),
    )

    assert told == report.refused == [("lost", "The archive does not answer.")]
    assert report.new == 1


def test_a_refused_item_leaves_no_file(pool: Pool, ledger: Ledger) -> None:
    run_import([in_memory("bad", b"no image", "p")], pool, ledger)

    assert [path for path in pool.root.rglob("*") if path.is_file()] == []


def test_a_lost_file_of_a_known_radiograph_is_put_back(pool: Pool, ledger: Ledger) -> None:
    run_import([an_item(1)], pool, ledger)
    (radiograph,) = ledger.radiographs()
    pool.path(radiograph).unlink()

    run_import([an_item(1)], pool, ledger)

    assert pool.path(radiograph).read_bytes() == payload_of(1)


def test_another_import_at_the_same_time_is_compared_too(
    pool: Pool, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Ledger.record_import

    def overtaken(self: Ledger, batch: ImportBatch, known: int) -> bool:
        monkeypatch.undo()
        run_import([an_item(2)], pool, ledger)
        return record(self, batch, known)

    monkeypatch.setattr(Ledger, "record_import", overtaken)

    report = run_import([an_item(1), an_item(2)], pool, ledger)

    assert (report.new, report.known) == (1, 1)
    assert ledger.count_radiographs() == len(ledger.fingerprints()) == 2


@pytest.mark.long
def test_a_killed_import_goes_on_where_it_was(pool: Pool, ledger: Ledger, tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.unit.data import test_importing as cases\n"
        "import data.importing.items\n"
        "data.importing.items.BATCH = 10\n"
        "home = Path(sys.argv[1])\n"
        "ledger = cases.Ledger.open(f'sqlite:///{home}/ledger.db')\n"
        "def items():\n"
        "    for number in range(25):\n"
        "        yield cases.an_item(number)\n"
        "    print('listed', flush=True)\n"
        "    sys.stdin.read()\n"
        "cases.run_import(items(), cases.Pool(home / 'pool'), ledger)\n"
    )
    killed = start_script(script, str(tmp_path))
    assert killed.stdout is not None
    assert killed.stdout.readline() == "listed\n"
    killed.kill()
    killed.communicate()

    report = run_import([an_item(number) for number in range(25)], pool, ledger)

    assert (report.new, report.known) == (5, 20)
    assert all(pool.path(one).exists() for one in ledger.radiographs())

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from data import atomic
from data.domain import REFERENCE_READER, Radiograph, Reading, Split, Value
from data.errors import InvalidInputError, StorageError
from data.images import content_id
from data.importing import BATCH, ImportReport, import_items
from data.pool import Pool
from data.sources.item import Delivered, SourceItem
from data.splits import pseudonym
from tests.unit.data.dataset_cases import a_film, encoded

ALL_SPLITS = frozenset(Split)


class FakeLedger:
    """Keeps radiographs and reference readings in dictionaries, and counts its transactions."""

    def __init__(self) -> None:
        self.known: dict[str, Radiograph] = {}
        self.recorded: dict[str, Reading] = {}
        self.transactions = 0

    def radiographs(self, split: Split | None = None) -> list[Radiograph]:
        return [r for r in self.known.values() if split in (None, r.split)]

    def patient_splits(self, patients: Collection[str]) -> dict[str, Split]:
        return {r.patient: r.split for r in self.known.values() if r.patient in patients}

    def add_radiographs(self, radiographs: Sequence[Radiograph]) -> int:
        self.transactions += 1
        before = len(self.known)
        self.known = {**{r.id: r for r in radiographs}, **self.known}
        return len(self.known) - before

    def record_readings(self, readings: Sequence[Reading]) -> int:
        changed = [r for r in readings if self.recorded.get(r.radiograph_id) != r]
        self.recorded.update({r.radiograph_id: r for r in changed})
        return len(changed)


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


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
    items: Sequence[SourceItem], pool: Pool, ledger: FakeLedger, **changed: Any
) -> ImportReport:
    rules: dict[str, Any] = {
        "source": "folder",
        "salt": "salt",
        "calibration_share": 0.2,
        "test_share": 0.2,
        "reference_splits": frozenset({Split.TEST}),
    }
    return import_items(iter(items), pool=pool, ledger=ledger, **{**rules, **changed})


def test_new_radiographs_reach_pool_and_ledger(pool: Pool, ledger: FakeLedger) -> None:
    report = run_import([an_item(1), an_item(2)], pool, ledger)

    assert (report.new, report.known, report.refused) == (2, 0, [])
    assert set(report.radiograph_ids) == {"film-1", "film-2"}
    radiograph = ledger.known[report.radiograph_ids["film-1"]]
    assert pool.path(radiograph).read_bytes() == payload_of(1)
    assert (radiograph.width, radiograph.height, radiograph.source) == (10, 12, "folder")


def test_the_ledger_never_sees_the_patient_as_the_source_names_him(
    pool: Pool, ledger: FakeLedger
) -> None:
    run_import([an_item(1, patient="Doe^John")], pool, ledger)

    (radiograph,) = ledger.known.values()
    assert radiograph.patient == pseudonym("Doe^John", "salt")
    assert "Doe" not in repr(radiograph)


def test_importing_again_changes_nothing(pool: Pool, ledger: FakeLedger) -> None:
    items = [an_item(seed, sex="male") for seed in range(10)]
    first = run_import(items, pool, ledger, reference_splits=ALL_SPLITS)
    known, recorded = dict(ledger.known), dict(ledger.recorded)

    again = run_import(items, pool, ledger, reference_splits=ALL_SPLITS)

    assert (again.new, again.known) == (0, 10)
    assert again.radiograph_ids == first.radiograph_ids
    assert (ledger.known, ledger.recorded) == (known, recorded)


def test_a_doubled_image_is_known(pool: Pool, ledger: FakeLedger) -> None:
    twin = in_memory("twin", payload_of(1), "somebody else")

    report = run_import([an_item(1), twin], pool, ledger)

    assert (report.new, report.known) == (1, 1)
    assert report.radiograph_ids["twin"] == report.radiograph_ids["film-1"]
    (radiograph,) = ledger.known.values()
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
    pool: Pool, ledger: FakeLedger, bad: SourceItem, reason: str
) -> None:
    report = run_import([an_item(1), bad, an_item(2)], pool, ledger)

    ((name, why),) = report.refused
    assert name == "bad"
    assert reason in why
    assert report.new == 2
    assert set(report.radiograph_ids) == {"film-1", "film-2"}


def test_all_images_of_a_patient_are_in_one_split(pool: Pool, ledger: FakeLedger) -> None:
    run_import([an_item(seed, patient=f"p{seed % 5}") for seed in range(30)], pool, ledger)

    splits: dict[str, set[Split]] = {}
    for radiograph in ledger.known.values():
        splits.setdefault(radiograph.patient, set()).add(radiograph.split)
    assert len(splits) == 5
    assert all(len(of_patient) == 1 for of_patient in splits.values())


def test_a_known_patient_keeps_the_split_when_the_shares_change(
    pool: Pool, ledger: FakeLedger
) -> None:
    run_import([an_item(1, patient="ada")], pool, ledger, calibration_share=0.0, test_share=0.0)

    run_import([an_item(2, patient="ada")], pool, ledger, calibration_share=0.0, test_share=0.99)

    assert {radiograph.split for radiograph in ledger.known.values()} == {Split.TRAIN}


def test_references_are_recorded_in_the_held_out_splits_only(
    pool: Pool, ledger: FakeLedger
) -> None:
    items = [an_item(seed, age_months=float(seed), sex="male") for seed in range(40)]

    run_import(items, pool, ledger, reference_splits=frozenset({Split.TEST, Split.CALIBRATION}))

    held_out = {r.id for r in ledger.known.values() if r.split is not Split.TRAIN}
    assert 0 < len(held_out) < 40
    assert set(ledger.recorded) == held_out
    assert {reading.reader for reading in ledger.recorded.values()} == {REFERENCE_READER}
    by_id = {content_id(item.read().payload): item for item in items}
    assert all(r.values == by_id[key].values for key, r in ledger.recorded.items())


def test_an_item_without_values_gives_no_reference(pool: Pool, ledger: FakeLedger) -> None:
    run_import([an_item(1)], pool, ledger, reference_splits=ALL_SPLITS)

    assert ledger.recorded == {}


def test_a_corrected_source_corrects_the_reference(pool: Pool, ledger: FakeLedger) -> None:
    run_import([an_item(1, sex="male")], pool, ledger, reference_splits=ALL_SPLITS)

    run_import([an_item(1, sex="female")], pool, ledger, reference_splits=ALL_SPLITS)

    (reading,) = ledger.recorded.values()
    assert reading.values == {"sex": "female"}


def test_the_ledger_is_written_in_batches(pool: Pool, ledger: FakeLedger) -> None:
    payload = payload_of(1)
    items = [in_memory(f"film-{i}", payload, f"p{i}") for i in range(BATCH + 1)]

    run_import(items, pool, ledger)

    assert ledger.transactions == 2


def test_progress_counts_every_item_dealt_with(pool: Pool, ledger: FakeLedger) -> None:
    seen: list[int] = []

    run_import(
        [an_item(1), in_memory("bad", b"", "p"), an_item(2), an_item(1)],
        pool,
        ledger,
        progress=seen.append,
    )

    assert seen == [1, 2, 3, 4]


def test_what_came_before_a_full_disk_stays_imported(
    pool: Pool, ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_fsync = os.fsync
    written = 0

    def disk_for_two(descriptor: int) -> None:
        nonlocal written
        written += 1
        if written > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real_fsync(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", disk_for_two)

    with pytest.raises(StorageError, match="full"):
        run_import([an_item(1), an_item(2), an_item(3), an_item(4)], pool, ledger)

    assert len(ledger.known) == 2
    monkeypatch.undo()
    assert run_import([an_item(n) for n in (1, 2, 3, 4)], pool, ledger).new == 2


@pytest.mark.parametrize("wrong", [{"salt": ""}, {"test_share": 1.5}], ids=["no salt", "no share"])
def test_wrong_settings_stop_the_import_before_it_starts(
    pool: Pool, ledger: FakeLedger, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInputError):
        run_import([an_item(1)], pool, ledger, **wrong)

    assert not pool.root.exists()

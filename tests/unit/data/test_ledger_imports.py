from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data.domain import Split
from data.errors import LedgerError
from data.importing.records import ImportBatch, NearDuplicate, Origin
from data.ledger.events import EventKind
from data.ledger.ledger import Ledger
from tests.unit.data.ledger_cases import a_radiograph, a_reference, new_ledger, radiograph_id

ONE, TWO = radiograph_id(1), radiograph_id(2)
PRINTS = {ONE: bytes(range(256)), TWO: bytes(256)}
BATCH = ImportBatch(
    radiographs=[a_radiograph(1), replace(a_radiograph(2), metadata={"laterality": "L"})],
    fingerprints=PRINTS,
    near_duplicates=[NearDuplicate(TWO, ONE, 0.125)],
    origins={"k1": Origin(ONE, "s1"), "k2": Origin(TWO, "")},
    source_values={ONE: {"age_months": 12.5, "sex": "male"}},
    references=[a_reference(1)],
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with new_ledger(tmp_path) as ledger:
        yield ledger


def test_a_batch_is_read_back_as_it_was_told(ledger: Ledger) -> None:
    assert ledger.record_import(BATCH, 0)

    assert ledger.radiographs() == list(BATCH.radiographs)
    assert ledger.radiographs()[1].metadata == {"laterality": "L"}
    assert ledger.radiographs_among([TWO, radiograph_id(3)]) == {TWO: BATCH.radiographs[1]}
    assert ledger.fingerprints() == PRINTS
    assert ledger.near_duplicates() == list(BATCH.near_duplicates)
    assert ledger.origins(["k1", "k2", "k3"]) == BATCH.origins
    assert ledger.source_values() == ledger.source_values([ONE, TWO]) == BATCH.source_values
    assert ledger.with_reference([ONE, TWO]) == {ONE}
    assert [reading.radiograph_id for reading in ledger.readings()] == [ONE]


def test_the_same_batch_again_changes_nothing(ledger: Ledger) -> None:
    ledger.record_import(BATCH, 0)
    events = list(ledger.events())

    assert ledger.record_import(BATCH, 2)

    assert list(ledger.events()) == events
    assert len(ledger.near_duplicates()) == 1


def test_a_corrected_source_moves_what_it_says_and_its_stamp(ledger: Ledger) -> None:
    ledger.record_import(BATCH, 0)

    ledger.record_import(
        ImportBatch(origins={"k1": Origin(ONE, "s2")}, source_values={ONE: {"sex": "female"}}), 2
    )

    assert ledger.origins(["k1", "k2"]) == {"k1": Origin(ONE, "s2"), "k2": Origin(TWO, "")}
    assert ledger.source_values() == {ONE: {"sex": "female"}}


def test_a_batch_that_was_not_compared_with_all_films_is_not_written(ledger: Ledger) -> None:
    ledger.record_import(ImportBatch([a_radiograph(3)], {radiograph_id(3): PRINTS[ONE]}), 0)

    assert not ledger.record_import(BATCH, 0)

    assert [radiograph.id for radiograph in ledger.radiographs()] == [radiograph_id(3)]


@pytest.mark.parametrize(
    "facts",
    [
        {"fingerprints": PRINTS},
        {"origins": BATCH.origins},
        {"source_values": BATCH.source_values},
        {"near_duplicates": BATCH.near_duplicates},
    ],
    ids=lambda facts: next(iter(facts)),
)
def test_what_is_told_of_an_unknown_radiograph_is_refused(
    ledger: Ledger, facts: dict[str, Any]
) -> None:
    with pytest.raises(LedgerError, match="FOREIGN KEY"):
        ledger.record_import(ImportBatch(**facts), 0)


def test_a_batch_with_a_patient_in_another_split_is_refused_as_a_whole(ledger: Ledger) -> None:
    ledger.record_import(BATCH, 0)
    moved = a_radiograph(4, patient=a_radiograph(1).patient, split=Split.TEST)

    with pytest.raises(LedgerError, match="for ever"):
        ledger.record_import(ImportBatch([a_radiograph(3), moved]), 2)

    assert ledger.count_radiographs() == 2


def test_what_a_source_says_is_no_event_unless_it_is_a_reference(ledger: Ledger) -> None:
    ledger.record_import(replace(BATCH, references=[]), 0)

    assert list(ledger.events(kinds=[EventKind.LABEL])) == []

"""A version is the same, whether it is worked out from what changed or from everything."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data.domain import LabelledRadiograph, Radiograph, Reading, Split, Target, TaskSpec
from data.errors import VersionError
from data.ledger.events import Head
from data.ledger.ledger import Ledger
from data.readers.agreement import label_noise
from data.readers.consensus import consensus
from data.versions.draft import (
    LabelState,
    Tables,
    VersionDraft,
    change_rows,
    change_tables,
    draft_version,
    no_tables,
)
from data.versions.rules import rules_of
from data.versions.tally import Tally
from tests.unit.data.dataset_cases import (
    HEAD,
    NOON,
    SPEC,
    a_label,
    a_radiograph,
    a_reading,
    radiograph_id,
)

FILES = {radiograph_id(n): f"images/shard-0001/{radiograph_id(n)}.png" for n in range(20)}
READERS = ("ada@example.org", "bob@example.org", "eve@example.org", "reference")


def a_state(*labels: LabelledRadiograph, **other: Any) -> LabelState:
    return LabelState(labels, "50 new labels", HEAD, NOON, **other)


def drafted(
    state: LabelState,
    tables: Tables | None = None,
    spec: TaskSpec = SPEC,
    carried: Tally | None = None,
) -> tuple[VersionDraft | None, Tables]:
    """The draft of version 7 on top of these tables, and its tables; None: nothing changed."""
    before = tables or no_tables(spec)
    change = change_rows(spec, state, before, FILES)
    if not change.lines:
        return None, before
    after = change_tables(spec, before, change)
    size = 1000 * len(after.labels)
    pair = (before, after)
    draft = draft_version(spec, state, pair, change, number=7, image_bytes=size, carried=carried)
    return draft, after


def test_a_draft_holds_name_tables_report_picture_and_message() -> None:
    draft, _ = drafted(a_state(a_label(2), a_label(1, split=Split.TEST, reference=True)))

    assert draft is not None
    assert draft.name == "v0007"
    assert set(draft.texts) == {"labels.csv", "splits.csv", "DATASET.md", "age_months_by_sex.svg"}
    assert draft.texts["splits.csv"].decode() == (
        f"id,patient,split\n{radiograph_id(1)},{1:016x},test\n{radiograph_id(2)},{2:016x},train\n"
    )
    assert "+2 labels, 0 corrected, 0 withdrawn" in draft.message
    assert "Expert-Labels: 1\n" in draft.message
    assert b"2 kB of images" in draft.texts["DATASET.md"]


def test_the_same_labels_again_are_no_change() -> None:
    _, tables = drafted(a_state(a_label(1), a_label(2)))

    assert drafted(a_state(a_label(2), a_label(1)), tables)[0] is None


def test_what_is_not_named_stays_if_the_state_is_of_some_radiographs_only() -> None:
    _, tables = drafted(a_state(a_label(1), a_label(2), a_label(3)))

    draft, _ = drafted(a_state(a_label(2, age=9.0), unlabelled={radiograph_id(3)}), tables)

    assert draft is not None
    assert "v0007: +0 labels, 1 corrected, 1 withdrawn" in draft.message
    assert draft.texts["labels.csv"].count(b"\n") == 3


def test_all_labels_may_be_withdrawn_again() -> None:
    _, tables = drafted(a_state(a_label(1)))

    draft, _ = drafted(a_state(), tables)

    assert draft is not None
    assert draft.texts["labels.csv"].count(b"\n") == 1
    assert "+0 labels, 0 corrected, 1 withdrawn" in draft.message


def test_two_labels_for_one_radiograph_are_refused() -> None:
    with pytest.raises(VersionError, match="two labels"):
        drafted(a_state(a_label(1), a_label(1, age=50.0)))


@pytest.mark.parametrize("other", [2, 1], ids=["another radiograph", "the same radiograph"])
def test_a_patient_who_changed_the_split_is_refused(other: int) -> None:
    _, tables = drafted(a_state(a_label(1, patient="p", split=Split.TRAIN)))
    moved = a_label(other, patient="p", split=Split.TEST)

    with pytest.raises(VersionError, match="one split for ever"):
        drafted(a_state(moved, unlabelled=()), tables)


def test_a_task_with_another_target_writes_every_row_anew() -> None:
    _, tables = drafted(a_state(a_label(1), a_label(2)))
    spec = replace(SPEC, targets=(*SPEC.targets, Target("side", "choice", choices=("left",))))

    draft, after = drafted(a_state(a_label(1), a_label(2)), tables, spec)

    assert draft is not None
    assert "side" in after.labels.names
    assert len(after.labels) == 2
    assert "+0 labels, 0 corrected, 0 withdrawn, 2 confirmed" in draft.message


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"title": "Other"}, True),
        ({"targets": SPEC.targets[:1]}, False),
        ({"targets": (replace(SPEC.targets[0], tolerance=6), SPEC.targets[1])}, False),
    ],
    ids=["nothing", "title", "targets", "tolerance"],
)
def test_rules_are_other_ones_if_the_same_readings_may_give_other_labels(
    change: Mapping[str, Any], same: bool
) -> None:
    assert (rules_of(replace(SPEC, **change)) == rules_of(SPEC)) == same


def test_adjudicators_are_part_of_the_rules() -> None:
    assert rules_of(SPEC, ["ada@example.org"]) != rules_of(SPEC)
    assert rules_of(SPEC, ["ada@example.org", "b"]) == rules_of(SPEC, ["B", "Ada@example.org"])


# Incremental and from scratch

numbers = st.integers(1, 6)
readings = st.builds(
    lambda reader, number, annotation, minute, age, sex, withdrawn: replace(
        a_reading(reader, number, minute, withdrawn, **age, **sex),
        annotation="" if reader == "reference" else f"1:{annotation}",
        read_at=NOON + timedelta(minutes=minute),
    ),
    reader=st.sampled_from(READERS),
    number=numbers,
    annotation=st.integers(1, 4),
    minute=st.integers(0, 500),
    age=st.sampled_from([{}, {"age_months": 60.0}, {"age_months": 90.5}]),
    sex=st.sampled_from([{}, {"sex": "female"}, {"sex": "male"}]),
    withdrawn=st.sampled_from([False, False, False, True]),
)
steps = st.one_of(
    readings,
    st.builds(lambda number: ("withdraw", f"1:{number}"), st.integers(1, 4)),
    st.builds(lambda number: ("import", number), st.integers(7, 12)),
    st.just(("commit", "")),
)


@pytest.fixture(scope="module")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with six radiographs of four patients, which tests copy."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    with Ledger.open(f"sqlite:///{path}") as ledger:
        ledger.add_radiographs([pooled(number) for number in range(1, 7)])
    return path


def pooled(number: int) -> Radiograph:
    patient = number % 4
    return a_radiograph(number, list(Split)[patient % 3], f"{patient:016x}")


def state_of(ledger: Ledger, after: Head | None) -> LabelState:
    """What workers commit, from everything (None) or from what changed."""
    found = ledger.label_snapshot(after)
    rows = consensus(found.radiographs, found.readings, SPEC, ["eve@example.org"])
    noise = label_noise(found.several, SPEC, ["eve@example.org"])
    gone = None
    if found.changed is not None:
        gone = found.changed - {row.radiograph.id for row in rows}
    return LabelState(
        rows,
        "trigger",
        found.head,
        NOON,
        unlabelled=gone,
        rules=rules_of(SPEC),
        noise=replace(noise, labelled=found.read),
        near_duplicates=found.near_duplicates,
    )


MOVED = [
    replace(a_reading(number=number, minute=minute, age_months=60.0), annotation="1:1")
    for minute, number in enumerate((1, 2))
]
"""One annotation, which is first told of one radiograph and then of another."""


@pytest.mark.long
@settings(deadline=None, max_examples=50)
@example(history=[MOVED[0], ("commit", ""), MOVED[1]])
@given(history=st.lists(steps, max_size=40))
def test_a_version_from_what_changed_is_a_version_from_scratch(
    empty_ledger: Path, history: list[Reading | tuple[str, Any]]
) -> None:
    tables, head, tally = no_tables(SPEC), None, Tally.of(SPEC, no_tables(SPEC).labels)
    with (
        TemporaryDirectory() as folder,
        Ledger.open(f"sqlite:///{shutil.copy(empty_ledger, folder)}") as ledger,
    ):
        for step in [*history, ("commit", "")]:
            if isinstance(step, Reading):
                ledger.record_readings([step])
            elif step[0] == "withdraw":
                ledger.withdraw_annotations([step[1]])
            elif step[0] == "import":
                ledger.add_radiographs([pooled(step[1])])
            else:
                changed, everything = state_of(ledger, head), state_of(ledger, None)

                draft, after = drafted(changed, tables, carried=tally)

                assert drafted(everything, tables)[0] == draft
                scratch = drafted(everything)[1]
                assert after.labels.text == scratch.labels.text
                assert after.splits.text == scratch.splits.text
                tables, head = after, changed.ledger_head
                tally = draft.tally if draft else tally

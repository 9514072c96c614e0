"""Reconcile ends in the same state whatever happened to the webhooks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from data.errors import ServiceUnavailableError
from data.ledger.ledger import Ledger
from labeling_config.tasks import load_task
from tests.unit.workers.workspace import PROJECT, FakeLabelStudio, with_tasks
from workers.reconcile import CURSOR, FULL_EVERY, REFUSED, full_is_due, reconcile_labels
from workers.rescoring import open_tasks

SPEC = load_task("bone_age")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


@pytest.fixture
def studio(ledger: Ledger) -> FakeLabelStudio:
    fake = FakeLabelStudio()
    with_tasks(ledger, fake, 5)
    return fake


def ages(ledger: Ledger) -> dict[str, object]:
    return {r.annotation: r.values["age_months"] for r in ledger.readings()}


def test_submitted_annotations_become_readings(ledger: Ledger, studio: FakeLabelStudio) -> None:
    studio.submit(11, task=1, age=100)
    studio.submit(12, task=2, age=50)

    report = reconcile_labels(studio, ledger, SPEC)

    assert report.changed == 2
    assert ages(ledger) == {"1:11": 100, "1:12": 50}
    assert {r.reader for r in ledger.readings()} == {"reader@example.org"}


def test_reconciling_twice_changes_nothing(ledger: Ledger, studio: FakeLabelStudio) -> None:
    studio.submit(11, task=1, age=100)
    reconcile_labels(studio, ledger, SPEC)
    head = ledger.head()

    report = reconcile_labels(studio, ledger, SPEC)

    assert report.changed == 0
    assert ledger.head() == head


def test_a_correction_replaces_the_reading(ledger: Ledger, studio: FakeLabelStudio) -> None:
    studio.submit(11, task=1, age=100)
    reconcile_labels(studio, ledger, SPEC)

    studio.submit(11, task=1, age=110)
    report = reconcile_labels(studio, ledger, SPEC)

    assert report.changed == 1
    assert ages(ledger) == {"1:11": 110}


def test_a_deleted_annotation_is_withdrawn(ledger: Ledger, studio: FakeLabelStudio) -> None:
    studio.submit(11, task=1, age=100)
    reconcile_labels(studio, ledger, SPEC)

    studio.delete(11)
    report = reconcile_labels(studio, ledger, SPEC)

    assert report.changed == 1
    assert ledger.readings() == []


def test_an_annotation_that_a_list_lacks_is_not_taken_for_deleted(
    ledger: Ledger, studio: FakeLabelStudio
) -> None:
    studio.submit(11, task=1, age=100)
    reconcile_labels(studio, ledger, SPEC)

    studio.left_out = {11}
    report = reconcile_labels(studio, ledger, SPEC)

    assert report.changed == 0
    assert ages(ledger) == {"1:11": 100}


def test_a_full_reconcile_brings_back_a_label_that_was_lost(
    ledger: Ledger, studio: FakeLabelStudio
) -> None:
    studio.submit(11, task=1, age=100)
    studio.submit(12, task=2, age=50)
    reconcile_labels(studio, ledger, SPEC)
    ledger.withdraw_annotations(["1:11"])

    reconcile_labels(studio, ledger, SPEC, full=True)

    assert ages(ledger) == {"1:11": 100, "1:12": 50}


def test_every_annotation_is_looked_at_again_now_and_then(ledger: Ledger) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    assert full_is_due(ledger, now)
    assert not full_is_due(ledger, now + FULL_EVERY - timedelta(seconds=1))
    assert full_is_due(ledger, now + FULL_EVERY)


def test_a_skipped_radiograph_is_no_label(ledger: Ledger, studio: FakeLabelStudio) -> None:
    studio.submit(11, task=1, age=100, skipped=True)

    reconcile_labels(studio, ledger, SPEC)

    assert ledger.readings() == []


def test_a_film_that_cannot_be_read_waits_for_nobody_and_is_no_label(
    ledger: Ledger, studio: FakeLabelStudio
) -> None:
    studio.submit(1, 1, 100.0, unreadable="exposure")

    for full in (False, True):
        reconcile_labels(studio, ledger, SPEC, full=full)

    (reading,) = ledger.readings()
    assert (reading.unreadable, reading.values) == ("exposure", {})
    assert reading.radiograph_id not in open_tasks(ledger, PROJECT).values()
    assert ledger.changed_radiographs(after=0) == 0


def test_only_what_changed_is_asked_for_the_second_time(
    ledger: Ledger, studio: FakeLabelStudio
) -> None:
    studio.submit(11, task=1, age=100)
    reconcile_labels(studio, ledger, SPEC)

    reconcile_labels(studio, ledger, SPEC)

    first, second = studio.asked_since
    assert first is None
    assert second is not None
    assert second < studio.clock  # asks again a little further back


def test_an_impossible_age_is_refused_and_the_rest_is_taken(
    ledger: Ledger, studio: FakeLabelStudio
) -> None:
    studio.submit(11, task=1, age=999)
    studio.submit(12, task=2, age=50)

    report = reconcile_labels(studio, ledger, SPEC)

    assert ages(ledger) == {"1:12": 50}
    assert "999" in report.refused["1:11"]
    assert report.refused["1:11"].endswith(" Correct it in task 1.")
    assert "1:11" in json.loads(ledger.get_state(REFUSED) or "{}")


def test_a_refused_annotation_is_forgotten_once_it_is_corrected(
    ledger: Ledger, studio: FakeLabelStudio
) -> None:
    studio.submit(11, task=1, age=999)
    reconcile_labels(studio, ledger, SPEC)

    studio.submit(11, task=1, age=99)
    reconcile_labels(studio, ledger, SPEC)

    assert json.loads(ledger.get_state(REFUSED) or "{}") == {}
    assert ages(ledger) == {"1:11": 99}


def test_an_unknown_task_is_reported_and_the_rest_is_taken(
    ledger: Ledger, studio: FakeLabelStudio
) -> None:
    studio.submit(11, task=77, age=100)
    studio.submit(12, task=2, age=50)

    report = reconcile_labels(studio, ledger, SPEC)

    assert report.unknown_tasks == [77]
    assert ages(ledger) == {"1:12": 50}


def test_label_studio_down_leaves_the_ledger_as_it_was(
    ledger: Ledger, studio: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.submit(11, task=1, age=100)
    reconcile_labels(studio, ledger, SPEC)
    before = ledger.head(), ledger.get_state(CURSOR)

    def down(project: int) -> set[int]:
        raise ServiceUnavailableError("Label Studio does not answer.")

    monkeypatch.setattr(studio, "user_emails", lambda: down(PROJECT))
    with pytest.raises(ServiceUnavailableError):
        reconcile_labels(studio, ledger, SPEC)

    assert (ledger.head(), ledger.get_state(CURSOR)) == before

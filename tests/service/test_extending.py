"""The working set grows by N: for the experts, or out of a labelled source into a version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from data.domain import Radiograph, Reading, Split
from data.errors import NotFoundError
from data.importing.records import ImportBatch
from data.ledger.ledger import Ledger
from labeling_config.client import TaskState
from labeling_config.codec import radiograph_of_task_data
from tests.unit.data.dataset_cases import a_film, encoded
from workers import extending
from workers.assembly import dataset, pool, task
from workers.bootstrap import PROJECT
from workers.extending import extend_for_experts, extend_from_labelled, extension_sentence
from workers.scheduling import loop_state
from workers.settings import Settings

pytestmark = pytest.mark.service

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Studio:
    """Makes tasks and lists them."""

    made: dict[int, dict[str, Any]] = field(default_factory=dict)

    def import_tasks(self, project: int, data: Sequence[dict[str, Any]]) -> list[int]:
        numbers = list(range(len(self.made) + 1, len(self.made) + len(data) + 1))
        self.made |= dict(zip(numbers, data, strict=True))
        return numbers

    def tasks(self, project: int) -> Iterator[TaskState]:
        for number, data in self.made.items():
            yield TaskState(number, data, NOW, ())


@pytest.fixture
def settings(tmp_workspace: Settings) -> Settings:
    return replace(tmp_workspace, working_set="chosen")


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger.open(settings.ledger) as opened:
        opened.set_state(PROJECT, '{"id": 1, "backend_id": 2}')
        yield opened


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> Studio:
    made = Studio()
    monkeypatch.setattr(extending, "label_studio", lambda settings: made)
    return made


def imported(settings: Settings, ledger: Ledger, count: int, *, labelled: bool) -> list[str]:
    """Puts films into pool and ledger, with what their source says if it has labelled them."""
    images = [pool(settings).add(encoded(a_film(12, 10, seed))) for seed in range(count)]
    films = [
        Radiograph(i.id, i.id[:16], Split.TRAIN, "source", i.path, i.width, i.height, NOW)
        for i in images
    ]
    values = {"age_months": 100.0, "sex": "female"}
    told = {film.id: values for film in films} if labelled else {}
    ledger.record_import(ImportBatch(radiographs=films, source_values=told), 0)
    return [film.id for film in films]


def shown(settings: Settings, studio: Studio) -> list[str | None]:
    return [radiograph_of_task_data(task(settings), data) for data in studio.made.values()]


def test_the_next_radiographs_are_put_before_the_experts(
    settings: Settings, ledger: Ledger, studio: Studio
) -> None:
    films = imported(settings, ledger, 10, labelled=False)

    first = extend_for_experts(settings, ledger, 4)
    second = extend_for_experts(settings, ledger, 4)

    assert (first.by, first.left, second.left) == ("random", 6, 2)
    assert sorted(filter(None, shown(settings, studio))) == sorted(
        first.radiograph_ids + second.radiograph_ids
    )
    assert set(first.radiograph_ids + second.radiograph_ids) < set(films)


def test_when_all_are_before_the_experts_it_says_so(
    settings: Settings, ledger: Ledger, studio: Studio
) -> None:
    imported(settings, ledger, 2, labelled=False)
    extend_for_experts(settings, ledger, 5)

    with pytest.raises(NotFoundError, match="import more"):
        extend_for_experts(settings, ledger, 1)


def test_a_labelled_source_is_cut_into_versions(settings: Settings, ledger: Ledger) -> None:
    imported(settings, ledger, 10, labelled=True)

    first, one = extend_from_labelled(settings, ledger, 4)
    second, two = extend_from_labelled(settings, ledger, 3)

    assert (one.version.name, one.version.labels) == ("v0001", 4)
    assert (two.version.name, two.version.labels) == ("v0002", 7)
    rows = dataset(settings, task(settings)).rows("v0002")
    assert {row["id"] for row in rows} == set(first.radiograph_ids + second.radiograph_ids)
    assert {row["reference"] for row in rows} == {"true"}
    assert loop_state(ledger, NOW).new_labels == 7
    assert extension_sentence(first, one) == (
        "4 radiographs, chosen by random, are in the dataset: v0001; 6 are left to choose from."
    )


def test_in_review_mode_a_cut_is_proposed_and_called_a_proposal(
    settings: Settings, ledger: Ledger
) -> None:
    imported(settings, ledger, 2, labelled=True)

    extension, committed = extend_from_labelled(replace(settings, review="branch"), ledger, 2)

    assert committed.branch == "proposals/v0001"
    assert "wait for a person on branch proposals/v0001" in extension_sentence(extension, committed)


def test_what_an_expert_has_read_is_not_taken_from_the_source(
    settings: Settings, ledger: Ledger
) -> None:
    read, other = imported(settings, ledger, 2, labelled=True)
    ledger.record_readings([Reading(read, "ada", {"age_months": 90.0}, NOW, "1:1")])

    extension, _ = extend_from_labelled(settings, ledger, 5)

    assert extension.radiograph_ids == (other,)


def test_without_a_labelled_source_it_says_so(settings: Settings, ledger: Ledger) -> None:
    imported(settings, ledger, 2, labelled=False)

    with pytest.raises(NotFoundError, match="labelled source"):
        extend_from_labelled(settings, ledger, 1)

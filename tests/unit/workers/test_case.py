"""What is gathered of one radiograph, for films of which much, little or nothing is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from data.domain import REFERENCE_READER, DatasetVersion, Prediction
from data.errors import NotFoundError, VersionError
from data.ledger.ledger import Ledger
from data.runs import RunState
from tests.unit.data.dataset_cases import (
    NOON,
    SPEC,
    a_radiograph,
    a_reading,
    radiograph_id,
)
from workers.bootstrap import PROJECT
from workers.case import Case, CaseSources, gather_case, radiograph_of_task
from workers.case_input import told_before
from workers.standards import Standards

FILM = radiograph_id(1)
OLD, NEW = "v0001-00000001", "v0002-00000002"
TASK = replace(SPEC, input="sex")


def said(model_version: str, age_months: float = 100.0, **more: object) -> Prediction:
    made = Prediction(
        radiograph_id=FILM,
        model_version=model_version,
        values={"age_months": age_months, "sex": "female"},
        intervals={"age_months": (age_months - 20, age_months + 20)},
        probabilities={"sex": {"female": 0.8, "male": 0.2}},
        confidence=0.5,
    )
    return replace(made, **more)  # type: ignore[arg-type]


class Versions:
    """Dataset versions that hold one row, or cannot be read."""

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken

    def rows(self, version: str) -> list[dict[str, str]]:
        if self.broken:
            raise VersionError("The dataset repository cannot be read.")
        return [{"id": FILM, "split": "train", "readers": "ada@example.org"}]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as opened:
        opened.add_radiographs([a_radiograph(1)])
        yield opened


def gathered(ledger: Ledger, serving: str = "", versions: Versions | None = None) -> Case:
    sources = CaseSources(ledger, TASK, versions or Versions(), ["chief@example.org"])
    return gather_case(sources, Standards.load(ledger, TASK), FILM, serving)


def join(ledger: Ledger) -> None:
    """Joins the workspace with a project whose task 41 shows the film."""
    ledger.set_state(PROJECT, '{"id": 7, "backend_id": 1}')
    ledger.link_tasks(7, {41: FILM})


def test_a_film_of_which_nothing_is_known_is_a_case(ledger: Ledger) -> None:
    case = gathered(ledger)

    assert case.radiograph.id == FILM
    assert (case.task, case.project, case.label, case.shown) == (None, 0, None, None)
    assert (case.readings, case.predictions, case.standards, case.near) == ((), (), (), None)
    assert (case.lineage, case.lineage_error) == (None, "")


def test_an_unknown_film_is_no_case(ledger: Ledger) -> None:
    sources = CaseSources(ledger, TASK, Versions())

    with pytest.raises(NotFoundError, match="There is no radiograph"):
        gather_case(sources, Standards((), 0.0), radiograph_id(2), "")


def test_a_task_leads_to_its_film(ledger: Ledger) -> None:
    join(ledger)

    assert radiograph_of_task(ledger, 41) == FILM
    assert gathered(ledger).task == 41
    with pytest.raises(NotFoundError, match="task 42 shows no radiograph"):
        radiograph_of_task(ledger, 42)


def test_of_several_tasks_the_newest_counts(ledger: Ledger) -> None:
    join(ledger)
    ledger.link_tasks(7, {40: FILM, 43: FILM})

    assert gathered(ledger).task == 43


def test_before_there_is_a_project_no_task_leads_anywhere(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError, match="no Label Studio project"):
        radiograph_of_task(ledger, 41)


def test_the_prediction_of_the_model_that_serves_is_shown(ledger: Ledger) -> None:
    ledger.add_predictions([said(NEW)])
    ledger.add_predictions([said(OLD)])

    case = gathered(ledger, serving=NEW)

    assert case.shown is not None
    assert case.shown.prediction.model_version == NEW
    assert [(p.prediction.model_version, p.serves) for p in case.predictions] == [
        (OLD, False),
        (NEW, True),
    ]


def test_without_one_of_the_serving_model_the_newest_prediction_is_shown(ledger: Ledger) -> None:
    ledger.add_predictions([said(OLD)])

    case = gathered(ledger, serving=NEW)

    assert case.shown is not None
    assert (case.shown.prediction.model_version, case.shown.serves) == (OLD, False)


@pytest.mark.parametrize(
    ("predicted", "label", "error"),
    [
        pytest.param(100.0, 112.0, -12.0, id="too-young"),
        pytest.param(3.0, 0.0, 3.0, id="a-newborn"),
        pytest.param(0.0, 3.0, -3.0, id="predicted-newborn"),
    ],
)
def test_the_error_is_predicted_minus_labelled(
    ledger: Ledger, predicted: float, label: float, error: float
) -> None:
    ledger.add_predictions([said(NEW, predicted)])
    assert gathered(ledger).predictions[0].error is None

    ledger.record_readings([a_reading(number=1, age_months=label, sex="female")])

    assert gathered(ledger).predictions[0].error == error


def test_all_readings_are_told_and_the_withdrawn_ones_do_not_count(ledger: Ledger) -> None:
    ledger.record_readings(
        [
            a_reading("ada@example.org", 1, minute=2, age_months=100.0, sex="female"),
            a_reading("bob@example.org", 1, minute=1, withdrawn=True, age_months=10.0),
        ]
    )

    case = gathered(ledger)

    assert [(r.reader, r.withdrawn) for r in case.readings] == [
        ("bob@example.org", True),
        ("ada@example.org", False),
    ]
    assert case.label is not None
    assert case.label.values["age_months"] == 100.0


def test_a_dispute_is_told_until_an_adjudicator_has_settled_it(ledger: Ledger) -> None:
    ledger.record_readings(
        [
            a_reading("ada@example.org", 1, minute=1, age_months=100.0, sex="female"),
            a_reading("bob@example.org", 1, minute=2, age_months=130.0, sex="female"),
        ]
    )
    assert gathered(ledger).disputed == ("age_months",)

    ledger.record_readings(
        [a_reading("Chief@example.org", 1, minute=3, age_months=104.0, sex="female")]
    )

    case = gathered(ledger)
    assert case.disputed == ()
    assert case.label is not None
    assert case.label.values["age_months"] == 104.0


@pytest.mark.parametrize(
    ("used", "predicted", "value", "origin", "probability"),
    [
        pytest.param({"sex": "male"}, (), "male", "recorded", 0.2, id="recorded"),
        pytest.param({"sex": "female"}, ("sex",), "female", "predicted", 0.8, id="predicted"),
        pytest.param({}, (), "", "withheld", None, id="withheld"),
    ],
)
def test_the_sex_is_recorded_predicted_or_withheld(
    ledger: Ledger,
    used: dict[str, str],
    predicted: tuple[str, ...],
    value: str,
    origin: str,
    probability: float | None,
) -> None:
    ledger.add_predictions([said(NEW, used=used, predicted_inputs=predicted)])

    known = gathered(ledger).input

    assert known is not None
    assert (known.value, known.origin, known.probability) == (value, origin, probability)


def test_a_recorded_sex_that_readers_contradict_is_a_conflict(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path / 'other.db'}") as ledger:
        ledger.add_radiographs([replace(a_radiograph(1), metadata={"sex": "male"})])
        ledger.record_readings([a_reading(number=1, age_months=100.0, sex="female")])

        known = gathered(ledger).input

    assert known is not None
    assert (known.recorded, known.conflict) == ("male", "female")


def test_a_task_without_an_input_has_none(ledger: Ledger) -> None:
    case = gather_case(CaseSources(ledger, SPEC, Versions()), Standards((), 0.0), FILM, "")

    assert case.input is None


@pytest.mark.parametrize(
    ("used", "predicted"),
    [
        pytest.param({"sex": "female"}, ("sex",), id="fed"),
        pytest.param({}, (), id="withheld, read off the film"),
    ],
)
def test_standards_lie_around_the_prediction_and_lead_to_their_tasks(
    ledger: Ledger, used: dict[str, str], predicted: tuple[str, ...]
) -> None:
    join(ledger)
    ledger.add_radiographs([a_radiograph(2), a_radiograph(3)])
    ledger.link_tasks(7, {42: radiograph_id(2)})
    ledger.record_readings(
        [
            a_reading(REFERENCE_READER, 2, age_months=70.0, sex="female"),
            a_reading(REFERENCE_READER, 3, age_months=99.0, sex="male"),
        ]
    )
    ledger.add_predictions([said(NEW, used=used, predicted_inputs=predicted)])

    case = gathered(ledger)

    assert (case.near, case.near_choice) == (100.0, "female")
    assert [(s.place, s.radiograph.id) for s in case.standards] == [("younger", radiograph_id(2))]
    assert case.tasks == {FILM: 41, radiograph_id(2): 42}


def test_without_a_prediction_standards_lie_around_the_label(ledger: Ledger) -> None:
    ledger.record_readings([a_reading(number=1, age_months=64.0, sex="male")])

    case = gathered(ledger)

    assert (case.near, case.near_choice) == (64.0, "male")


def test_the_lineage_leads_to_the_dataset_version(ledger: Ledger) -> None:
    ledger.begin_run("labels", NOON, "60 labels")
    ledger.add_version(DatasetVersion("v0002", "c" * 40, 1, 1, 1, NOON))
    ledger.update_run("r0001", state=RunState.SUCCEEDED, version="v0002", model_version=NEW)
    ledger.add_predictions([said(NEW)])

    line = gathered(ledger).lineage

    assert line is not None
    assert line.version is not None
    assert (line.version.name, line.learnt_from) == ("v0002", {"train": 1})
    assert line.row["readers"] == "ada@example.org"


def test_a_dataset_that_cannot_be_read_costs_the_lineage_alone(ledger: Ledger) -> None:
    ledger.add_version(DatasetVersion("v0002", "c" * 40, 1, 1, 1, NOON))
    ledger.add_predictions([said(NEW)])

    case = gathered(ledger, versions=Versions(broken=True))

    assert case.lineage is None
    assert case.lineage_error == "The dataset repository cannot be read."
    assert case.shown is not None


@pytest.mark.parametrize(
    ("prediction", "told"),
    [
        pytest.param(said(NEW, used={"sex": "female"}), {"sex": "female"}, id="it-was-told"),
        pytest.param(
            said(NEW, used={"sex": "female"}, predicted_inputs=("sex",)), {}, id="it-was-predicted"
        ),
        pytest.param(said(OLD), {"sex": "male"}, id="not-asked-yet"),
    ],
)
def test_an_explanation_is_told_what_the_prediction_was_told(
    tmp_path: Path, prediction: Prediction, told: dict[str, str]
) -> None:
    with Ledger.open(f"sqlite:///{tmp_path / 'other.db'}") as ledger:
        ledger.add_radiographs([replace(a_radiograph(1), metadata={"sex": "male"})])
        ledger.add_predictions([prediction])
        rows = ledger.case(FILM)

    assert rows is not None
    assert told_before(TASK, rows, NEW) == told


def test_a_reader_who_has_not_submitted_sees_nothing_that_others_say(ledger: Ledger) -> None:
    ledger.record_readings([a_reading(number=1, age_months=64.0, sex="male")])
    ledger.add_predictions([said(NEW)])
    sources = CaseSources(ledger, TASK, Versions())

    case = gather_case(sources, Standards((), 0.0), FILM, NEW, independent=True)

    assert (case.readings, case.label, case.disputed) == ((), None, ())
    assert [past.error for past in case.predictions] == [None]
    assert case.input is not None
    assert (case.near_choice, case.input.conflict) == ("female", "")

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data.domain import Example, Split
from data.errors import InvalidInputError, ModelError, NotFoundError
from data.images.decoding import ImageLimits, read_grey
from tests.unit.trainer.cases import BONE_AGE
from tests.unit.trainer.small_models import save_random_model
from tests.unit.workers.judged_workspace import JudgedWorkspace, NoRegistry, judged_workspace
from trainer.predictor import Predictor
from workers import evaluating, model_folders
from workers.evaluating import Question, judge_model, known_of
from workers.model_folders import model_folder

pytestmark = pytest.mark.long


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JudgedWorkspace:
    return judged_workspace(tmp_path / "workspace", monkeypatch)


def rows(report: Path) -> list[dict[str, str]]:
    with (report.parent / "cases.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_model_is_judged_by_the_test_cases_of_the_latest_version(given: JudgedWorkspace) -> None:
    found = judge_model(given.settings, Question(str(given.model)))

    tests = {e.radiograph_id for e in given.examples if e.split is Split.TEST}
    assert {row["id"] for row in rows(found.report)} == tests
    assert (found.evaluation.cases, found.evaluation.missing) == (8, 0)
    assert found.subject.dataset_version == "v0002"
    assert found.report.parent.parent == given.settings.home / "reports"


def test_the_figures_are_those_of_the_models_own_answers(given: JudgedWorkspace) -> None:
    tests = [e for e in given.examples if e.split is Split.TEST]
    files = [(e.radiograph_id, e.path) for e in tests]
    known = {e.radiograph_id: {"sex": str(e.values["sex"])} for e in tests}
    said, _ = Predictor.load(given.model, "cpu").predict_files(files, known=known)
    errors = [
        abs(float(answer.values["age_months"]) - float(e.values["age_months"]))
        for answer, e in zip(said, tests, strict=True)
    ]

    found = judge_model(given.settings, Question(str(given.model)))

    assert found.evaluation.mae == pytest.approx(sum(errors) / 8)


@pytest.mark.parametrize(("withhold", "predicted"), [(False, "false"), (True, "true")])
def test_the_model_is_told_the_sex_unless_it_is_withheld(
    given: JudgedWorkspace, withhold: bool, predicted: str
) -> None:
    found = judge_model(given.settings, Question(str(given.model), withhold=withhold))

    assert {row["sex_predicted"] for row in rows(found.report)} == {predicted}
    assert found.subject.known_input == ("" if withhold else "sex")
    if not withhold:
        assert all(row["sex_used"] == row["sex"] for row in rows(found.report))


def test_a_report_of_a_withheld_sex_does_not_replace_the_other(given: JudgedWorkspace) -> None:
    plain = judge_model(given.settings, Question(str(given.model)))
    withheld = judge_model(given.settings, Question(str(given.model), withhold=True))

    assert plain.report.parent != withheld.report.parent


def test_version_split_and_folder_can_be_chosen(given: JudgedWorkspace, tmp_path: Path) -> None:
    early = judge_model(given.settings, Question(str(given.model), "v1", out=tmp_path / "early"))
    calibration = judge_model(given.settings, Question(str(given.model), split=Split.CALIBRATION))

    assert (early.evaluation.cases, early.subject.dataset_version) == (4, "v0001")
    assert early.report == tmp_path / "early" / "report.md"
    assert calibration.evaluation.cases == 2


def test_two_models_are_compared_over_the_same_cases(given: JudgedWorkspace) -> None:
    found = judge_model(given.settings, Question(str(given.model), against=str(given.other)))
    other = judge_model(given.settings, Question(str(given.other)))

    comparison = found.subject.comparison
    assert comparison is not None
    assert comparison.cases == 8
    difference = found.evaluation.mae - other.evaluation.mae
    assert comparison.mean_difference == pytest.approx(difference)
    assert found.subject.against == other.subject.model_version


def test_altered_films_are_tried_where_asked_for(
    given: JudgedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluating, "STRESS_FILMS", 3)

    found = judge_model(given.settings, Question(str(given.model), stress=True))

    assert found.subject.stress is not None
    assert found.subject.stress.films == 3
    figures = json.loads((found.report.parent / "evaluation.json").read_text())
    assert figures["stress"]["films"] == 3


def test_altered_films_are_read_under_the_limits_of_the_settings(
    given: JudgedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def read(path: Path, limits: ImageLimits) -> NDArray[np.uint8]:
        asked.append(limits.max_pixels)
        return read_grey(path, limits)

    monkeypatch.setattr(evaluating, "STRESS_FILMS", 1)
    monkeypatch.setattr(evaluating, "read_grey", read)
    settings = replace(given.settings, max_image_pixels=70_000_000)

    judge_model(settings, Question(str(given.model), stress=True))

    assert asked == [70_000_000]


def test_a_film_that_cannot_be_read_is_missing_and_keeps_nothing_else_back(
    given: JudgedWorkspace,
) -> None:
    given.examples[0].path.write_bytes(b"damaged")

    found = judge_model(given.settings, Question(str(given.model), stress=True))

    assert (found.evaluation.cases, found.evaluation.missing) == (7, 1)
    assert found.subject.stress is not None
    assert found.subject.stress.films == 7


def test_no_model_is_judged_by_what_it_learnt_from(given: JudgedWorkspace) -> None:
    with pytest.raises(InvalidInputError, match="learn"):
        judge_model(given.settings, Question(str(given.model), split=Split.TRAIN))


def test_a_split_without_labels_is_named(given: JudgedWorkspace) -> None:
    with pytest.raises(InvalidInputError, match="v0001 has no labelled case in the calibration"):
        judge_model(given.settings, Question(str(given.model), "v0001", split=Split.CALIBRATION))


def test_an_unknown_version_is_named(given: JudgedWorkspace) -> None:
    with pytest.raises(NotFoundError, match="v0099"):
        judge_model(given.settings, Question(str(given.model), "v0099"))


def test_a_model_of_another_task_is_refused(given: JudgedWorkspace, tmp_path: Path) -> None:
    save_random_model(tmp_path / "chest", task="pneumonia")

    with pytest.raises(ModelError, match="pneumonia"):
        judge_model(given.settings, Question(str(tmp_path / "chest")))


def test_a_workspace_without_a_champion_says_so(
    given: JudgedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_folders, "registry", lambda settings: NoRegistry())

    with pytest.raises(NotFoundError, match="no champion"):
        model_folder(given.settings, "champion")
    with pytest.raises(NotFoundError, match="v0042-00000000"):
        model_folder(given.settings, "v0042-00000000")


def test_only_what_the_labels_know_of_the_input_is_told(tmp_path: Path) -> None:
    films = [
        Example("a", tmp_path, {"age_months": 3.0, "sex": "male"}, Split.TEST),
        Example("b", tmp_path, {"age_months": 3.0}, Split.TEST),
    ]

    assert known_of(replace(BONE_AGE, input="sex"), films) == {"a": {"sex": "male"}}
    assert known_of(replace(BONE_AGE, input=None), films) == {}

from __future__ import annotations

import csv
import io
from dataclasses import replace

from data.domain import Prediction, Split
from tests.unit.trainer.cases import BONE_AGE, told, truth
from trainer.evaluation.case_table import as_csv, cases_of, worst

WITH_INPUT = replace(BONE_AGE, input="sex")
TRUTHS = {"b": truth(100.0, "male"), "a": truth(60.0), "c": {"sex": "male"}, "d": truth(30.0)}


def told_with(age: float, **facts: object) -> Prediction:
    return replace(told(age, age - 10, age + 10.5, female=0.75), **facts)  # type: ignore[arg-type]


def test_each_case_has_a_line_with_everything_that_was_said_of_it() -> None:
    said = {
        "a": told_with(66.25, used={"sex": "female"}, predicted_inputs=("sex",), novelty=1.25),
        "b": told_with(90.0, used={"sex": "male"}),
    }

    lines = as_csv(WITH_INPUT, cases_of(WITH_INPUT, said, TRUTHS, Split.TEST))

    assert lines.splitlines() == [
        "id,split,truth,told,low,high,error,sex,sex_told,probability,novelty,sex_used,sex_predicted",
        "a,test,60,66.25,56.25,76.75,6.25,female,female,0.75,1.25,female,true",
        "b,test,100,90,80,100.5,-10,male,female,0.75,,male,false",
    ]


def test_cases_without_a_truth_or_an_answer_have_no_line() -> None:
    said = {"a": told(60.0), "c": told(60.0), "x": told(60.0)}

    assert [case.id for case in cases_of(BONE_AGE, said, TRUTHS, "test")] == ["a"]


def test_a_text_with_commas_stays_one_cell() -> None:
    odd = {"a,b": truth(60.0)}

    table = as_csv(BONE_AGE, cases_of(BONE_AGE, {"a,b": told(60.0)}, odd, "test"))

    assert next(iter(csv.DictReader(io.StringIO(table))))["id"] == "a,b"


def test_the_largest_errors_come_first_and_right_answers_never() -> None:
    said = {"a": told(60.0), "b": told(91.0), "d": told(50.0)}

    found = worst(cases_of(BONE_AGE, said, TRUTHS, "test"), 5)

    assert [(case.id, case.error) for case in found] == [("d", 20.0), ("b", -9.0)]


def test_where_the_gate_judges_a_choice_the_surest_wrong_answer_comes_first() -> None:
    by_sex = replace(BONE_AGE, gate=replace(BONE_AGE.gate, target="sex", band_by=None))
    said = {"a": told(60.0, female=0.2), "b": told(1.0, female=0.3), "d": told(1.0, female=0.1)}

    found = worst(cases_of(by_sex, said, TRUTHS, "test"), 5)

    assert [(case.id, case.truth, case.told) for case in found] == [
        ("d", "female", "male"),
        ("a", "female", "male"),
    ]
    assert found[0].probability == 0.9

"""The table of answers: what MLflow's server and MLServer each need of it."""

from __future__ import annotations

import json
import math

from trainer.pyfunc.answers import answer_table

COLUMNS = {"age_months": "double", "sex": "string", "ood": "boolean"}
KNOWN = {"age_months": 99.5, "sex": "male", "ood": False}
UNKNOWN = dict.fromkeys(COLUMNS)


def test_records_say_none_where_something_is_not_known() -> None:
    assert answer_table([KNOWN, UNKNOWN], COLUMNS).to_dict(orient="records") == [KNOWN, UNKNOWN]


def test_records_are_json_as_they_stand() -> None:
    # MLflow's server writes what `to_dict` returns; NaN would be no JSON.
    records = answer_table([UNKNOWN, KNOWN], COLUMNS).to_dict(orient="records")

    assert json.loads(json.dumps(records, allow_nan=False)) == [UNKNOWN, KNOWN]


def test_numbers_stay_numbers_where_some_are_not_known() -> None:
    column = answer_table([KNOWN, UNKNOWN], COLUMNS)["age_months"]

    assert column.dtype == "float64"
    assert column[0] == 99.5
    assert math.isnan(column[1])


def test_numbers_of_which_none_is_known_are_numbers_all_the_same() -> None:
    assert answer_table([UNKNOWN], COLUMNS)["age_months"].dtype == "float64"


def test_a_column_of_texts_lacks_none() -> None:
    # MLServer asks numpy.isnan of every cell of a column in which one is missing.
    column = answer_table([KNOWN, UNKNOWN], COLUMNS)["sex"]

    assert column.dtype == "object"
    assert column.tolist() == ["male", ""]


def test_a_column_of_yes_and_no_says_nothing_where_it_is_not_known() -> None:
    yes, unknown = answer_table([KNOWN | {"ood": True}, UNKNOWN], COLUMNS)["ood"].tolist()

    assert yes is True
    assert math.isnan(unknown)


def test_no_films_get_no_answers() -> None:
    assert answer_table([], COLUMNS).to_dict(orient="records") == []

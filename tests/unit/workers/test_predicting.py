from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.domain import Prediction, Target
from data.errors import InvalidInputError
from data.images.decoding import encode_png
from tests.unit.trainer.cases import AGE, FINDING, SEVERITY, SEX, easy_examples, easy_image
from tests.unit.trainer.small_models import save_random_model
from trainer.answers.prediction_table import PredictionTable, Row
from trainer.predictor import Predictor
from workers.predicting import predict_wanted
from workers.prediction_inputs import Wanted, wanted_paths, wanted_rows
from workers.prediction_model import check_input, table_of

COLUMNS = (
    "id,path,age_months,age_low,age_high,sex,sex_probability,used_sex,sex_predicted,ood,model,error"
)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("models") / "model"
    save_random_model(folder)
    return Predictor.load(folder, "cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five films and one file that is none."""
    folder = tmp_path / "films"
    (folder / "inner").mkdir(parents=True)
    for i in range(5):
        place = folder / "inner" if i == 4 else folder
        payload = encode_png(easy_image(40.0 * i, ("female", "male")[i % 2], i))
        (place / f"film-{i}.png").write_bytes(payload)
    (folder / "film-9.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("no film")
    return folder


def rows_of(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class Asked:
    """A predictor that counts the films that it is asked about."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.films = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.predictor, name)

    def predict_prepared(self, films: Sequence[Any], *rest: Any) -> list[Prediction]:
        self.films += len(films)
        return self.predictor.predict_prepared(films, *rest)


def asked(predictor: Predictor) -> Any:
    return Asked(predictor)


def test_the_columns_follow_from_the_task() -> None:
    assert ",".join(PredictionTable((AGE, SEX), "sex").columns) == COLUMNS
    assert PredictionTable((FINDING, SEVERITY)).columns[2:-3] == (
        "finding",
        "finding_probability",
        "severity",
        "severity_low",
        "severity_high",
    )


def test_a_model_that_is_fed_nothing_has_the_columns_of_its_task(tmp_path: Path) -> None:
    card = save_random_model(tmp_path / "model")

    assert ",".join(table_of(card).columns) == COLUMNS


@pytest.mark.parametrize(
    ("predicted", "cells"),
    [(("sex",), "female,true"), ((), "female,false")],
    ids=["predicted", "told"],
)
def test_a_row_says_what_is_seen_what_was_fed_and_where_that_is_from(
    predicted: tuple[str, ...], cells: str
) -> None:
    prediction = Prediction(
        "id",
        "v0001-00000000",
        {"age_months": 120.5, "sex": "male"},
        {"age_months": (100.25, 140.0)},
        {"sex": {"female": 0.1, "male": 0.9}},
        0.5,
        used={"sex": "female"},
        predicted_inputs=predicted,
        novelty=1.25,
    )

    row = PredictionTable((AGE, SEX), "sex").row("7", "/a/7.png", prediction)

    expected = f"7,/a/7.png,120.5,100.25,140,male,0.9,{cells},1.25,v0001-00000000,"
    assert ",".join(row.values()) == expected


def test_what_is_not_known_is_empty_and_nothing_is_put_in_its_place() -> None:
    unknown = Prediction("id", "v", {"finding": "normal"}, {}, {"finding": {"normal": 1.0}}, 1.0)
    table = PredictionTable((FINDING, SEVERITY))

    row = table.row("a", "/a", unknown)

    assert [row[name] for name in ("severity", "severity_low", "severity_high", "ood")] == [""] * 4
    assert table.typed(row)["severity"] is None
    assert table.typed(row)["finding_probability"] == 1.0


def test_every_film_has_a_row_in_order_and_errors_say_why(
    predictor: Predictor, folder: Path
) -> None:
    wanted = [*wanted_paths([folder], {}), *wanted_paths([folder / "gone.png"], {})]

    found = predict_wanted(predictor, wanted, batch=2)

    names = ["film-0", "film-1", "film-2", "film-3", "film-9", "film-4", "gone"]
    assert [row["id"] for row in found.rows] == names
    assert [bool(row["error"]) for row in found.rows] == [False] * 4 + [True, False, True]
    assert found.errors == 2
    assert found.rows[4]["age_months"] == ""
    (same,) = predictor.predict_images([easy_image(80.0, "female", 2)], ["x"])
    assert float(found.rows[2]["age_months"]) == same.values["age_months"]


def test_folders_are_looked_through_only_if_that_is_wanted(folder: Path) -> None:
    assert len(wanted_paths([folder], {})) == 6
    assert len(wanted_paths([folder], {}, recursive=False)) == 5


def test_a_table_tells_paths_from_its_folder_ids_and_the_sex(folder: Path) -> None:
    table = folder / "list.csv"
    table.write_text("path,sex,id\nfilm-0.png,M,a\ninner/film-4.png,,b\nfilm-1.png,unknown,c\n")

    wanted = wanted_rows(table, SEX, {"sex": "female"})

    assert [(film.id, film.path) for film in wanted[:2]] == [
        ("a", folder / "film-0.png"),
        ("b", folder / "inner" / "film-4.png"),
    ]
    assert [film.known.get("sex") for film in wanted[:2]] == ["male", "female"]
    assert "sex is 'unknown', but must be one of female, male" in wanted[2].problem


def test_a_table_without_paths_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("id,sex\na,male\n")

    with pytest.raises(InvalidInputError, match="has no column path"):
        wanted_rows(tmp_path / "list.csv", SEX, {})


def test_what_is_told_is_fed_and_otherwise_the_model_predicts_it(
    predictor: Predictor, folder: Path
) -> None:
    film = folder / "film-0.png"

    told, untold = predict_wanted(
        predictor, [Wanted("a", film, {"sex": "male"}), Wanted("b", film)]
    ).rows

    assert (told["used_sex"], told["sex_predicted"]) == ("male", "false")
    assert (untold["used_sex"], untold["sex_predicted"]) == (untold["sex"], "true")


def test_a_file_takes_the_rows_and_a_second_run_computes_nothing(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    wanted, out = wanted_paths([folder], {}), tmp_path / "new" / "out.csv"
    predict_wanted(predictor, wanted, out=out)
    before, again = out.read_bytes(), asked(predictor)

    found = predict_wanted(again, wanted, out=out)

    assert (found.kept, again.films) == (5, 0), "only what could not be read is tried again"
    assert out.read_bytes() == before
    assert before.decode().splitlines()[0] == COLUMNS


@pytest.mark.parametrize("cut", [0, 10, 250, 500, -1], ids=lambda cut: f"killed at byte {cut}")
def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_file(
    predictor: Predictor, folder: Path, tmp_path: Path, cut: int
) -> None:
    wanted, out = wanted_paths([folder], {}), tmp_path / "out.csv"
    predict_wanted(predictor, wanted, out=out)
    whole = out.read_bytes()
    out.write_bytes(whole[:cut])

    found = predict_wanted(predictor, wanted, out=out)

    assert out.read_bytes() == whole
    lines = whole[:cut].decode().split("\n")[1:-1]
    assert found.kept == len([line for line in lines if "film-9.png" not in line])


def test_rows_are_in_the_file_before_the_next_batch_is_computed(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    seen: list[int] = []

    predict_wanted(
        predictor,
        wanted_paths([folder], {}),
        out=out,
        batch=2,
        progress=lambda done, _: seen.append(len(rows_of(out)) - done),
    )

    assert seen == [0, 0, 0, 0]


def test_the_file_is_in_the_order_of_the_films_that_are_asked_for_now(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    wanted, out = wanted_paths([folder], {}), tmp_path / "out.csv"
    predict_wanted(predictor, wanted[:3], out=out)

    found = predict_wanted(predictor, wanted[::-1][2:], out=out)

    assert found.kept == 3
    assert [row["id"] for row in rows_of(out)] == ["film-3", "film-2", "film-1", "film-0"]


@pytest.mark.parametrize("column", ["model", "path", "id"])
def test_rows_of_another_model_or_film_are_computed_again(
    predictor: Predictor, folder: Path, tmp_path: Path, column: str
) -> None:
    wanted, out = wanted_paths([folder], {})[:1], tmp_path / "out.csv"
    predict_wanted(predictor, wanted, out=out)
    (row,) = rows_of(out)
    out.write_text(out.read_text().replace(row[column] + ",", "other,"))

    found = predict_wanted(predictor, wanted, out=out)

    assert found.kept == 0
    assert rows_of(out) == [row]


def test_another_known_sex_is_computed_again(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    film, out = folder / "film-0.png", tmp_path / "out.csv"
    kept = [
        predict_wanted(predictor, [Wanted("a", film, known)], out=out).kept
        for known in ({}, {}, {"sex": "male"}, {"sex": "male"}, {"sex": "female"}, {})
    ]

    assert kept == [0, 1, 0, 1, 0, 0]


def test_a_file_of_something_else_is_left_alone(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "letter.txt"
    out.write_text("Dear colleague\n")

    with pytest.raises(InvalidInputError, match="choose another name"):
        predict_wanted(predictor, wanted_paths([folder], {}), out=out)

    assert out.read_text() == "Dear colleague\n"


def test_a_model_that_makes_no_use_of_the_sex_is_not_told_it(tmp_path: Path) -> None:
    card = save_random_model(tmp_path / "model")

    check_input(card, {"sex": "male"})
    with pytest.raises(InvalidInputError, match="makes no use of a known height"):
        check_input(card, {"height": "tall"})


def test_decimal_numbers_of_examples_are_all_finite(predictor: Predictor, tmp_path: Path) -> None:
    wanted = [Wanted(e.radiograph_id, e.path) for e in easy_examples(tmp_path, 4)]
    table = table_of(predictor.card)

    typed = [table.typed(row) for row in predict_wanted(predictor, wanted).rows]

    assert all(np.isfinite(row["age_months"]) for row in typed)  # type: ignore[arg-type]
    assert {row["sex_predicted"] for row in typed} == {True}
    assert {row["error"] for row in typed} == {None}


def test_a_target_that_is_named_after_its_unit_keeps_its_name() -> None:
    assert PredictionTable((Target("mm", "number", "mm", 0.0, 9.0),)).columns[2:5] == (
        "mm",
        "mm_low",
        "mm_high",
    )

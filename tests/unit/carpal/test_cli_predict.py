from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carpal import cli
from data.images.decoding import encode_png
from tests.unit.data.dicom_cases import RAMP, a_file
from tests.unit.trainer.cases import QUICK, easy_image
from tests.unit.trainer.small_models import save_random_model

pytestmark = pytest.mark.long

COLUMNS = (
    "id,path,age_months,age_low,age_high,sex,sex_probability,used_sex,sex_predicted,ood,model,error"
)


class Ended:
    """How a command line ended."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err

    @property
    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.out)))


@pytest.fixture
def carpal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Runs `carpal predict` in this process, where there is no workspace."""
    monkeypatch.setenv("CARPAL_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("CARPAL_DEVICE", "cpu")

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["carpal", "predict", *map(str, arguments)])
        capsys.readouterr()
        status = 0
        try:
            cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
        said = capsys.readouterr()
        return Ended(status, said.out, said.err)

    return run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "exported"
    save_random_model(folder)
    return folder


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Two images and a DICOM file whose header says that the patient is a girl."""
    folder = tmp_path / "films"
    folder.mkdir()
    for i in range(2):
        (folder / f"{i}.png").write_bytes(encode_png(easy_image(60.0 + 60 * i, "female", i)))
    (folder / "2").write_bytes(a_file(RAMP, PatientSex="F"))
    return folder


def test_a_model_folder_answers_without_a_workspace(
    carpal: Any, model: Path, films: Path, tmp_path: Path
) -> None:
    ended = carpal(films, "--model", model)

    assert ended.status == 0
    assert ended.out.splitlines()[0] == COLUMNS
    assert [row["id"] for row in ended.rows] == ["0", "1", "2"]
    assert not (tmp_path / "nowhere").exists()


def test_the_sex_in_a_dicom_header_is_fed_unless_told_otherwise(
    carpal: Any, model: Path, films: Path
) -> None:
    recorded = carpal(films / "2", "--model", model).rows[0]
    told = carpal(films / "2", "--model", model, "--sex", "male").rows[0]

    assert (recorded["used_sex"], recorded["sex_predicted"]) == ("female", "false")
    assert (told["used_sex"], told["sex_predicted"]) == ("male", "false")
    assert recorded["age_months"] != told["age_months"]


def test_a_table_names_films_and_what_is_known_of_them(
    carpal: Any, model: Path, films: Path
) -> None:
    (films / "list.csv").write_text("path,sex,id\n1.png,male,second\n0.png,,first\n")

    ended = carpal("--csv", films / "list.csv", "--model", model)

    assert [(row["id"], row["sex_predicted"]) for row in ended.rows] == [
        ("second", "false"),
        ("first", "true"),
    ]
    assert ended.rows[0]["path"] == str(films / "1.png")


def test_a_film_that_cannot_be_read_has_a_row_and_makes_status_1(
    carpal: Any, model: Path, films: Path
) -> None:
    (films / "0.png").write_bytes(b"no image")

    ended = carpal(films, "--model", model)

    assert ended.status == 1
    assert [bool(row["error"]) for row in ended.rows] == [True, False, False]
    assert ended.rows[0]["age_months"] == ""


def test_json_has_numbers_and_truth_values(carpal: Any, model: Path, films: Path) -> None:
    ended = carpal(films, "--model", model, "--json")

    rows = json.loads(ended.out)
    assert list(rows[0]) == COLUMNS.split(",")
    assert isinstance(rows[0]["age_months"], float)
    assert (rows[2]["sex_predicted"], rows[2]["error"], rows[2]["ood"]) == (False, None, None)


def test_a_file_is_written_and_gone_on_with(
    carpal: Any, model: Path, films: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    (films / "1.png").rename(tmp_path / "later.png")
    carpal(films, "--model", model, "-o", out)
    (tmp_path / "later.png").rename(films / "1.png")

    ended = carpal(films, "--model", model, "-o", out)

    assert (ended.status, ended.out) == (0, "")
    assert "3 films, 2 of them as before, 0 not predicted" in ended.err
    assert [line.split(",")[0] for line in out.read_text().splitlines()] == ["id", "0", "1", "2"]


def test_heat_maps_are_pictures_as_large_as_their_films(
    carpal: Any, films: Path, tmp_path: Path
) -> None:
    card = save_random_model(tmp_path / "model", options=QUICK)
    (films / "0.png").write_bytes(b"no image")

    carpal(films, "--model", tmp_path / "model", "--heat-maps", tmp_path / "maps")

    pictures = sorted((tmp_path / "maps").iterdir())
    assert [p.name.split(".")[0] for p in pictures] == ["1", "2"]
    assert all(p.name.endswith(f".{card.model_version}.png") for p in pictures)
    picture = np.asarray(Image.open(pictures[0]))
    assert picture.shape == (48, 48, 3)


def test_a_heat_map_is_not_taken_for_that_of_another_film_of_the_same_name(
    carpal: Any, films: Path, tmp_path: Path
) -> None:
    save_random_model(tmp_path / "model", options=QUICK)
    command = ("--model", tmp_path / "model", "--heat-maps", tmp_path / "maps")
    (tmp_path / "other").mkdir()
    (films / "1.png").rename(tmp_path / "other" / "0.png")

    carpal(films / "0.png", *command)
    carpal(tmp_path / "other" / "0.png", *command)
    carpal(films / "0.png", *command)

    assert [p.name[0] for p in (tmp_path / "maps").iterdir()] == ["0", "0"]


def test_a_heat_map_is_not_taken_for_that_of_another_model(
    carpal: Any, films: Path, tmp_path: Path
) -> None:
    for seed in (0, 1):
        save_random_model(tmp_path / f"model{seed}", options=QUICK, seed=seed)
        model = ("--model", tmp_path / f"model{seed}")
        carpal(films / "0.png", *model, "--heat-maps", tmp_path / "maps")

    assert len(list((tmp_path / "maps").iterdir())) == 2


def test_a_film_that_was_lost_since_it_was_predicted_costs_the_others_no_heat_map(
    carpal: Any, films: Path, tmp_path: Path
) -> None:
    save_random_model(tmp_path / "model", options=QUICK)
    command = (films, "--model", tmp_path / "model", "-o", tmp_path / "out.csv")
    carpal(*command)
    (films / "0.png").write_bytes(b"no image")

    ended = carpal(*command, "--heat-maps", tmp_path / "maps")

    assert ended.status == 0
    assert sorted(p.name[0] for p in (tmp_path / "maps").iterdir()) == ["1", "2"]


@pytest.mark.parametrize(
    "arguments",
    [(), ("a.png", "--csv", "list.csv"), ("a.png", "--sex", "other"), ("a.png", "--batch", "0")],
    ids=["nothing", "paths and a table", "no such sex", "no film at a time"],
)
def test_bad_usage_ends_with_status_2(carpal: Any, arguments: tuple[str, ...]) -> None:
    assert carpal(*arguments).status == 2


def test_the_champion_needs_a_workspace(carpal: Any, films: Path) -> None:
    ended = carpal(films)

    assert ended.status == 1
    assert "There is no workspace" in ended.err

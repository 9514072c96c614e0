from __future__ import annotations

import base64
import json
import math
import subprocess
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from data.errors import InvalidInputError, ModelError
from data.images.decoding import encode_png
from data.phantoms.drawing import draw_hand
from tests.unit.trainer.cases import SEX
from tests.unit.trainer.small_models import save_random_model
from trainer.model.files import CARD, WEIGHTS, check_model
from trainer.predictor import Predictor
from trainer.pyfunc.export import export

pytestmark = pytest.mark.long

if TYPE_CHECKING:
    from collections.abc import Mapping

FILM = draw_hand(100.0, "female", seed=3, size=128)
TEXT = base64.b64encode(encode_png(FILM)).decode()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "model"
    save_random_model(folder)
    return folder


@pytest.fixture(scope="module")
def exported(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "served"
    export(model, folder)
    return folder


def ask(folder: Path, *rows: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Asks an exported model in this process, as MLflow's server does."""
    import mlflow.pyfunc
    import pandas as pd

    loaded = mlflow.pyfunc.load_model(str(folder), model_config={"device": "cpu"})
    answers: list[dict[str, Any]] = loaded.predict(pd.DataFrame(rows)).to_dict(orient="records")
    return answers


@pytest.mark.parametrize("sex", ["male", "female"])
def test_a_served_model_says_what_the_predictor_says(model: Path, exported: Path, sex: str) -> None:
    said = Predictor.load(model, "cpu").predict_images([FILM], ["x"], [{"sex": sex}])[0]

    answer = ask(exported, {"image": TEXT, "sex": sex})[0]

    low, high = said.intervals["age_months"]
    assert answer == {
        "age_months": said.values["age_months"],
        "age_low": low,
        "age_high": high,
        "sex": said.values["sex"],
        "sex_probability": said.probabilities["sex"][str(said.values["sex"])],
        "used_sex": sex,
        "sex_predicted": False,
        "novelty": None,
        "ood": None,
        "model": said.model_version,
        "error": None,
    }


@pytest.mark.parametrize(
    "row", [{"image": TEXT}, {"image": TEXT, "sex": None}, {"image": TEXT, "sex": ""}],
    ids=["no column", "nothing", "empty"],
)  # fmt: skip
def test_a_sex_that_is_not_told_is_predicted_and_called_so(
    exported: Path, row: dict[str, Any]
) -> None:
    answer = ask(exported, row)[0]

    assert answer["sex_predicted"] is True
    assert answer["used_sex"] == answer["sex"]


def test_films_that_cannot_be_answered_say_why_and_do_not_keep_others_from_an_answer(
    exported: Path,
) -> None:
    rubbish = base64.b64encode(b"a letter").decode()
    rows = [
        {"image": "%%%", "sex": "male"},
        {"image": rubbish, "sex": "male"},
        {"image": TEXT, "sex": "Male"},
        {"image": "", "sex": "male"},
        {"image": TEXT, "sex": "male"},
    ]

    answers = ask(exported, *rows)

    why = [answer["error"] for answer in answers]
    assert "not base64" in why[0]
    assert "not an image" in why[1]
    assert "female or male" in why[2]
    assert "must hold" in why[3]
    assert why[4] is None
    assert [answer["age_months"] is None for answer in answers] == [True] * 4 + [False]


def test_an_export_holds_the_model_itself_and_nothing_pickled(model: Path, exported: Path) -> None:
    for name in (WEIGHTS, CARD):
        assert (exported / name).read_bytes() == (model / name).read_bytes()
    assert check_model(exported)[0] == check_model(model)[0]
    assert list(exported.rglob("*.pkl")) == []
    assert list(exported.rglob("__pycache__")) == []


def test_an_export_says_what_goes_in_and_what_comes_out(exported: Path) -> None:
    from mlflow.models import Model

    described = Model.load(str(exported))

    assert described.metadata["dataset_commit"] == "abc123"
    told = {
        column.name: (column.type.name, column.required) for column in described.signature.inputs
    }
    assert told == {"image": ("string", True), "sex": ("string", False)}
    assert described.signature.outputs.input_names() == list(ask(exported, {"image": TEXT})[0])


def test_mlserver_finds_its_settings_beside_the_model(model: Path, exported: Path) -> None:
    # What mlserver.settings.ModelSettings reads: a runtime by its dotted name, the model's name,
    # its version, and where it lies, seen from the folder of the settings.
    settings = json.loads((exported / "model-settings.json").read_text())

    assert settings == {
        "name": "bone_age",
        "implementation": "mlserver_mlflow.MLflowRuntime",
        "parameters": {"uri": ".", "version": check_model(model)[0].model_version},
    }
    assert (exported / settings["parameters"]["uri"] / "MLmodel").is_file()


def test_an_export_names_the_libraries_that_it_was_tried_with(exported: Path) -> None:
    asked = (exported / "requirements.txt").read_text().split()

    assert f"timm=={version('timm')}" in asked
    assert all("==" in line and "+" not in line for line in asked)


def test_an_export_runs_on_the_code_that_it_carries(exported: Path, tmp_path: Path) -> None:
    # -I: neither the working folder nor the environment leads to the code of this repository;
    # the installed package is taken off the path.
    code = (
        "import sys; sys.path = [p for p in sys.path if 'carpal' not in p.lower()]\n"
        "sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]\n"
        "import mlflow.pyfunc, pandas\n"
        f"m = mlflow.pyfunc.load_model({str(exported)!r}, model_config={{'device': 'cpu'}})\n"
        f"print(repr(m.predict(pandas.DataFrame([{{'image': {TEXT!r}}}]))['error'][0]))\n"
        "import trainer; print(trainer.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, cwd=tmp_path
    )

    assert done.stdout.splitlines() == ["''", str(exported / "code/trainer/__init__.py")], (
        done.stderr
    )


def test_a_folder_that_is_there_is_not_written_over(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="already"):
        export(model, tmp_path)


def test_an_altered_model_is_not_exported(tmp_path: Path) -> None:
    save_random_model(tmp_path / "model")
    (tmp_path / "model" / WEIGHTS).write_bytes(b"altered")

    with pytest.raises(ModelError, match="altered"):
        export(tmp_path / "model", tmp_path / "served")


def test_exporting_warns_of_nothing(model: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export(model, tmp_path / "served")


def test_whatever_stands_for_nothing_in_a_table_is_not_known() -> None:
    import pandas as pd

    from trainer.pyfunc.pyfunc import _told

    assert [_told(SEX, {"sex": value}) for value in (None, "", math.nan, pd.NA)] == [{}] * 4

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from carpal import cli
from tests.unit.workers.judged_workspace import JudgedWorkspace, judged_workspace

pytestmark = pytest.mark.long


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JudgedWorkspace:
    monkeypatch.setenv("CARPAL_HOME", str(tmp_path / "workspace"))
    monkeypatch.setenv("CARPAL_DEVICE", "cpu")
    monkeypatch.setenv("COLUMNS", "120")
    return judged_workspace(tmp_path / "workspace", monkeypatch)


@pytest.fixture
def carpal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["carpal", *arguments])
        status = 0
        try:
            cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_the_figures_are_printed_and_the_report_is_named(
    given: JudgedWorkspace, carpal: Any
) -> None:
    status, out, _ = carpal("evaluate", str(given.model), "--against", str(given.other))

    assert status == 0
    for part in ("MAE (months)", "AUROC", "female 96-144", "against v0001-", "8 labelled cases"):
        assert part in out
    page = Path(out.rsplit("Report: ", 1)[1].strip())
    assert page.read_text().startswith("# Bone age: v0001-")


def test_json_is_one_value_for_a_program(given: JudgedWorkspace, carpal: Any) -> None:
    status, out, _ = carpal("evaluate", str(given.model), "--withhold", "--json")

    figures = json.loads(out)
    assert (status, figures["cases"], figures["known_input"]) == (0, 8, "")
    assert Path(figures["report"]).is_file()


def test_the_training_split_cannot_be_asked_for(given: JudgedWorkspace, carpal: Any) -> None:
    assert carpal("evaluate", str(given.model), "--split", "train")[0] == 2


def test_a_model_that_is_not_there_is_one_line_and_status_1(
    given: JudgedWorkspace, carpal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.unit.workers.judged_workspace import NoRegistry
    from workers import model_folders

    monkeypatch.setattr(model_folders, "registry", lambda settings: NoRegistry())

    status, out, err = carpal("evaluate")

    assert (status, out) == (1, "")
    assert err == "carpal: There is no champion yet.\n"


def test_a_model_is_exported_for_mlflow(
    given: JudgedWorkspace, carpal: Any, tmp_path: Path
) -> None:
    status, out, _ = carpal("models", "export", str(given.model), str(tmp_path / "served"))

    assert status == 0
    assert "mlflow models serve" in out
    assert (tmp_path / "served" / "MLmodel").is_file()

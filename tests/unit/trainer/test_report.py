from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.domain import Prediction, Target, TaskSpec, Value
from data.errors import StorageError
from data.images.decoding import read_grey
from tests.unit.trainer.cases import AGE, BONE_AGE, GATE, told, truth
from trainer.evaluation.band_plots import Box, box_of
from trainer.evaluation.evaluation import Evaluation, compare, evaluate
from trainer.evaluation.plot_style import colour_of, marker_of
from trainer.evaluation.plots import limits_of_agreement
from trainer.evaluation.report import Subject, write_report
from trainer.evaluation.stress import StressReport, StressResult

pytestmark = pytest.mark.long

PICTURES = {
    "agreement.png",
    "bland-altman.png",
    "calibration-sex.png",
    "coverage.png",
    "error.png",
    "training.png",
    "worst.png",
}
HISTORY = ({"epoch": 1, "loss": 0.9}, {"epoch": 2, "loss": 0.5, "validation_error": 12.0})


def judged(
    count: int, spec: TaskSpec = BONE_AGE
) -> tuple[Evaluation, dict[str, Prediction], dict[str, dict[str, Value]]]:
    rng = np.random.default_rng(count)
    truths = {
        f"{i:064x}": truth(float(rng.uniform(0, 240)), ("female", "male")[i % 2])
        for i in range(count)
    }
    said = {}
    for key, true in truths.items():
        age = float(true["age_months"]) + float(rng.normal(0, 10))
        said[key] = told(age, age - 20, age + 20, female=float(rng.uniform(0.05, 0.95)))
    return evaluate(spec, said, truths, [truth(100.0)]), said, truths


def subject(count: int, **more: object) -> tuple[Evaluation, Subject]:
    evaluation, said, truths = judged(count)
    plain = Subject(BONE_AGE, "v0002-1a2b3c4d", "v0003", "test", said, truths)
    return evaluation, replace(plain, **more)  # type: ignore[arg-type]


def film(key: str) -> np.ndarray | None:
    return None if key.endswith("1") else np.full((16, 16), 90, np.uint8)


def test_a_report_is_a_page_with_pictures_cases_and_figures(tmp_path: Path) -> None:
    evaluation, about = subject(40, history=HISTORY, facts={"dataset commit": "abc123"})

    page = write_report(tmp_path / "report", evaluation, about, film)

    text = page.read_text()
    names = {path.name for path in page.parent.iterdir()}
    assert names == {"report.md", "cases.csv", "evaluation.json", *PICTURES}
    assert all(f"]({name})" in text for name in PICTURES)
    assert "| dataset commit | abc123 |" in text
    assert f"{evaluation.mae:.2f} [{evaluation.mae_ci95[0]:.2f}" in text
    assert len((page.parent / "cases.csv").read_text().splitlines()) == 41
    figures = json.loads((page.parent / "evaluation.json").read_text())
    assert (figures["model"], figures["cases"], figures["against"]) == ("v0002-1a2b3c4d", 40, None)


def test_pictures_are_wide_enough_for_a_page_and_light(tmp_path: Path) -> None:
    evaluation, about = subject(40, history=HISTORY)

    page = write_report(tmp_path, evaluation, about, film)

    for name in PICTURES:
        picture = read_grey(page.parent / name)
        assert picture.shape[1] == 900
        assert np.median(picture) > 250 or name == "worst.png"


def test_a_comparison_says_which_differences_are_told_apart(tmp_path: Path) -> None:
    evaluation, about = subject(40)
    worse = {key: replace(said, values={**said.values, "age_months": 0.0}) for key, said in
             about.predictions.items()}  # fmt: skip
    found = compare(BONE_AGE, about.predictions, worse, about.truths)

    page = write_report(tmp_path, evaluation, replace(about, against="v0001-0", comparison=found))

    text = page.read_text()
    assert "## Against v0001-0" in text
    assert text.split("| all | 40 |")[1].splitlines()[0].endswith("better |")
    assert json.loads((tmp_path / "evaluation.json").read_text())["against"]["model"] == "v0001-0"


def test_altered_films_have_a_row_each(tmp_path: Path) -> None:
    result = StressResult(
        "inverted", "Black is white.", 40, 3.0, 9.0, -2.0, {"6": 0.1}, 12.5, {"sex": 0.25}
    )
    evaluation, about = subject(40)
    stressed = replace(about, stress=StressReport("age_months", "months", 40, 10.0, (result,)))

    text = write_report(tmp_path, evaluation, stressed).read_text()

    assert "| inverted | 40 | 3.00 | 9.00 | -2.00 | 12.50 | 25.0 % |" in text


@pytest.mark.parametrize("count", [0, 1, 2], ids=["no case", "one case", "two cases"])
def test_few_cases_make_a_report_without_invented_figures(count: int, tmp_path: Path) -> None:
    evaluation, about = subject(count)

    text = write_report(tmp_path, evaluation, about, film).read_text()

    assert "nan" not in text.lower()
    assert ("agreement.png" in text) is (count > 1)


def test_a_task_whose_gate_is_a_choice_has_a_report_too(tmp_path: Path) -> None:
    spec = replace(BONE_AGE, gate=replace(BONE_AGE.gate, target="sex", band_edges=()))
    evaluation, said, truths = judged(30, spec)
    about = Subject(spec, "v0001-1a2b3c4d", "v0001", "test", said, truths)

    page = write_report(tmp_path, evaluation, about, film)

    assert {path.name for path in tmp_path.glob("*.png")} == {"calibration-sex.png", "worst.png"}
    assert "## sex" in page.read_text()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "report").write_text("a file")
    evaluation, about = subject(2)

    with pytest.raises(StorageError, match="report"):
        write_report(tmp_path / "report", evaluation, about)


def test_the_limits_of_agreement_are_those_worked_out_by_hand() -> None:
    # Mean 2; squared deviations 9, 1, 1, 9, so the variance is 20 / 3.
    shift, low, high = limits_of_agreement(np.asarray([-1.0, 1.0, 3.0, 5.0]))

    assert shift == 2.0
    assert high - shift == shift - low == pytest.approx(1.96 * (20 / 3) ** 0.5)


def test_a_box_holds_the_middle_half_and_its_whiskers_reach_one_and_a_half_times_further() -> None:
    # Quartiles 2, 3 and 4: whiskers within -1 and 7.
    assert box_of([3.0, 1.0, 2.0, 4.0, 100.0]) == Box(1.0, 2.0, 3.0, 4.0, 4.0, (100.0,))


def test_a_single_value_is_a_box_without_extent() -> None:
    assert box_of([7.0]) == Box(7.0, 7.0, 7.0, 7.0, 7.0, ())


def test_drawing_touches_no_state_that_others_share() -> None:
    code = (
        "import sys, tests.unit.trainer.test_report as t, pathlib, tempfile\n"
        "evaluation, about = t.subject(20)\n"
        "t.write_report(pathlib.Path(tempfile.mkdtemp()), evaluation, about)\n"
        "print('matplotlib.figure' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "True False\n"


def test_a_box_of_many_values_does_not_hold_each_against_all_others() -> None:
    compared: list[object] = []

    class Noted(float):
        def __eq__(self, other: object) -> bool:
            compared.append(other)
            return float(self) == other

        __hash__ = float.__hash__

    box_of([Noted(value) for value in range(50)])

    assert compared == []


def test_a_task_of_more_groups_than_colours_is_drawn_too(tmp_path: Path) -> None:
    site = Target("site", "choice", choices=tuple("abcdef"))
    spec = replace(BONE_AGE, targets=(AGE, site), gate=replace(GATE, band_by="site"))
    truths: dict[str, dict[str, Value]] = {
        f"{i:064x}": {"age_months": 20.0 + 10 * i, "site": "abcdef"[i % 6]} for i in range(18)
    }
    said = {
        key: replace(
            told(23.0 + 10 * i),
            values={"age_months": 23.0 + 10 * i, "site": row["site"]},
            probabilities={"site": {str(row["site"]): 1.0}},
        )
        for i, (key, row) in enumerate(truths.items())
    }
    about = Subject(spec, "v0002-1a2b3c4d", "v0003", "test", said, truths)

    write_report(tmp_path / "report", evaluate(spec, said, truths, []), about)

    assert {"agreement.png", "error.png"} <= {p.name for p in (tmp_path / "report").iterdir()}


def test_groups_of_one_colour_have_different_markers() -> None:
    looks = [(colour_of(group), marker_of(group)) for group in range(25)]

    assert len(set(looks)) == 25

"""The text of an evaluation's report, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from data.versions.markdown import markdown_table
from trainer.evaluation.case_errors import error_name
from trainer.evaluation.evaluation import Comparison, Difference, Evaluation
from trainer.evaluation.scores import NumberScore

if TYPE_CHECKING:
    from trainer.evaluation.choice_scores import ChoiceScore
    from trainer.evaluation.report import Subject
    from trainer.evaluation.stress import StressReport

CAPTIONS = {
    "agreement": "What was told over what is true; on the line both are equal.",
    "bland-altman": "Difference over mean (Bland & Altman 1986); dashed: 95 % limits of agreement.",
    "error": "Errors by band of the reference; the numbers are cases.",
    "coverage": "How often the intervals hold the reference, with exact binomial limits.",
    "calibration": "How often answers are right over how sure they are (reliability diagram).",
    "training": "The training.",
    "worst": "The largest errors, with the crop that the model saw.",
}
"""Beginning of a picture's file name -> what is to be seen."""

JUDGED = {
    "MAE": "absolute errors",
    "error rate": "shares of wrong answers",
    "log loss": "log losses",
}
"""`error_name` -> what is compared case by case."""

Row = Sequence[str]


def page(evaluation: Evaluation, subject: Subject, pictures: Sequence[str]) -> str:
    """Returns the whole page.

    Args:
        evaluation: Of the subject.
        subject: What was judged.
        pictures: Files beside the page, in the order in which they are shown.
    """
    parts = [f"# {subject.spec.title}: {subject.model_version}, {subject.split} split"]
    parts += [markdown_table(("what", "value"), _facts(evaluation, subject))]
    for name, score in evaluation.numbers.items():
        parts += _number_part(name, subject.spec.target(name).unit, score)
    for name, choice in evaluation.choices.items():
        parts += _choice_part(name, choice)
    if subject.comparison is not None:
        parts += _comparison_part(subject, subject.comparison)
    if subject.stress is not None:
        parts += _stress_part(subject.stress)
    parts += ["## Pictures"] if pictures else []
    for name in pictures:
        caption = next(text for key, text in CAPTIONS.items() if name.startswith(key))
        parts += [f"![{name.partition('.')[0]}]({name})", caption]
    parts += [
        "## Files",
        "`cases.csv` has a line for each case, `evaluation.json` every figure. How they are "
        "computed stands in `docs/evaluation.md`.",
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def number_rows(score: NumberScore, unit: str) -> list[Row]:
    """Returns (name, value) of a number's figures, for a person."""
    within = ", ".join(f"{_share(share)} ≤ {limit}" for limit, share in score.within.items())
    covered = _with_interval(_share(score.coverage), score.coverage_ci95, _share)
    return [
        ("cases", str(score.cases)),
        (f"MAE ({unit})", _with_interval(_two(score.mae), score.mae_ci95, _two)),
        (f"MAE of the mean predictor ({unit})", _two(score.baseline_mae)),
        (f"RMSE ({unit})", _with_interval(_two(score.rmse), score.rmse_ci95, _two)),
        ("r", _with_interval(_three(score.r), score.r_ci95, _three)),
        (f"bias ({unit})", _two(score.bias, "+")),
        (f"within ({unit})", within),
        ("coverage", f"{covered}, promised {_share(score.promised_coverage)}"),
        (f"mean width of the intervals ({unit})", _two(score.interval_width)),
    ]


def choice_rows(score: ChoiceScore) -> list[Row]:
    """Returns (name, value) of a choice's figures, for a person."""
    return [
        ("cases", str(score.cases)),
        ("accuracy", _with_interval(_share(score.accuracy), score.accuracy_ci95, _share)),
        ("accuracy of the usual answer", _share(score.baseline_accuracy)),
        ("balanced accuracy", _share(score.balanced_accuracy)),
        ("AUROC", _with_interval(_three(score.auroc), score.auroc_ci95, _three)),
        ("F1 (macro)", _three(score.f1)),
        ("ECE", _three(score.ece)),
        ("log loss", _with_interval(_three(score.log_loss), score.log_loss_ci95, _three)),
        ("log loss of the frequencies", _three(score.baseline_log_loss)),
    ]


def band_rows(score: NumberScore) -> list[Row]:
    """Returns a number's figures by band, below `BAND_HEAD`."""
    return [
        (
            band.name,
            str(band.cases),
            _with_interval(_two(band.mae), band.mae_ci95, _two),
            _two(band.rmse),
            _two(band.bias, "+"),
            _with_interval(_share(band.coverage), band.coverage_ci95, _share),
            _two(band.interval_width),
        )
        for band in score.bands
    ]


BAND_HEAD = ("band", "cases", "MAE [95 %]", "RMSE", "bias", "coverage [95 %]", "width")


def difference_rows(comparison: Comparison) -> list[Row]:
    """Returns the differences of a comparison, below `DIFFERENCE_HEAD`."""
    wrong = {f"wrong {name}": d for name, d in comparison.choices.items()}
    named: dict[str, Difference] = {"all": comparison.overall}
    named |= {band.name: band for band in comparison.bands} | wrong
    return [
        (
            name,
            str(d.cases),
            _with_interval(_three(d.mean_difference, "+"), d.ci95, lambda v: _three(v, "+")),
            _verdict(d),
        )
        for name, d in named.items()
    ]


DIFFERENCE_HEAD = ("cases of", "cases", "difference [95 %]", "verdict")


def stress_rows(report: StressReport) -> list[Row]:
    """Returns what each alteration did, below `stress_head`."""
    rows = [("none", str(report.films), "0.00", "0.00", "0.00", _two(report.mae))]
    for result in report.results:
        rows.append(
            (
                result.name,
                str(result.cases),
                _two(result.median),
                _two(result.p95),
                _two(result.bias, "+"),
                _two(result.mae),
            )
        )
    changed = [[""] * len(report.results[0].choices)] if report.results else []
    changed += [[_share(share) for share in result.choices.values()] for result in report.results]
    return [(*row, *shares) for row, shares in zip(rows, changed, strict=False)]


def stress_head(report: StressReport) -> Row:
    """Returns the names of the columns of `stress_rows`."""
    choices = report.results[0].choices if report.results else {}
    head = ("alteration", "films", "median change", "95 % below", "mean change", "MAE")
    return (*head, *(f"{name} changed" for name in choices))


def _verdict(difference: Difference) -> str:
    low, high = difference.ci95
    if not math.isfinite(low):
        return "–"
    return "better" if high < 0 else "worse" if low > 0 else "not told apart"


def _facts(evaluation: Evaluation, subject: Subject) -> Iterator[Row]:
    yield "model", subject.model_version
    yield "dataset version", subject.dataset_version
    yield "split", f"{subject.split}, {len(subject.truths)} labelled cases"
    if evaluation.missing:
        yield "without a prediction", str(evaluation.missing)
    if subject.spec.input:
        yield "told beforehand", subject.known_input or "nothing"
    yield from subject.facts.items()


def _number_part(name: str, unit: str, score: NumberScore) -> list[str]:
    part = [f"## {name}", markdown_table(("figure", "value"), number_rows(score, unit))]
    if score.bands:
        part += [f"### {name} by band", markdown_table(BAND_HEAD, band_rows(score))]
    return part


def _choice_part(name: str, score: ChoiceScore) -> list[str]:
    part = [f"## {name}", markdown_table(("figure", "value"), choice_rows(score))]
    rows = [
        (
            band.name,
            str(band.cases),
            _with_interval(_share(band.accuracy), band.accuracy_ci95, _share),
            _with_interval(_three(band.auroc), band.auroc_ci95, _three),
            _three(band.f1),
            _three(band.ece),
        )
        for band in score.bands
    ]
    if rows:
        head = ("band", "cases", "accuracy [95 %]", "AUROC [95 %]", "F1", "ECE")
        part += [f"### {name} by band", markdown_table(head, rows)]
    return part


def _stress_part(report: StressReport) -> list[str]:
    moved = f"{report.target} ({report.unit})" if report.unit else report.target
    part = [
        "## Altered films",
        f"How far {moved} moves when the film, but not the patient, looks different.",
        markdown_table(stress_head(report), stress_rows(report)),
    ]
    if report.left_out:
        part += [f"Not tried, as hand masks would not fit: {', '.join(report.left_out)}."]
    return part


def _comparison_part(subject: Subject, comparison: Comparison) -> list[str]:
    spec = subject.spec
    number = spec.target(spec.gate.target).kind == "number"
    name, shown = error_name(spec), _two if number else _three
    others = "" if name == "error rate" else " (of choices: of the shares of wrong answers)"
    return [
        f"## Against {subject.against}",
        f"Over the same {comparison.cases} cases: {name} {shown(comparison.new_error)} against "
        f"{shown(comparison.champion_error)}. The difference is that of the {JUDGED[name]}{others}"
        f", case by case; below 0 {subject.model_version} is better.",
        markdown_table(DIFFERENCE_HEAD, difference_rows(comparison)),
    ]


def _with_interval(value: str, ends: tuple[float, float], text: Callable[[float], str]) -> str:
    low, high = (text(end) for end in ends)
    return f"{value} [{low}, {high}]" if math.isfinite(ends[0]) else value


def _two(value: float, sign: str = "") -> str:
    return f"{value:{sign}.2f}" if math.isfinite(value) else "–"


def _three(value: float, sign: str = "") -> str:
    return f"{value:{sign}.3f}" if math.isfinite(value) else "–"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %" if math.isfinite(value) else "–"

"""The words in which an expert reads what the model says and how sure it is, below the field."""

from __future__ import annotations

from data.domain import Prediction, Target, TaskSpec

NBSP = "\u00a0"
"""Keeps a number and its unit on one line."""
WIDE_RANGE = 50.0
"""Numbers whose field spans at least this are written without decimals."""
MONTHS = "months"
"""Unit that is also told as years and months."""


def model_note(spec: TaskSpec, target: Target, prediction: Prediction) -> str:
    """Returns what the expert reads below the field, or nothing if the model does not say."""
    if target.name == spec.input:
        return _input_note(target, prediction)
    if target.name not in prediction.values:
        return ""
    if target.kind == "number":
        return _number_note(target, prediction)
    share = _share(target, prediction)
    return f"Model: {share}" if share else ""


def version_note(prediction: Prediction) -> str:
    """Returns which model it was, so that the expert can name it in a question."""
    return f"Model version {prediction.model_version}"


def amount(target: Target, value: float) -> str:
    """Returns a number with its unit; months also as years and months: `106 months (8 y 10 m)`."""
    said = NBSP.join(filter(None, (_short(target, value), target.unit)))
    return f"{said} ({years_and_months(value)})" if target.unit == MONTHS else said


def years_and_months(months: float) -> str:
    """Returns an age as people say it: `8 y 10 m`."""
    years, rest = divmod(round(months), 12)
    return NBSP.join((str(years), "y", str(rest), "m"))


def _number_note(target: Target, prediction: Prediction) -> str:
    said = f"Model: {amount(target, float(prediction.values[target.name]))}"
    if target.name not in prediction.intervals:
        return said
    low, high = prediction.intervals[target.name]
    span = NBSP.join(filter(None, (f"{_short(target, low)}–{_short(target, high)}", target.unit)))
    years = f"\n{years_and_months(low)} – {years_and_months(high)}" if target.unit == MONTHS else ""
    return f"{said}\n{100 * prediction.coverage:.0f}{NBSP}% interval: {span}{years}"


def _input_note(target: Target, prediction: Prediction) -> str:
    """Returns whether the model was told the choice, such as the sex, or had to find it itself."""
    told, share = prediction.used.get(target.name), _share(target, prediction)
    if told is None:
        return "Not told to the model" + (f", which says {share}" if share else "")
    if target.name in prediction.predicted_inputs:
        return f"Not recorded; predicted: {share or told}"
    differs = share and str(prediction.values[target.name]) != told
    return f"Recorded with the film: {told}" + (f"; the model sees {share}" if differs else "")


def _share(target: Target, prediction: Prediction) -> str:
    chosen = str(prediction.values.get(target.name))
    probability = prediction.probabilities.get(target.name, {}).get(chosen)
    return "" if probability is None else f"{chosen} {100 * probability:.0f}{NBSP}%"


def _short(target: Target, value: float) -> str:
    """Returns a number with as many decimals as the field's range is worth."""
    wide = (target.maximum or 0.0) - (target.minimum or 0.0) >= WIDE_RANGE
    return f"{value:.0f}" if wide else f"{value:.1f}"

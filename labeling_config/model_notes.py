"""The words in which an expert reads how sure the model is, below the field."""

from __future__ import annotations

from data.domain import Prediction, Target

NBSP = "\u00a0"
"""Keeps a number and its unit on one line."""
WIDE_RANGE = 50.0
"""Numbers whose field spans at least this are written without decimals."""


def model_note(target: Target, prediction: Prediction) -> str:
    """Returns what the expert reads below the field, or nothing if the model does not say."""
    if target.kind == "choice":
        chosen = str(prediction.values[target.name])
        probability = prediction.probabilities.get(target.name, {}).get(chosen)
        return "" if probability is None else f"Model: {chosen} {100 * probability:.0f}{NBSP}%"
    if target.name not in prediction.intervals:
        return ""
    low, high = prediction.intervals[target.name]
    years = f" ({_years(low)} – {_years(high)})" if target.unit == "months" else ""
    span = f"{_short(target, low)}–{_short(target, high)} {target.unit}".rstrip()
    return f"Model: {span}{years}, {100 * prediction.coverage:.0f}{NBSP}%"


def version_note(prediction: Prediction) -> str:
    """Returns which model it was, so that the expert can name it in a question."""
    return f"Model version {prediction.model_version}"


def _short(target: Target, value: float) -> str:
    """Returns a number with as many decimals as the field's range is worth."""
    wide = (target.maximum or 0.0) - (target.minimum or 0.0) >= WIDE_RANGE
    return f"{value:.0f}" if wide else f"{value:.1f}"


def _years(months: float) -> str:
    years, rest = divmod(round(months), 12)
    return NBSP.join((str(years), "y", str(rest), "m"))

"""What `/api/predict` says of a film, in the words of its field."""

from __future__ import annotations

from typing import Any

from flask import request

from data.domain import Prediction, TaskSpec
from data.ledger.predictions import prediction_id
from ml_backend.film_warnings import is_unusual
from ml_backend.sent_films import FilmAnswer
from ml_backend.services import Services
from workers.recorded import input_of
from workers.standards import Standard, primary_number

AGE_TARGET = "age_months"
SEX_TARGET = "sex"
SEX_LETTERS = {"female": "f", "male": "m"}


def film_answer_json(services: Services, answer: FilmAnswer) -> dict[str, Any]:
    """Returns an answer as `/api/predict` gives it.

    For bone age that is `bone_age` and `interval` in months, `used_sex` and so on, as the published
    bone-age service answers. Other tasks, and models that tell a part alone, answer by
    the names of their targets.
    """
    prediction = answer.prediction
    tells_age = {AGE_TARGET, SEX_TARGET} <= prediction.values.keys()
    told = _bone_age(answer) if tells_age else _by_target(answer)
    return {
        **told,
        "coverage": prediction.coverage,
        "confidence": prediction.confidence,
        "novelty": prediction.novelty,
        "unusual": is_unusual(prediction),
        "warnings": list(answer.warnings),
        "standards": [_standard(services, one) for one in _standards(services, answer)],
        "model_version": prediction.model_version,
        "prediction_id": prediction_id(prediction.radiograph_id, prediction.model_version),
        "radiograph": prediction.radiograph_id,
        "kept": answer.kept,
    }


def in_years(months: float) -> str:
    """Returns an age in words: `10 years 11 months`."""
    years, rest = divmod(round(months), 12)
    return f"{_counted(years, 'year')} {_counted(rest, 'month')}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _bone_age(answer: FilmAnswer) -> dict[str, Any]:
    prediction = answer.prediction
    sex = str(prediction.used.get(SEX_TARGET) or prediction.values[SEX_TARGET])
    age = float(prediction.values[AGE_TARGET])
    return {
        "bone_age": age,
        "bone_age_text": in_years(age),
        "interval": list(prediction.intervals[AGE_TARGET]),
        "used_sex": SEX_LETTERS[sex],
        "sex_predicted": answer.source == "predicted",
        "sex_source": answer.source,
        "sex_fed": answer.is_fed,
        "sex_probability": prediction.probabilities[SEX_TARGET][sex],
    }


def _by_target(answer: FilmAnswer) -> dict[str, Any]:
    prediction = answer.prediction
    return {
        "values": dict(prediction.values),
        "intervals": {name: list(pair) for name, pair in prediction.intervals.items()},
        "probabilities": {
            name: dict(chances) for name, chances in prediction.probabilities.items()
        },
        "used": dict(prediction.used),
        "predicted_inputs": list(prediction.predicted_inputs),
    }


def _standards(services: Services, answer: FilmAnswer) -> tuple[Standard, ...]:
    """Returns the nearest standards of a film, of which it is never one itself."""
    value = _primary_value(services.spec, answer.prediction)
    if value is None:
        return ()
    choice = input_of(services.spec, answer.prediction) or None
    nearest = services.standards().nearest(value, choice, answer.patient)
    return tuple(s for s in nearest if s.radiograph.id != answer.prediction.radiograph_id)


def _primary_value(spec: TaskSpec, prediction: Prediction) -> float | None:
    target = primary_number(spec)
    if target is None or target.name not in prediction.values:
        return None
    return float(prediction.values[target.name])


def _standard(services: Services, standard: Standard) -> dict[str, Any]:
    page = None
    if services.desk is not None:
        page = f"{request.script_root}/radiographs/{standard.radiograph.id}"
    if AGE_TARGET in {target.name for target in services.spec.targets}:
        said: dict[str, Any] = {
            "months": standard.value,
            "text": in_years(standard.value),
            "sex": SEX_LETTERS.get(standard.choice),
        }
    else:
        said = {"value": standard.value, "choice": standard.choice or None}
    return {
        "radiograph": standard.radiograph.id,
        "place": standard.place,
        **said,
        "readers": standard.readers,
        "agreeing": standard.agreeing,
        "reference": standard.reference,
        "case": page,
        "picture": page and f"{page}.png",
    }

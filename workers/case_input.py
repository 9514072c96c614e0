"""The input target of a task, such as the sex: recorded, predicted from the film, or withheld."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from data.domain import LabelledRadiograph, Prediction, Radiograph, TaskSpec
from data.ledger.cases import CaseRows
from workers.recorded import recorded_inputs


@dataclass(frozen=True, slots=True)
class KnownInput:
    """What a prediction made of the task's input target, such as the sex.

    Attributes:
        name: Name of the target.
        value: What the number was predicted with; empty if withheld.
        origin: `recorded`: it was known before; `predicted`: the model read it off the film;
            `withheld`: the model makes no use of it, or did without.
        probability: Of `value`, 0..1, where the model says so.
        recorded: What is recorded with the film; empty: nothing.
        conflict: What readers (or a reference) say instead of what is recorded; empty: nothing.
    """

    name: str
    value: str
    origin: Literal["recorded", "predicted", "withheld"]
    probability: float | None
    recorded: str
    conflict: str


def known_input(
    spec: TaskSpec,
    radiograph: Radiograph,
    said: Prediction | None,
    label: LabelledRadiograph | None,
) -> KnownInput | None:
    """Returns what a prediction made of the task's input.

    Args:
        spec: The task; None is returned for one without an input.
        radiograph: The film.
        said: The prediction; None: there is none.
        label: What readers agree on; None: nobody has read the film.
    """
    name = spec.input
    if name is None:
        return None
    recorded = recorded_inputs(spec, radiograph).get(name, "")
    read = str(label.values.get(name, "")) if label else ""
    value = said.used.get(name, "") if said else recorded
    predicted = said is not None and name in said.predicted_inputs
    return KnownInput(
        name=name,
        value=value,
        origin=("predicted" if predicted else "recorded") if value else "withheld",
        probability=said.probabilities.get(name, {}).get(value) if said else None,
        recorded=recorded,
        conflict=read if recorded and read and read != recorded else "",
    )


def told_before(spec: TaskSpec, rows: CaseRows, serving: str) -> dict[str, str]:
    """Returns what the serving model was told of a film, or would be: see `Prediction.used`."""
    for _, said in rows.predictions:
        if said.model_version == serving:
            return {k: v for k, v in said.used.items() if k not in said.predicted_inputs}
    return recorded_inputs(spec, rows.radiograph)

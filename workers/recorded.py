"""The input that a film is predicted with, such as the sex: recorded, or read off the film."""

from __future__ import annotations

from data.domain import Prediction, Radiograph, TaskSpec


def recorded_inputs(spec: TaskSpec, radiograph: Radiograph) -> dict[str, str]:
    """Returns what a model is told of a film: the task's input, if it is recorded.

    Whoever predicts a film of the pool asks here, so that what the ledger keeps of a film under a
    model version does not depend on who asked first.

    Args:
        spec: The task.
        radiograph: The film with its metadata.

    Returns:
        Input target -> choice; empty where nothing is recorded, where it is none of the target's
        choices, or where the task has no input.
    """
    if spec.input is None:
        return {}
    told = radiograph.metadata.get(spec.input, "")
    return {spec.input: told} if told in spec.target(spec.input).choices else {}


def input_of(spec: TaskSpec, said: Prediction) -> str:
    """Returns the input (the sex) that a model was fed, else what it reads; empty: neither.

    Reference standards are of this sex, wherever they are shown.
    """
    if spec.input is None:
        return ""
    return said.used.get(spec.input) or str(said.values.get(spec.input, ""))

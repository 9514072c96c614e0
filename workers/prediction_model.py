"""The model that films are predicted with, and what it can be told and tells."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import InvalidInputError
from labeling_config.tasks import load_task, task_names
from trainer.answers.prediction_table import PredictionTable
from workers.assembly import mask_store
from workers.settings import Settings

if TYPE_CHECKING:
    from trainer.model.card import ModelCard
    from trainer.predictor import Predictor

CARD = "model.json"


def open_model(settings: Settings, name: str, device: str) -> Predictor:
    """Loads a model.

    Args:
        settings: Of the workspace, whose masks are used; there need be none for a model folder.
        name: A model folder, or see `model_folders.model_folder`.
        device: See `Predictor.load`; empty: the workspace's.

    Raises:
        NotFoundError: There is no such model.
        ModelError: It is damaged, or there is no such device.
        ServiceUnavailableError: MLflow does not answer.
    """
    from trainer.predictor import Predictor

    folder = Path(name)
    if not (folder / CARD).is_file():
        from workers.model_folders import model_folder  # brings MLflow

        folder = model_folder(settings, name)
    find = mask_store(settings).find if settings.home.is_dir() else None
    return Predictor.load(folder, device or settings.device, find_mask=find)


def table_of(card: ModelCard) -> PredictionTable:
    """Returns the columns of a model's task: the same ones for all models of a task we know."""
    if card.task in task_names():
        spec = load_task(card.task)
        told = {target.name for target in card.targets}
        if told <= {target.name for target in spec.targets}:
            return PredictionTable(spec.targets, spec.input)
    return PredictionTable(card.targets, card.input)


def check_input(card: ModelCard, known: Mapping[str, str]) -> None:
    """Makes sure that a model can be told what somebody wants to tell it.

    Raises:
        InvalidInputError: It is told nothing of the kind, or the value is none of the choices.
    """
    for name, value in known.items():
        target = card.input_target
        if target is None or target.name != name:
            raise InvalidInputError(
                f"{card.model_version} makes no use of a known {name}: it tells it from the film."
            )
        if value not in target.choices:
            raise InvalidInputError(f"{name} must be one of {', '.join(target.choices)}.")

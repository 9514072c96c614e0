"""A small model with random weights, for tests of what is done with models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from tests.unit.trainer.cases import AGE, QUICK, SEX
from trainer.answers.calibration import Calibration
from trainer.inputs.pixels import preparation_of
from trainer.inputs.targets import Norm
from trainer.model.card import Member, ModelCard
from trainer.model.files import Part, save_model
from trainer.options import TrainOptions

EPOCHS = ({"epoch": 1, "loss": 0.9}, {"epoch": 2, "loss": 0.5})


def random_card(
    options: TrainOptions = QUICK,
    dataset_version: str = "v0001",
    task: str = "bone_age",
    members: int = 1,
) -> ModelCard:
    """Returns the card of a model that tells age and sex and is fed with the sex."""
    norms = {"age_months": Norm(100.0, 40.0)}
    return ModelCard(
        task=task,
        targets=(AGE, SEX),
        primary="age_months",
        input="sex",
        options=options,
        members=tuple(
            Member(options, norms, preparation_of(options), history=EPOCHS) for _ in range(members)
        ),
        bands=(),
        calibration=Calibration(0.9, {"age_months": 2.5}, temperatures={"sex": 1.0}),
        preparation_code="0",
        dataset_version=dataset_version,
        provenance={"dataset_commit": "abc123"},
        libraries={"torch": "2.0"},
        counts={"train": 100, "validation": 0, "calibration": 40},
    )


def save_random_model(
    folder: Path,
    dataset_version: str = "v0001",
    seed: int = 0,
    task: str = "bone_age",
    options: TrainOptions = QUICK,
    members: int = 1,
    input_mode: str = "explicit",
) -> ModelCard:
    """Writes a model that tells age and sex and is fed with the sex, told or predicted."""
    torch.manual_seed(seed)
    card = random_card(replace(options, input_mode=input_mode), dataset_version, task, members)
    return save_model(folder, [Part(card.network(member)) for member in card.members], card)

"""A workspace with a small model and labelled phantoms, without git, DVC or MLflow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from data.domain import Example, Split
from data.errors import NotFoundError
from data.images.decoding import content_id, encode_png
from data.phantoms.drawing import draw_hand
from tests.unit.trainer.small_models import save_random_model
from trainer.evaluation import report
from workers import evaluating
from workers.settings import Settings

SPLITS = [Split.TEST] * 8 + [Split.CALIBRATION] * 2 + [Split.TRAIN] * 2


@dataclass
class FakeDataset:
    """Answers what an evaluation asks the dataset repository."""

    by_version: dict[str, list[Example]]

    def versions(self) -> list[str]:
        return list(self.by_version)

    def examples(self, version: str) -> list[Example]:
        return self.by_version[version]


@dataclass
class JudgedWorkspace:
    """Where everything is.

    Attributes:
        settings: Of the workspace.
        model: Folder of a model that is fed with the sex.
        other: Folder of another one.
        examples: All that are labelled.
    """

    settings: Settings
    model: Path
    other: Path
    examples: list[Example]


def judged_workspace(home: Path, monkeypatch: pytest.MonkeyPatch) -> JudgedWorkspace:
    """Makes the workspace; its dataset has the versions v0001 and, with all labels, v0002.

    Reports have no pictures: they take a second each, and have tests of their own.
    """
    monkeypatch.setattr(report, "pictures_of", lambda *arguments: {})
    home.mkdir(parents=True)
    examples = [_labelled(home, number, split) for number, split in enumerate(SPLITS)]
    versions = {"v0001": examples[:4], "v0002": examples}
    monkeypatch.setattr(evaluating, "dataset", lambda settings, spec: FakeDataset(versions))
    settings = Settings.load({"CARPAL_HOME": str(home), "CARPAL_DEVICE": "cpu"})
    for seed, name in enumerate(("model", "other")):
        save_random_model(home / name, seed=seed)
    return JudgedWorkspace(settings, home / "model", home / "other", examples)


class NoRegistry:
    """A registry without a model."""

    def champion(self) -> None:
        return None

    def fetch(self, model_version: str, cache: Path) -> Path:
        raise NotFoundError(f"No model {model_version!r} is registered.")


def _labelled(home: Path, number: int, split: Split) -> Example:
    sex, age = ("female", "male")[number % 2], 40.0 + 15 * number
    payload = encode_png(draw_hand(age, sex, seed=number, size=96))
    path = home / f"{number}.png"
    path.write_bytes(payload)
    return Example(content_id(payload), path, {"age_months": age, "sex": sex}, split)

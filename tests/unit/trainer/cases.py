"""What the trainer's tests share: two small tasks, easy images, predictions without a model."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.domain import Example, GateRule, Prediction, Split, Target, TaskSpec, Value
from data.images.decoding import encode_png
from trainer.options import TrainOptions

AGE = Target("age_months", "number", "months", 0.0, 240.0, tolerance=6.0)
SEX = Target("sex", "choice", choices=("female", "male"), loss_weight=0.3)
GATE = GateRule("age_months", 1.0, 3.0, (0.0, 120.0, 240.0), "sex")
BONE_AGE = TaskSpec("bone_age", "Bone age", "image", "image", (AGE, SEX), GATE, "<View/>")

FINDING = Target("finding", "choice", choices=("normal", "fracture"))
SEVERITY = Target(
    "severity", "number", "mm", 0.0, 50.0, tolerance=1.0, applies_when=("finding", "fracture")
)
FRACTURE = TaskSpec(
    "fracture",
    "Fracture",
    "image",
    "image",
    (FINDING, SEVERITY),
    GateRule("severity", 1.0, 3.0, (0.0, 50.0)),
    "<View/>",
)

QUICK = TrainOptions(
    backbone="test_byobnet",
    image_size=32,
    crop="whole",  # the easy images show their truth by where it lies
    exposure="as_is",  # and look like markers
    epochs=1,
    min_steps=0,
    batch_size=8,
    learning_rate=3e-3,
    augment=0.0,
    flip=False,
    min_examples=4,
    device="cpu",
    precision="32",
    threads=1,
    workers=1,
)


def easy_image(age_months: float, sex: str, seed: int) -> NDArray[np.uint8]:
    """A disc whose radius is the age, upper half for girls, lower half for boys: (48, 48) grey."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :48]
    top = 15 if sex == "female" else 33
    radius = 3 + age_months / 240 * 10
    disc = (y - top) ** 2 + (x - 24 - rng.uniform(-3, 3)) ** 2 <= radius**2
    noise = rng.normal(30, 6, (48, 48))
    return np.clip(noise + disc * 150, 0, 255).astype(np.uint8)


def easy_examples(
    folder: Path, train: int, calibration: int = 0, test: int = 0, seed: int = 0
) -> list[Example]:
    """Writes easy images and returns them as examples."""
    rng = np.random.default_rng(seed)
    splits = [Split.TRAIN] * train + [Split.CALIBRATION] * calibration + [Split.TEST] * test
    examples = []
    for i, split in enumerate(splits):
        age, sex = float(rng.uniform(0, 240)), ("female", "male")[i % 2]
        payload = encode_png(easy_image(age, sex, seed * 10_000 + i))
        key = hashlib.sha256(payload).hexdigest()
        path = folder / f"{key}.png"
        path.write_bytes(payload)
        examples.append(Example(key, path, {"age_months": age, "sex": sex}, split))
    return examples


def told(
    age: float,
    low: float = 0.0,
    high: float = 240.0,
    female: float = 0.5,
    model_version: str = "v0001-00000000",
) -> Prediction:
    """A prediction of a bone age and of a probability that the patient is female."""
    sex = "female" if female >= 0.5 else "male"
    values: dict[str, Value] = {"age_months": age, "sex": sex}
    chances = {"sex": {"female": female, "male": 1 - female}}
    return Prediction("", model_version, values, {"age_months": (low, high)}, chances, 0.5, 0.9)


def truth(age: float, sex: str = "female") -> dict[str, Value]:
    return {"age_months": age, "sex": sex}

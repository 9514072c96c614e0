"""A task, radiographs and labels for the tests of the dataset, each with one obvious number."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.domain import (
    GateRule,
    LabelledRadiograph,
    Radiograph,
    Reading,
    Split,
    Target,
    TaskSpec,
    Value,
)

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HEAD = (41, "ab" * 32)

SPEC = TaskSpec(
    name="bone_age",
    title="Bone age",
    image_tag="image",
    image_key="image",
    targets=(
        Target("age_months", "number", "months", minimum=0, maximum=240, tolerance=12),
        Target("sex", "choice", choices=("female", "male")),
    ),
    gate=GateRule(
        target="age_months",
        margin=1.0,
        band_margin=2.0,
        band_edges=(0, 60, 120, 240),
        band_by="sex",
    ),
    config_xml="<View/>",
)

PNEUMONIA = TaskSpec(
    name="pneumonia",
    title="Pneumonia",
    image_tag="image",
    image_key="image",
    targets=(
        Target("finding", "choice", choices=("normal", "pneumonia")),
        Target(
            "cause",
            "choice",
            choices=("bacterial", "viral"),
            applies_when=("finding", "pneumonia"),
        ),
    ),
    gate=GateRule(target="finding", margin=0.0, band_margin=0.0, band_edges=()),
    config_xml="<View/>",
)


def radiograph_id(number: int) -> str:
    return f"{number:064x}"


def a_radiograph(number: int = 1, split: Split = Split.TRAIN, patient: str = "") -> Radiograph:
    key = radiograph_id(number)
    return Radiograph(
        id=key,
        patient=patient or f"{number:016x}",
        split=split,
        source="folder",
        path=f"images/{key[:2]}/{key}.png",
        width=30,
        height=40,
        imported_at=NOON,
    )


def a_reading(
    reader: str = "ada@example.org",
    number: int = 1,
    minute: int = 0,
    withdrawn: bool = False,
    **values: Value,
) -> Reading:
    return Reading(
        radiograph_id=radiograph_id(number),
        reader=reader,
        values=values,
        read_at=NOON + timedelta(minutes=minute),
        annotation="" if reader == "reference" else f"1:{minute}",
        withdrawn=withdrawn,
    )


def a_label(
    number: int = 1,
    age: float = 100.0,
    sex: str = "female",
    split: Split = Split.TRAIN,
    patient: str = "",
    readers: tuple[str, ...] = ("ada@example.org",),
    reference: bool = False,
) -> LabelledRadiograph:
    return LabelledRadiograph(
        radiograph=a_radiograph(number, split, patient),
        values={"age_months": age, "sex": sex},
        readers=readers,
        agreement=1.0,
        reference=reference,
        labelled_at=NOON,
    )


def a_film(height: int = 40, width: int = 30, seed: int = 1) -> NDArray[np.uint8]:
    """Noise: no two rows or columns are alike."""
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def encoded(
    image: Image.Image | NDArray[np.generic], form: str = "PNG", **options: object
) -> bytes:
    """An image file's bytes."""
    buffer = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(buffer, form, **options)
    return buffer.getvalue()

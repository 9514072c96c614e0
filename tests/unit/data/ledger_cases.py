"""Radiographs, readings and predictions for the ledger's tests, each with one obvious number."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from data.domain import REFERENCE_READER, Prediction, Radiograph, Reading, Split
from data.ledger.ledger import Ledger

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PROJECT = 3
ROOT = Path(__file__).parents[3]


def ledger_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'ledger.db'}"


@cache
def _empty_ledger() -> bytes:
    with TemporaryDirectory() as folder:
        Ledger.open(ledger_url(Path(folder))).close()
        return (Path(folder) / "ledger.db").read_bytes()


def new_ledger(folder: Path) -> Ledger:
    """Opens an empty ledger without the time that migrating one takes."""
    (folder / "ledger.db").write_bytes(_empty_ledger())
    return Ledger.open(ledger_url(folder))


def radiograph_id(number: int) -> str:
    return f"{number:064x}"


def a_radiograph(number: int = 1, patient: str = "", split: Split = Split.TRAIN) -> Radiograph:
    return Radiograph(
        id=radiograph_id(number),
        patient=patient or f"{number:016x}",
        split=split,
        source="rsna",
        path=f"images/{number}.png",
        width=512,
        height=640,
        imported_at=NOON,
    )


def a_reading(
    radiograph: int = 1,
    annotation: int | None = 17,
    age: float = 120.0,
    minute: int = 0,
    **other: Any,
) -> Reading:
    facts: dict[str, Any] = {
        "radiograph_id": radiograph_id(radiograph),
        "reader": "ada@example.org",
        "values": {"age_months": age, "sex": "female"},
        "read_at": NOON + timedelta(minutes=minute),
        "annotation": "" if annotation is None else f"{PROJECT}:{annotation}",
    }
    return Reading(**{**facts, **other})


def a_reference(radiograph: int = 1, age: float = 118.0, minute: int = 0) -> Reading:
    return a_reading(radiograph, None, age, minute, reader=REFERENCE_READER)


def a_prediction(radiograph: int = 1, model: str = "v0001-1a2b3c4d") -> Prediction:
    return Prediction(
        radiograph_id=radiograph_id(radiograph),
        model_version=model,
        values={"age_months": 0.1 + 0.2, "sex": "male"},
        intervals={"age_months": (0.1, 1 / 3)},
        probabilities={"sex": {"female": 0.25, "male": 0.75}},
        confidence=0.625,
        coverage=0.8,
    )


def start_script(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Starts Python text in a process of its own; its standard input and output are pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )

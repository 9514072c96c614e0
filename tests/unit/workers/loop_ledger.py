"""A ledger with a history: two readers, trainings, predictions before the readings."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
from sqlalchemy import update

from data.domain import DatasetVersion, Prediction, Radiograph, Reading, Split
from data.ledger.database import Database
from data.ledger.events import EventKind, utc_text
from data.ledger.ledger import Ledger
from data.ledger.schema import predictions
from data.runs import Run, RunState
from workers.promotion import CHAMPION
from workers.rescoring import SCORED, written_key

NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)
READERS = ("anna@example.org", "ben@example.org")
PROJECT = 1
CHAMPION_VERSION, CHALLENGER_VERSION = "v0002-bbbbbbbb", "v0003-cccccccc"


def film(number: int, split: Split = Split.TRAIN) -> Radiograph:
    name = f"{number:064x}"
    return Radiograph(name, f"{number:016x}", split, "test", f"images/{name}.png", 9, 9, NOON)


def prediction(radiograph_id: str, version: str, age: float, half: float = 15.0) -> Prediction:
    return Prediction(
        radiograph_id=radiograph_id,
        model_version=version,
        values={"age_months": age, "sex": "female"},
        intervals={"age_months": (age - half, age + half)},
        probabilities={"sex": {"female": 0.75, "male": 0.25}},
        confidence=0.5,
        novelty=0.4,
    )


def reading(
    radiograph_id: str,
    age: float,
    at: datetime,
    annotation: int,
    reader: str = READERS[0],
    origin: Literal["manual", "prediction", "prediction-changed"] = "manual",
    seconds: float | None = 40.0,
) -> Reading:
    values = {"age_months": age, "sex": "female"}
    name = f"{PROJECT}:{annotation}"
    return Reading(radiograph_id, reader, values, at, name, origin, lead_time_s=seconds)


@dataclass
class LoopLedger:
    """A ledger and the means to write what happened when."""

    ledger: Ledger
    url: str

    def join(self) -> None:
        """Given a Label Studio project that shows every film."""
        films = self.ledger.radiographs()
        self.ledger.link_tasks(PROJECT, {n: f.id for n, f in enumerate(films, start=1)})
        self.ledger.set_state("project", json.dumps({"id": PROJECT, "backend_id": 2}))

    def predict(self, made: list[Prediction], at: datetime) -> None:
        """Given predictions that were made at a time."""
        self.ledger.add_predictions(made)
        database = Database(self.url, 10)
        ids = [one.radiograph_id for one in made]
        with database.write() as connection:
            same = update(predictions).where(predictions.c.radiograph_id.in_(ids))
            same = same.where(predictions.c.model_version == made[0].model_version)
            connection.execute(same.values(created_at=utc_text(at)))
        database.close()

    def trained(self, number: int, labels: int, error: float, **changes: Any) -> Run:
        """Given a training that ended `4 - number` days ago."""
        ended = NOON - timedelta(days=4 - number)
        version = f"v{number:04d}"
        commit = f"{number:040x}"
        self.ledger.add_version(
            DatasetVersion(version, commit, labels, labels, self.ledger.head()[0], ended)
        )
        run = Run(
            id=f"r{number:04d}",
            trigger="labels",
            requested_at=ended - timedelta(minutes=5),
            state=RunState.SUCCEEDED,
            version=version,
            model_version=f"{version}-{'abc'[number - 1] * 8}",
            promoted=True,
            reason="Not worse than the champion: −0.80 [−1.90, +0.30].",
            started_at=ended - timedelta(minutes=5),
            finished_at=ended,
            metrics={
                "primary": "age_months",
                "cases": 60,
                "mae": error,
                "mae_ci95": [error - 1.5, error + 1.8],
                "coverage": 0.9,
                "coverage_ci95": [0.79, 0.96],
                "promised_coverage": 0.9,
            },
        )
        run = replace(run, **changes)
        self.ledger.add_run(run)
        if run.promoted:
            self.ledger.append(EventKind.PROMOTED, run.model_version, {"reason": run.reason})
            self.ledger.set_state(CHAMPION, run.model_version)
        return run


def fill(loop: LoopLedger, films: int = 150, labelled: int = 90, seed: int = 3) -> None:
    """Given a loop that has been at work for four days."""
    rng = np.random.default_rng(seed)
    splits = [Split.TEST, Split.CALIBRATION, *[Split.TRAIN] * 8]
    known = loop.ledger.radiographs()
    if not known:
        loop.ledger.add_radiographs([film(n, splits[n % 10]) for n in range(1, films + 1)])
        known = loop.ledger.radiographs()
    loop.join()
    truths = rng.uniform(30, 210, len(known)).round()
    _read(loop, rng, known, truths, 0, labelled // 2, NOON - timedelta(days=3, hours=6))
    loop.trained(1, labelled // 3, 22.4)
    loop.trained(2, labelled // 2, 14.9)
    said = truths + rng.normal(0, 12, len(known))
    rest = range(labelled // 2, len(known))
    at = NOON - timedelta(days=2) + timedelta(minutes=10)
    loop.predict([prediction(known[n].id, CHAMPION_VERSION, float(said[n])) for n in rest], at)
    loop.ledger.set_state(SCORED, CHAMPION_VERSION)
    loop.ledger.set_state(written_key(CHAMPION_VERSION), str(len(known)))
    _read(loop, rng, known, truths, labelled // 2, labelled, NOON - timedelta(days=1, hours=20))
    loop.trained(
        3,
        labelled,
        13.8,
        promoted=False,
        reason="Error against the champion −0.31 [−2.02, +1.41]: the upper limit exceeds the "
        "margin of 1.",
    )


def _read(
    loop: LoopLedger,
    rng: np.random.Generator,
    known: list[Radiograph],
    truths: Any,
    start: int,
    end: int,
    begin: datetime,
) -> None:
    told = []
    for n in range(start, end):
        at = begin + timedelta(hours=44) * ((n - start) / (end - start))
        origin: Any = "manual" if start == 0 else ("prediction", "prediction-changed")[n % 3 > 0]
        seconds = float(rng.gamma(5, 8))
        age = float(truths[n] + round(rng.normal(0, 4)))
        who = READERS[n % 5 > 2]
        told.append(reading(known[n].id, age, at, n + 1, who, origin, seconds))
    loop.ledger.record_readings(told)

"""A desk with a real ledger and real films, and a model that answers at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from flask.testing import FlaskClient
from numpy.typing import NDArray

from data.domain import REFERENCE_READER, Prediction, Radiograph, Reading, Split, TaskSpec
from data.images.decoding import content_id, encode_png
from data.images.overlay import encode_colour_png
from data.ledger.ledger import Ledger
from data.phantoms.drawing import draw_hand
from data.pool import Pool
from labeling_config.client_sessions import SESSION_COOKIE
from ml_backend.app import create_app
from tests.unit.ml_backend.conftest import SIGNED_IN, Backend
from tests.unit.ml_backend.fakes import NOW, SPEC
from trainer.explanations.neighbours import NeighbourIndex
from workers.bootstrap import PROJECT
from workers.case import CaseSources
from workers.current_standards import CurrentStandards
from workers.desk import Desk
from workers.explaining_model import ExplainingModel
from workers.film_pictures import FilmPictures
from workers.similar import SimilarCases

MODEL = "v0002-aabbccdd"
TASK = 41
READER = "ada@example.org"


class NoVersions:
    """A dataset without versions."""

    def rows(self, version: str) -> list[dict[str, str]]:
        return []


class DrawnPictures(FilmPictures):
    """Draws a red square wherever a heat map is asked for, and notes it."""

    def __init__(self, pool: Pool, cache: Path) -> None:
        super().__init__(pool, cache)
        self.drawn: list[tuple[str, str, str, dict[str, str]]] = []

    def heat_map(
        self,
        model: ExplainingModel,
        model_version: str,
        radiograph: Radiograph,
        target: str,
        known: Mapping[str, str],
    ) -> bytes:
        self.drawn.append((model_version, radiograph.id, target, dict(known)))
        return encode_colour_png(np.full((8, 8, 4), 160, np.uint8))


@dataclass
class CaseDesk:
    """A backend whose pages show cases.

    Attributes:
        backend: Its client has no credentials.
        ledger: What the desk reads.
        pictures: What the desk draws.
        film: The radiograph that task 41 shows.
    """

    backend: Backend
    ledger: Ledger
    pictures: DrawnPictures
    film: Radiograph

    @property
    def browser(self) -> FlaskClient:
        """A browser in which somebody is signed in to Label Studio."""
        client = self.backend.client
        client.set_cookie(SESSION_COOKIE, SIGNED_IN)
        return client

    def add_film(self, age_months: float, sex: str, patient: int = 0) -> Radiograph:
        """Puts a phantom into the pool and the ledger."""
        return put_film(self.backend.settings.pool, self.ledger, age_months, sex, patient)

    def predict(self, age_months: float = 112.0, **more: object) -> None:
        """Stores what the model says of the film."""
        self.ledger.add_predictions([said_of(self.film, age_months, **more)])

    def read(self, age_months: float, reader: str = READER, number: int = 1) -> None:
        values: dict[str, float | str] = {"age_months": age_months, "sex": "female"}
        where = "" if reader == REFERENCE_READER else f"7:{number}"
        self.ledger.record_readings(
            [Reading(self.film.id, reader, values, NOW, where, lead_time_s=72.0)]
        )

    def settle(self, film: Radiograph, age_months: float, sex: str) -> None:
        """Gives a film a reference."""
        values: dict[str, float | str] = {"age_months": age_months, "sex": sex}
        self.ledger.record_readings([Reading(film.id, REFERENCE_READER, values, NOW)])


def case_desk(backend: Backend, spec: TaskSpec = SPEC) -> CaseDesk:
    """Makes the desk of a backend, with one film that task 41 of the project shows."""
    home = backend.settings.home
    ledger = Ledger.open(f"sqlite:///{home / 'desk.db'}")
    pictures = DrawnPictures(Pool(backend.settings.pool), home / "cache")
    film = put_film(backend.settings.pool, ledger, 112.0, "female", patient=1)
    ledger.set_state(PROJECT, json.dumps({"id": 7, "backend_id": 1}))
    ledger.link_tasks(7, {TASK: film.id})
    asked = replace(spec, input="sex") if spec is SPEC else spec
    desk = Desk(
        CaseSources(ledger, asked, NoVersions()),
        CurrentStandards(ledger, asked),
        pictures,
        ExplainingModel(_no_model),
        SimilarCases(home / "neighbours", lambda film, model: _east(), lambda model: None),
    )
    services = replace(backend.services, spec=asked, desk=desk)
    shown = replace(backend, services=services, app=create_app(services=services))
    return CaseDesk(shown, ledger, pictures, film)


def index_films(backend: Backend, films: list[Radiograph]) -> None:
    """Writes the index in which all films look alike."""
    rows = np.stack([_east() for _ in films])
    index = NeighbourIndex(MODEL, tuple(film.id for film in films), rows)
    index.save(backend.settings.home / "neighbours")


def said_of(film: Radiograph, age_months: float, **more: object) -> Prediction:
    made = Prediction(
        radiograph_id=film.id,
        model_version=MODEL,
        values={"age_months": age_months, "sex": "female"},
        intervals={"age_months": (age_months - 14, age_months + 14)},
        probabilities={"sex": {"female": 0.93, "male": 0.07}},
        confidence=0.6,
        used={"sex": "female"},
        predicted_inputs=("sex",),
        novelty=0.4,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def put_film(
    pool: Path, ledger: Ledger, age_months: float, sex: str, patient: int = 0, size: int = 160
) -> Radiograph:
    drawn = draw_hand(age_months, sex, seed=round(age_months), size=size)
    payload = encode_png(drawn)
    key = content_id(payload)
    path = f"images/{key[:2]}/{key}.png"
    (pool / path).parent.mkdir(parents=True, exist_ok=True)
    (pool / path).write_bytes(payload)
    who = f"{patient:x}".rjust(16, "c") if patient else key[:16]
    height, width = drawn.shape
    film = Radiograph(key, who, Split.TRAIN, "folder", path, width, height, NOW)
    ledger.add_radiographs([film])
    return film


def _east() -> NDArray[np.float32]:
    return np.asarray([1.0, 0.0], np.float32)


def _no_model(model_version: str) -> object:
    raise AssertionError(f"{model_version} must not be loaded")

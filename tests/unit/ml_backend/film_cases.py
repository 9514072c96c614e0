"""Models that are told the sex, and forms as people send them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

from werkzeug.datastructures import Authorization
from werkzeug.test import TestResponse

from data.domain import Prediction
from ml_backend.model_ports import Known, Squares
from tests.unit.ml_backend.conftest import PASSWORD, USER, Backend
from tests.unit.ml_backend.fakes import FakePredictor

AUTH = Authorization("basic", {"username": USER, "password": PASSWORD})
AGES = {"female": 131.0, "male": 155.4}


class SexedModel(FakePredictor):
    """A model that tells girls and boys different ages, and predicts a sex that it is not told.

    Args:
        version: Its version.
        seen: The sex that it reads off every film.
        chance: The probability that it gives this sex.
        novelty: What it says of every film.
    """

    def __init__(
        self,
        version: str = "v0003-1a2b3c4d",
        seen: str = "female",
        chance: float = 0.75,
        novelty: float | None = 0.4,
    ) -> None:
        super().__init__(version)
        self.known_input = "sex"
        self.seen, self.chance, self.novelty = seen, chance, novelty

    def predict_prepared(
        self, films: Sequence[Squares], ids: Sequence[str], known: Sequence[Known] | None = None
    ) -> list[Prediction]:
        made = super().predict_prepared(films, ids, known)
        told = known or [{}] * len(ids)
        return [self._said(one, fed.get("sex")) for one, fed in zip(made, told, strict=True)]

    def _said(self, empty: Prediction, told: str | None) -> Prediction:
        other = "male" if self.seen == "female" else "female"
        age = AGES[told or self.seen]
        return replace(
            empty,
            values={"age_months": age, "sex": self.seen},
            intervals={"age_months": (age - 12, age + 12)},
            probabilities={"sex": {self.seen: self.chance, other: round(1 - self.chance, 4)}},
            used={"sex": told or self.seen},
            predicted_inputs=() if told else ("sex",),
            novelty=self.novelty,
        )


def send(backend: Backend, payload: bytes | None = None, **fields: Any) -> TestResponse:
    """Posts a form to `/api/predict` with the right name and password."""
    form = {**fields, **({} if payload is None else {"file": (BytesIO(payload), "hand.png")})}
    return backend.client.post(
        "/api/predict", data=form, auth=AUTH, content_type="multipart/form-data"
    )

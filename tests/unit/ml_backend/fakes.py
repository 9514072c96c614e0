"""Stand-ins for what the backend talks to: small, in memory, without surprises."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.domain import (
    DatasetVersion,
    GateRule,
    Prediction,
    Radiograph,
    Split,
    Target,
    TaskSpec,
)
from data.errors import (
    CarpalError,
    ImageError,
    ModelError,
    NotFoundError,
    ServiceUnavailableError,
)
from data.images.decoding import content_id, encode_png
from data.images.preparation import Preparation
from data.ledger.events import Event, EventKind
from data.runs import Run, RunState
from ml_backend.model_ports import Known, Squares

NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)

CONFIG = """
<View>
  <Image name="image" value="$image"/>
  <Number name="age_months" toName="image" min="0" max="240"/>
  <Choices name="sex" toName="image" choice="single">
    <Choice value="female"/><Choice value="male"/>
  </Choices>
</View>
"""

SPEC = TaskSpec(
    name="bone_age",
    title="Bone age",
    image_tag="image",
    image_key="image",
    targets=(
        Target("age_months", "number", "months", 0.0, 240.0, tolerance=12.0),
        Target("sex", "choice", choices=("female", "male")),
    ),
    gate=GateRule("age_months", 1.0, 2.0, (0.0, 120.0, 240.0), "sex"),
    config_xml=CONFIG,
    input="sex",
)


def picture(seed: int, size: int = 48) -> NDArray[np.uint8]:
    """Returns a grey image (size, size) that differs from every other seed's."""
    return np.random.default_rng(seed).integers(0, 255, (size, size), dtype=np.uint8)


def prediction(radiograph_id: str, version: str, age_months: float = 100.0) -> Prediction:
    return Prediction(
        radiograph_id=radiograph_id,
        model_version=version,
        values={"age_months": age_months, "sex": "female"},
        intervals={"age_months": (age_months - 12, age_months + 12)},
        probabilities={"sex": {"female": 0.75, "male": 0.25}},
        confidence=0.5,
    )


class FakePredictor:
    """A model that says of each image the age it was made with, and counts what it is asked."""

    SIDE = 16
    """Of the squares that a process prepares for it; by itself it leaves films as they are."""

    def __init__(self, version: str, age_months: float = 100.0, task: str = "bone_age") -> None:
        self.model_version = version
        self.spec_name = task
        self.needs_mask = False
        self.known_input: str | None = None
        self.films_together = 16
        self.age_months = age_months
        self.error: Exception | None = None
        self.unreadable: set[str] = set()
        self.failing: set[str] = set()
        self.batches: list[list[str]] = []
        self.shapes: list[tuple[int, ...]] = []
        self.told: dict[str, Mapping[str, str]] = {}

    @property
    def preparations(self) -> tuple[Preparation, ...]:
        return (Preparation(self.SIDE),)

    def mask_file(self, radiograph_id: str) -> Path | None:
        return None

    def be_quick_with_few(self) -> None:
        pass

    def prepared(self, image: NDArray[np.uint8], radiograph_id: str) -> Squares:
        if radiograph_id in self.unreadable:
            raise ImageError("The image shows nothing.")
        return (image,)

    def predict_prepared(
        self, films: Sequence[Squares], ids: Sequence[str], known: Sequence[Known] | None = None
    ) -> list[Prediction]:
        if self.error is not None:
            raise self.error
        if self.failing & set(ids):
            raise ModelError("The answer is not finite.")
        self.batches.append(list(ids))
        self.shapes += [film[0].shape for film in films]
        self.told |= dict(zip(ids, known or [{}] * len(ids), strict=True))
        return [prediction(i, self.model_version, self.age_months) for i in ids]

    def forget(self) -> None:
        """Forgets what was asked, such as the trial image."""
        self.batches.clear()
        self.told.clear()


@dataclass(frozen=True)
class FakeModelRef:
    model_version: str


class FakeRegistry:
    """A registry whose models are folders that hold nothing but their version."""

    def __init__(self) -> None:
        self.predictors: dict[str, FakePredictor] = {}
        self.champion_version: str | None = None
        self.error: Exception | None = None
        self.fetch_error: Exception | None = None
        self.fetches = 0

    def add(self, predictor: FakePredictor, promote: bool = True) -> None:
        self.predictors[predictor.model_version] = predictor
        if promote:
            self.champion_version = predictor.model_version

    def champion(self) -> FakeModelRef | None:
        if self.error is not None:
            raise self.error
        return FakeModelRef(self.champion_version) if self.champion_version else None

    def fetch(self, model_version: str, cache: Path) -> Path:
        self.fetches += 1
        if self.fetch_error is not None:
            raise self.fetch_error
        return cache / model_version

    def models(self) -> list[FakeModelRef]:
        return [FakeModelRef(version) for version in self.predictors]

    def load(self, folder: Path) -> FakePredictor:
        return self.predictors[folder.name]


@dataclass
class FakeLedger:
    """A ledger that keeps everything in lists."""

    recorded: list[Event] = field(default_factory=list)
    known: dict[str, Radiograph] = field(default_factory=dict)
    stored: dict[tuple[str, str], Prediction] = field(default_factory=dict)
    trainings: list[Run] = field(default_factory=list)
    version: DatasetVersion | None = None
    attention: list[str] = field(default_factory=list)
    error: CarpalError | None = None
    clock: datetime = NOW
    queries: int = 0
    """How often many radiographs or predictions were asked for at once."""

    def append(self, kind: EventKind, subject: str, payload: Mapping[str, Any]) -> int:
        self._fail()
        seq = len(self.recorded) + 1
        self.recorded.append(Event(seq, self.clock, kind, subject, payload, "0" * 64))
        return seq

    def events(self, after: int = 0, kinds: Collection[EventKind] | None = None) -> Iterator[Event]:
        for event in self.recorded[after:]:
            if kinds is None or event.kind in kinds:
                yield event

    def head(self) -> tuple[int, str]:
        return len(self.recorded), "0" * 64

    def radiograph(self, radiograph_id: str) -> Radiograph | None:
        self._fail()
        return self.known.get(radiograph_id)

    def radiographs_among(self, radiograph_ids: Collection[str]) -> dict[str, Radiograph]:
        self._fail()
        self.queries += 1
        return {name: self.known[name] for name in radiograph_ids if name in self.known}

    def predictions_among(
        self, radiograph_ids: Collection[str], model_version: str
    ) -> dict[str, Prediction]:
        self.queries += 1
        found = {name: self.prediction(name, model_version) for name in radiograph_ids}
        return {name: said for name, said in found.items() if said is not None}

    def prediction(self, radiograph_id: str, model_version: str) -> Prediction | None:
        return self.stored.get((radiograph_id, model_version))

    def add_predictions(self, predictions: Sequence[Prediction]) -> int:
        self._fail()
        for item in predictions:
            if item.radiograph_id not in self.known:
                raise NotFoundError(f"Unknown radiograph {item.radiograph_id}.")
            self.stored[item.radiograph_id, item.model_version] = item
        return len(predictions)

    def runs(self, states: Collection[RunState] | None = None) -> list[Run]:
        return [run for run in self.trainings if states is None or run.state in states]

    def latest_version(self) -> DatasetVersion | None:
        return self.version

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


@dataclass
class FakeQueue:
    """A queue that notes why it was asked, or is down."""

    reasons: list[str] = field(default_factory=list)
    down: bool = False

    def __call__(self, reason: str) -> None:
        if self.down:
            raise ServiceUnavailableError("Redis at 127.0.0.1:6390 does not answer.")
        self.reasons.append(reason)


@dataclass
class FakeUploads:
    """What was uploaded into Label Studio, by path."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __call__(self, address: str) -> bytes:
        self.asked.append(address)
        if address not in self.files:
            raise NotFoundError(f"Label Studio has no {address}.")
        return self.files[address]


def put_into_pool(pool: Path, ledger: FakeLedger, payload: bytes) -> Radiograph:
    """Puts a file into the pool and the ledger, as an import does."""
    name = content_id(payload)
    path = f"images/{name[:2]}/{name}.png"
    (pool / path).parent.mkdir(parents=True, exist_ok=True)
    (pool / path).write_bytes(payload)
    radiograph = Radiograph(name, "0" * 16, Split.TRAIN, "folder", path, 48, 48, NOW)
    ledger.known[name] = radiograph
    return radiograph


def task_of(radiograph: Radiograph, number: int = 1) -> dict[str, Any]:
    """Returns the Label Studio task that shows a radiograph."""
    return {
        "id": number,
        "data": {
            "image": f"/data/local-files/?d={radiograph.path}",
            "radiograph": radiograph.id,
        },
        "project": 3,
    }


def png(seed: int, size: int = 48) -> bytes:
    return encode_png(picture(seed, size))

"""Images that somebody uploads in Label Studio become radiographs, once, whatever happens."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from carpal.free_ports import free_port
from data.errors import NotFoundError, ServiceUnavailableError, StorageError
from data.images.decoding import encode_png
from data.ledger.ledger import Ledger
from data.splits import pseudonym
from labeling_config.client import LabelStudio
from labeling_config.codec import values_to_result
from labeling_config.tasks import load_task
from tests.unit.labeling_config.fake_studio import URL, FakeStudio, RefusedError
from workers.adoption import SEEN, Adopted, Adopter, not_adopted
from workers.assembly import pool
from workers.bootstrap import add_tasks
from workers.overview import overview
from workers.reconcile import reconcile_labels
from workers.settings import Settings

SPEC = load_task("bone_age")
PROJECT = 1


@cache
def film(number: int) -> bytes:
    """A PNG, another one for each number."""
    pixels = np.random.default_rng(number).integers(0, 255, (40, 30), dtype=np.uint8)
    return encode_png(pixels)


@dataclass
class Place:
    """A workspace and a Label Studio in memory that people upload into."""

    settings: Settings
    ledger: Ledger
    studio: FakeStudio = field(default_factory=FakeStudio)
    files: dict[str, bytes] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)

    @property
    def client(self) -> LabelStudio:
        return self.studio.client()

    @property
    def adopter(self) -> Adopter:
        return Adopter(self.settings, SPEC, self.fetch)

    def fetch(self, path: str) -> bytes:
        self.fetched.append(path)
        if path not in self.files:
            raise NotFoundError(f"Label Studio has no upload {path}.")
        return self.files[path]

    def upload(self, payload: bytes | None, **data: str) -> int:
        """Given an upload (None: a file that is gone); returns its task."""
        path = f"/data/upload/{PROJECT}/{len(self.files):08x}-hand.png"
        if payload is not None:
            self.files[path] = payload
        return self.task({"image": path, **data})

    def task(self, data: dict[str, Any]) -> int:
        return int(self.studio.add_task(PROJECT, data)["id"])

    def label(self, task: int, age: float = 100.0) -> int:
        result = values_to_result(SPEC, {"age_months": age, "sex": "female"})
        return int(self.studio.annotate(task, result=result)["id"])

    def adopt(self, **options: Any) -> Adopted:
        return self.adopter.adopt(self.client, self.ledger, PROJECT, **options)

    def reconcile(self, *, full: bool = False) -> list[int]:
        report = reconcile_labels(self.client, self.ledger, SPEC, adopter=self.adopter, full=full)
        return report.adopted

    def links(self) -> dict[int, str]:
        return self.ledger.task_links(PROJECT)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    settings = replace(
        Settings.load({"CARPAL_HOME": str(tmp_path)}), salt="salt", label_studio_url=URL
    )
    with Ledger.open(settings.ledger) as ledger:
        studio = FakeStudio()
        studio.add("projects", title="Hands")
        studio.add("users", email="reader@example.org")
        ledger.set_state("project", json.dumps({"id": PROJECT, "backend_id": 2}))
        yield Place(settings, ledger, studio)


def test_an_upload_becomes_a_radiograph_of_a_patient_of_its_own(place: Place) -> None:
    task, other = place.upload(film(1)), place.upload(film(2))

    done = place.adopt()

    one, two = (place.ledger.radiograph(place.links()[number]) for number in (task, other))
    assert one is not None
    assert two is not None
    assert done.linked == {task: one.id, other: two.id}
    assert one.source == "label-studio"
    assert one.patient != two.patient
    assert dict(one.metadata) == {}
    assert pool(place.settings).path(one).read_bytes() == film(1)


def test_an_object_of_a_cloud_storage_becomes_a_radiograph_with_its_labels(place: Place) -> None:
    place.files["/projects/1/resolve/?fileuri=czM6Ly9idWNrZXQvaGFuZC5wbmc="] = film(1)
    task = place.task({"image": "s3://bucket/hand.png"})
    place.label(task, age=77)

    assert place.reconcile() == [task]

    adopted = place.ledger.radiograph(place.links()[task])
    assert adopted is not None
    assert pool(place.settings).path(adopted).read_bytes() == film(1)
    assert adopted.patient == pseudonym("label-studio s3://bucket/hand.png", "salt")
    assert [reading.radiograph_id for reading in place.ledger.readings()] == [adopted.id]


def test_the_patient_is_the_one_that_the_task_names(place: Place) -> None:
    tasks = [place.upload(film(number), patient=" P7 ") for number in (1, 2)]

    place.adopt()

    films = [place.ledger.radiograph(place.links()[task]) for task in tasks]
    assert {film.patient for film in films if film} == {pseudonym("P7", "salt")}


def test_a_known_image_is_linked_to_its_radiograph(place: Place) -> None:
    first = place.upload(film(1))
    place.adopt()

    again = place.upload(film(1), patient="somebody else")
    place.adopt()

    assert place.links()[again] == place.links()[first]
    assert place.ledger.count_radiographs() == 1


def test_a_task_that_shows_a_file_of_the_pool_is_linked_to_it(place: Place) -> None:
    place.adopt()
    first = place.upload(film(1))
    place.adopt()
    known = place.ledger.radiograph(place.links()[first])
    assert known is not None

    task = place.task({"image": f"/data/local-files/?d={known.path}"})
    place.adopt()

    assert place.links()[task] == known.id


def test_labels_of_an_upload_are_taken_by_the_same_reconcile(place: Place) -> None:
    task = place.upload(film(1))
    place.label(task, age=77)

    adopted = place.reconcile()

    (reading,) = place.ledger.readings()
    assert adopted == [task]
    assert reading.values["age_months"] == 77
    assert reading.radiograph_id == place.links()[task]


def test_an_upload_that_nobody_has_read_is_adopted_too(place: Place) -> None:
    task = place.upload(film(1))

    assert place.reconcile() == [task]


def test_an_adopted_upload_gets_no_second_task(place: Place) -> None:
    place.upload(film(1))
    place.adopt()

    assert add_tasks(place.client, place.ledger, SPEC, PROJECT) == 0


def test_adopting_again_asks_once_and_fetches_nothing(place: Place) -> None:
    for number in range(5):
        place.upload(film(number))
    place.adopt()
    place.fetched.clear()
    place.studio.asked.clear()

    done = place.adopt()

    assert (done.linked, place.fetched) == ({}, [])
    assert place.studio.asked == [("GET", "/api/tasks")]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://elsewhere.example.org/hand.png", "leads neither into the pool nor to an upload"),
        ("file:///etc/passwd", "leads neither into the pool nor to an upload"),
        ("/data/upload/1/../../secret", "leads neither into the pool nor to an upload"),
        ("/data/local-files/?d=../ledger.db", "is no file of the pool"),
        ("/data/local-files/?d=images/ab/unknown.png", "is not a radiograph of the pool"),
        ("/data/upload/1/gone.png", "has no upload"),
        ("s3://bucket/gone.png", "has no upload"),
        ("s3://bucket/../hand.png", "names no object of a cloud storage"),
        ("/tasks/99/resolve/?fileuri=czM6Ly9iL2s=", "is that of another task"),
        ("/data/upload/2/hand.png", "is an upload of another project than 1"),
        ("/data/upload/1/\ud800.png", "leads neither into the pool nor to an upload"),
        ("", "has no 'image'"),
        (None, "has no 'image'"),
    ],
    ids=[
        *("other host", "file", "upwards", "out of pool", "not in pool", "gone"),
        *("gone from storage", "upwards in storage", "other task"),
        *("other project", "no character", "empty", "none"),
    ],
)
def test_what_cannot_be_adopted_is_told_and_the_rest_goes_on(
    place: Place, address: str | None, reason: str
) -> None:
    bad = place.task({"image": address})
    good = place.upload(film(1))

    done = place.adopt()

    assert reason in done.refused[bad]
    assert list(place.links()) == [good]
    (sentence,) = not_adopted(place.ledger)
    assert sentence.startswith(f"The image of Label Studio task {bad} was not adopted: ")


@pytest.mark.parametrize("payload", [b"no image", film(1)[:200]], ids=["no image", "cut off"])
def test_a_file_that_is_no_image_is_told_and_not_fetched_until_all_are_looked_at(
    place: Place, payload: bytes
) -> None:
    bad = place.upload(payload)
    place.label(bad)
    good = place.upload(film(2))
    place.reconcile()
    assert list(place.links()) == [good]
    place.fetched.clear()

    place.reconcile()
    assert place.fetched == []
    assert len(not_adopted(place.ledger)) == 1

    place.reconcile(full=True)
    assert len(place.fetched) == 1


def test_what_was_not_adopted_is_in_the_overview(place: Place) -> None:
    place.upload(b"no image")
    place.adopt()

    notices = overview(replace(place.settings, redis_port=free_port()), place.ledger).attention

    assert not_adopted(place.ledger)[0] in [notice.sentence for notice in notices]


def test_what_could_not_be_fetched_is_adopted_with_its_labels_once_it_can(place: Place) -> None:
    task = place.upload(None)
    place.label(task)
    place.reconcile()
    assert len(not_adopted(place.ledger)) == 1
    path = place.studio.row("tasks", task)["data"]["image"]
    place.files[path] = film(1)

    place.reconcile(full=True)

    assert not_adopted(place.ledger) == []
    assert [reading.radiograph_id for reading in place.ledger.readings()] == [place.links()[task]]


def test_a_task_that_is_gone_is_forgotten_when_all_are_looked_at(place: Place) -> None:
    task = place.upload(b"no image")
    place.adopt()
    del place.studio.table("tasks")[task]

    place.adopt(full=True)

    assert not_adopted(place.ledger) == []


def test_uploads_that_take_long_are_adopted_by_several_reconciles(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(monotonic=iter(range(1000)).__next__)
    monkeypatch.setattr("workers.adoption.time", clock)
    monkeypatch.setattr("workers.adoption.BUDGET_S", 2.0)
    for number in range(5):
        place.label(place.upload(film(number)))

    counts = [len(place.reconcile()) for _ in range(4)]

    assert counts == [2, 2, 1, 0]
    assert len(place.ledger.readings()) == 5


def test_label_studio_that_goes_away_is_no_reason_against_an_image(place: Place) -> None:
    place.upload(film(1))

    def away(path: str) -> bytes:
        place.studio.before = lambda method, path: _unavailable()
        raise ServiceUnavailableError("Label Studio does not answer.")

    adopter = Adopter(place.settings, SPEC, away)
    with pytest.raises(ServiceUnavailableError):
        adopter.adopt(place.client, place.ledger, PROJECT)
    assert not_adopted(place.ledger) == []

    place.studio.before = lambda method, path: None
    assert len(place.adopt().linked) == 1


def _unavailable() -> None:
    raise RefusedError(503, {"detail": "away"})


@pytest.mark.parametrize("method", ["record_import", "link_tasks", "set_state"])
@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
def test_an_adoption_that_was_killed_is_finished_by_the_next(
    place: Place, monkeypatch: pytest.MonkeyPatch, method: str, after: bool
) -> None:
    tasks = [place.upload(film(number)) for number in (1, 2)]
    true = getattr(Ledger, method)

    def killed(self: Ledger, *arguments: Any) -> Any:
        if after:
            true(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, method, killed)
        with pytest.raises(KeyboardInterrupt):
            place.adopt()

    place.adopt()
    assert sorted(place.links()) == tasks
    assert place.ledger.count_radiographs() == 2
    assert place.ledger.get_state(SEEN) == str(tasks[-1])


def test_two_adoptions_at_once_end_as_one(place: Place) -> None:
    tasks = [place.upload(film(number)) for number in range(6)]
    meet = threading.Barrier(2, timeout=10)
    true = place.fetch
    failures: list[Exception] = []

    def together(path: str) -> bytes:
        meet.wait()
        return true(path)

    def run() -> None:
        try:
            Adopter(place.settings, SPEC, together).adopt(place.client, place.ledger, PROJECT)
        except Exception as error:  # noqa: BLE001, handed to the test
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert sorted(place.links()) == tasks
    assert place.ledger.count_radiographs() == 6


def test_a_full_disk_is_no_reason_against_an_image(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.upload(film(1))

    def full(*arguments: Any, **options: Any) -> None:
        raise StorageError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "record_import", full)
        with pytest.raises(StorageError):
            place.adopt()

    assert not_adopted(place.ledger) == []
    assert len(place.adopt().linked) == 1

"""Similar films are found at once or not yet, never by keeping somebody waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from data.domain import Radiograph, Split
from data.errors import ImageError, ModelError
from tests.support import eventually
from tests.unit.data.dataset_cases import a_radiograph, radiograph_id
from trainer.explanations.neighbours import NeighbourIndex, index_file
from workers.similar import Features, SimilarCases
from workers.standards import Standard, Standards

MODEL = "v0001-00000001"
FILM = a_radiograph(100)
EAST = np.asarray([1.0, 0.0], np.float32)


def standards(numbers: Sequence[int], same_patient: Sequence[int] = ()) -> Standards:
    return Standards(
        [
            Standard(
                a_radiograph(n, Split.TRAIN, FILM.patient if n in same_patient else ""),
                float(n),
                "female",
                2,
                2,
                False,
                "same",
            )
            for n in numbers
        ],
        6.0,
    )


def write_index(folder: Path, angles: dict[int, float]) -> None:
    """Writes an index of films that look so many degrees away from east."""
    radians = np.radians(list(angles.values()))
    rows = np.stack([np.cos(radians), np.sin(radians)], 1).astype(np.float32)
    NeighbourIndex(MODEL, tuple(map(radiograph_id, angles)), rows).save(folder)


class Desk:
    """Answers what similar cases ask for, and notes it."""

    def __init__(self, folder: Path, embed: Callable[[], Features] = lambda: EAST) -> None:
        self.embedded: list[str] = []
        self.asked: list[str] = []
        self.embed = embed
        self.similar = SimilarCases(folder, self.features, self.asked.append, wait_s=0.05)

    def features(self, radiograph: Radiograph, model_version: str) -> Features:
        self.embedded.append(radiograph.id)
        return self.embed()


def numbers(desk: Desk, among: Standards) -> list[int]:
    found = desk.similar.of(FILM, MODEL, among)
    return [int(one.standard.radiograph.id, 16) for one in found.cases]


def ready(desk: Desk, among: Standards) -> bool:
    return desk.similar.of(FILM, MODEL, among).state == "ready"


def test_the_most_similar_films_come_first(tmp_path: Path) -> None:
    write_index(tmp_path, {1: 60, 2: 0, 3: 30})
    desk, among = Desk(tmp_path), standards([1, 2, 3])
    assert eventually(lambda: ready(desk, among))

    found = desk.similar.of(FILM, MODEL, among)

    assert [int(one.standard.radiograph.id, 16) for one in found.cases] == [2, 3, 1]
    assert [one.similarity for one in found.cases] == pytest.approx([1.0, 0.75**0.5, 0.5])
    assert found.searched == 3
    assert desk.asked == []


def test_films_of_the_patient_and_films_no_longer_settled_are_left_out(tmp_path: Path) -> None:
    write_index(tmp_path, {1: 0, 2: 10, 3: 20})
    desk, among = Desk(tmp_path), standards([2, 3], same_patient=[2])
    assert eventually(lambda: ready(desk, among))

    assert numbers(desk, among) == [3]


def test_a_film_of_the_index_needs_no_computing(tmp_path: Path) -> None:
    write_index(tmp_path, {100: 0, 1: 10})
    desk = Desk(tmp_path)

    found = desk.similar.of(FILM, MODEL, standards([100, 1]))

    assert found.state == "ready"
    assert desk.embedded == []


def test_features_are_computed_once(tmp_path: Path) -> None:
    write_index(tmp_path, {1: 0})
    desk, among = Desk(tmp_path), standards([1])
    assert eventually(lambda: ready(desk, among))

    numbers(desk, among)

    assert desk.embedded == [FILM.id]


def test_without_a_model_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    assert Desk(tmp_path).similar.of(FILM, "", standards([1])).state == "no_model"


def test_an_index_that_is_missing_is_asked_for_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path)

    states = [desk.similar.of(FILM, MODEL, standards([1])).state for _ in range(3)]

    assert states == ["preparing"] * 3
    assert desk.asked == [MODEL]


def test_an_index_that_lacks_newly_settled_films_is_used_and_asked_for(tmp_path: Path) -> None:
    write_index(tmp_path, {1: 0})
    desk, among = Desk(tmp_path), standards([1, 2])
    assert eventually(lambda: ready(desk, among))

    assert numbers(desk, among) == [1]
    assert desk.asked == [MODEL]


def test_an_index_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    write_index(tmp_path, {1: 0})
    desk, among = Desk(tmp_path), standards([1, 2])
    assert eventually(lambda: ready(desk, among))

    write_index(tmp_path, {1: 0, 2: 5})

    assert numbers(desk, among) == [1, 2]


def test_a_film_that_takes_long_is_ready_later(tmp_path: Path) -> None:
    write_index(tmp_path, {1: 0})
    go_on = threading.Event()

    def slow() -> Features:
        assert go_on.wait(10)
        return EAST

    desk, among = Desk(tmp_path, slow), standards([1])
    assert desk.similar.of(FILM, MODEL, among).state == "preparing"

    go_on.set()

    assert eventually(lambda: ready(desk, among))
    assert desk.embedded == [FILM.id]


def test_a_film_that_cannot_be_read_says_so_and_is_tried_again(tmp_path: Path) -> None:
    write_index(tmp_path, {1: 0})
    errors: list[Exception] = [ImageError("The file cannot be read.")]

    def fails_once() -> Features:
        if errors:
            raise errors.pop()
        return EAST

    desk, among = Desk(tmp_path, fails_once), standards([1])

    failed = eventually(
        lambda: desk.similar.of(FILM, MODEL, among).reason == "The file cannot be read."
    )

    assert failed
    assert eventually(lambda: ready(desk, among))


def test_a_damaged_index_says_so(tmp_path: Path) -> None:
    index_file(tmp_path, MODEL).write_bytes(b"no index")

    found = Desk(tmp_path).similar.of(FILM, MODEL, standards([1]))

    assert found.state == "failed"
    assert "is damaged" in found.reason


def test_a_queue_that_cannot_be_asked_changes_nothing(tmp_path: Path) -> None:
    def down(model_version: str) -> None:
        raise ModelError("Nobody can be asked.")

    similar = SimilarCases(tmp_path, lambda film, model: EAST, down)

    assert similar.of(FILM, MODEL, standards([1])).state == "preparing"


def test_where_no_film_is_settled_nothing_is_prepared_or_asked_for(tmp_path: Path) -> None:
    desk = Desk(tmp_path)

    found = desk.similar.of(FILM, MODEL, standards([]))

    assert (found.state, found.cases, desk.asked) == ("ready", (), [])

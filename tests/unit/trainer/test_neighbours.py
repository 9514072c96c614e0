from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data.errors import ModelError
from tests.unit.trainer.cases import easy_examples, easy_image
from tests.unit.trainer.small_models import save_random_model
from trainer.explanations.neighbours import Neighbour, NeighbourIndex, index_file
from trainer.predictor import Predictor

# Directions at 0, 90, 180 and 45 degrees from the first one.
INDEX = NeighbourIndex(
    "v0001-00000000",
    ("east", "north", "west", "north-east"),
    np.asarray([[1, 0], [0, 1], [-1, 0], [0.5**0.5, 0.5**0.5]], np.float32),
)
EAST = np.asarray([1, 0], np.float32)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("models") / "model"
    save_random_model(folder)
    return Predictor.load(folder, "cpu")


def test_the_most_similar_cases_come_first_with_their_cosine() -> None:
    found = INDEX.nearest(EAST, 3)

    assert [neighbour.radiograph_id for neighbour in found] == ["east", "north-east", "north"]
    assert [neighbour.similarity for neighbour in found] == pytest.approx([1, 0.70711, 0], abs=1e-5)


def test_only_cases_that_count_are_found() -> None:
    found = INDEX.nearest(EAST, 4, where=np.asarray([False, True, True, False]))

    assert found == [Neighbour("north", 0.0), Neighbour("west", -1.0)]


@pytest.mark.parametrize(
    ("k", "where"),
    [(0, None), (3, np.zeros(4, bool))],
    ids=["none is wanted", "none counts"],
)
def test_there_may_be_no_neighbour(k: int, where: NDArray[np.bool_] | None) -> None:
    assert INDEX.nearest(EAST, k, where) == []


def test_equally_similar_cases_keep_the_order_of_the_index() -> None:
    twins = NeighbourIndex("v", ("b", "a", "c"), np.asarray([[1, 0]] * 3, np.float32))

    assert [n.radiograph_id for n in twins.nearest(EAST, 2)] == ["b", "a"]


def test_each_film_is_most_like_itself(predictor: Predictor, tmp_path: Path) -> None:
    cases = [(e.radiograph_id, e.path) for e in easy_examples(tmp_path, 6)]
    rng = np.random.default_rng(0)
    films = [easy_image(float(rng.uniform(0, 240)), ("female", "male")[i % 2], i) for i in range(6)]

    index, errors = NeighbourIndex.build(predictor, cases)

    assert errors == {}
    embeddings = predictor.embed_images(films, [key for key, _ in cases])
    for (key, _), embedding in zip(cases, embeddings, strict=True):
        nearest = index.nearest(embedding, 1)[0]
        assert (nearest.radiograph_id, nearest.similarity) == (key, pytest.approx(1, abs=1e-5))


def test_a_film_that_cannot_be_read_is_left_out_with_the_reason(
    predictor: Predictor, tmp_path: Path
) -> None:
    cases = [(e.radiograph_id, e.path) for e in easy_examples(tmp_path, 3)]
    cases[1][1].write_bytes(b"no image")

    index, errors = NeighbourIndex.build(predictor, cases)

    assert index.ids == (cases[0][0], cases[2][0])
    assert list(errors) == [cases[1][0]]


def test_no_readable_film_makes_an_empty_index(predictor: Predictor, tmp_path: Path) -> None:
    index, _ = NeighbourIndex.build(predictor, [("gone", tmp_path / "gone.png")])

    assert index.nearest(EAST, 3) == []


def test_known_cases_are_not_computed_again(predictor: Predictor, tmp_path: Path) -> None:
    cases = [(e.radiograph_id, e.path) for e in easy_examples(tmp_path, 4)]
    earlier, _ = NeighbourIndex.build(predictor, cases[:3])
    cases[0][1].unlink()  # It could not be computed again.

    index, errors = NeighbourIndex.build(predictor, [cases[3], cases[0]], earlier)

    assert errors == {}
    assert index.ids == (cases[3][0], cases[0][0])
    np.testing.assert_array_equal(index.embeddings[1], earlier.embeddings[0])


def test_features_of_another_model_are_computed_again(predictor: Predictor, tmp_path: Path) -> None:
    ((key, path),) = [(e.radiograph_id, e.path) for e in easy_examples(tmp_path, 1)]
    other = NeighbourIndex("v0000-11111111", (key,), np.zeros((1, 2), np.float32))

    index, _ = NeighbourIndex.build(predictor, [(key, path)], other)

    assert index.model_version == predictor.model_version
    assert index.embeddings.shape[1] > 2


def test_an_index_is_read_as_it_was_written(tmp_path: Path) -> None:
    INDEX.save(tmp_path / "cache")

    found = NeighbourIndex.load(tmp_path / "cache", INDEX.model_version)

    assert found is not None
    assert (found.model_version, found.ids) == (INDEX.model_version, INDEX.ids)
    np.testing.assert_array_equal(found.embeddings, INDEX.embeddings)


def test_another_model_version_has_no_index(tmp_path: Path) -> None:
    INDEX.save(tmp_path)

    assert NeighbourIndex.load(tmp_path, "v0002-22222222") is None


@pytest.mark.parametrize("kept", [0, 10, 200], ids=["empty", "beginning", "cut off"])
def test_a_damaged_index_is_an_error_that_says_what_to_do(tmp_path: Path, kept: int) -> None:
    path = INDEX.save(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])

    with pytest.raises(ModelError, match="delete it"):
        NeighbourIndex.load(tmp_path, INDEX.model_version)


def test_an_index_with_pickled_objects_is_refused(tmp_path: Path) -> None:
    with index_file(tmp_path, "v").open("wb") as file:
        ids = np.asarray(["a", None], object)
        np.savez(file, ids=ids, embeddings=np.zeros((2, 2), np.float32))

    with pytest.raises(ModelError, match="damaged"):
        NeighbourIndex.load(tmp_path, "v")

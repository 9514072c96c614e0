from __future__ import annotations

import numpy as np
import pytest

from data.images.decoding import read_small
from data.images.fingerprint import (
    CELLS,
    SHAPE_STEPS,
    SIDE,
    SIZE,
    film_bits,
    fingerprint,
    tangent_bases,
    tangent_distances,
)
from tests.unit.data.dataset_cases import encoded
from tests.unit.data.film_cases import COPIES, Film, a_hand, print_of


def distance(one: Film, other: Film) -> float:
    bases = tangent_bases(one[None, :CELLS])
    return float(tangent_distances(bases, other[None, :CELLS], [1])[0])


def different_bits(one: Film, other: Film) -> int:
    bits = film_bits(np.stack([one[:CELLS], other[:CELLS]]))
    return int(np.bitwise_count(bits[0] ^ bits[1]).sum())


def test_a_fingerprint_is_stretched_to_the_range_of_the_film() -> None:
    film = print_of(encoded(a_hand() // 4 + 20))

    assert len(film) == SIZE
    assert (film[:CELLS].min(), film[:CELLS].max()) == (0, 255)


@pytest.mark.parametrize(
    ("width", "height", "shape"),
    [(300, 300, 128), (400, 200, 128 + SHAPE_STEPS), (200, 400, 128 - SHAPE_STEPS)],
    ids=["square", "twice as wide", "twice as high"],
)
def test_the_last_byte_is_the_shape(width: int, height: int, shape: int) -> None:
    film = np.tile(np.arange(width, dtype=np.uint8), (height, 1))

    assert print_of(encoded(film))[-1] == shape


def test_a_film_without_contrast_shows_nothing() -> None:
    film = print_of(encoded(np.full((50, 40), 77, np.uint8)))

    assert not film[:CELLS].any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (3, 2)], ids=str)
def test_tiny_films_have_a_fingerprint(shape: tuple[int, int]) -> None:
    film = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)

    assert len(fingerprint(read_small(encoded(film)))) == SIZE


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES.keys())
def test_copies_of_a_film_differ_little(copy: object) -> None:
    assert callable(copy)
    for seed in range(1, 5):
        film, other = print_of(encoded(a_hand(seed))), print_of(copy(a_hand(seed)))

        assert different_bits(film, other) <= 28
        assert distance(film, other) <= 0.016


def test_other_hands_differ_much() -> None:
    films = [print_of(encoded(a_hand(seed))) for seed in range(8)]

    pairs = [(one, other) for i, one in enumerate(films) for other in films[:i]]

    assert min(distance(one, other) for one, other in pairs) > 0.016


def wave(rows: float, moved: float) -> Film:
    place = np.linspace(0, 3, SIDE)
    picture = np.sin(rows * place + moved)[:, None] * np.cos(place)[None, :]
    return np.rint((picture + 1) * 100).astype(np.uint8).ravel()


def test_what_a_shift_explains_is_no_difference() -> None:
    assert distance(wave(1, 0), wave(1, 0.05)) < 0.001
    assert distance(wave(1, 0), wave(4, 0)) > 0.1


def unexplained(one: Film, other: Film) -> float:
    """The tangent distance by ordinary least squares, in double precision."""
    film = one[:CELLS].reshape(16, 16).astype(float)
    down, right = np.gradient(film)
    x = np.arange(16) - 7.5
    changes = [np.ones((16, 16)), film, right, down, right * x, down * x[:, None]]
    model = np.stack([change[1:-1, 1:-1].ravel() for change in changes], axis=1)
    seen = other[:CELLS].reshape(16, 16)[1:-1, 1:-1].ravel().astype(float)
    seen -= seen.mean()
    left = seen - model @ np.linalg.lstsq(model, seen)[0]
    return float(left @ left / (seen @ seen))


def test_the_tangent_distance_is_what_least_squares_leaves() -> None:
    films = [print_of(encoded(a_hand(seed))) for seed in range(1, 5)]

    for one in films:
        for other in films:
            assert distance(one, other) == pytest.approx(unexplained(one, other), abs=2e-4)


def test_a_ramp_of_which_several_changes_are_the_same_has_a_distance() -> None:
    ramp = np.append(np.tile(np.arange(16, dtype=np.uint8) * 16, 16), np.uint8(128))
    steeper = np.append(np.tile(np.arange(16, dtype=np.uint8) * 17, 16), np.uint8(128))

    assert distance(ramp, steeper) == pytest.approx(0, abs=1e-3)

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from data.images.decoding import decode
from data.images.registration import SAME_FILM, registered_distance
from tests.unit.data.film_cases import COPIES, a_hand


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES.keys())
def test_a_copy_lies_on_its_film(copy: object) -> None:
    assert callable(copy)
    for seed in range(1, 5):
        assert registered_distance(a_hand(seed), decode(copy(a_hand(seed)))) <= SAME_FILM


def test_a_film_lies_on_itself() -> None:
    assert registered_distance(a_hand(), a_hand()) == pytest.approx(0, abs=1e-4)


def test_hands_of_two_children_do_not_lie_on_one_another() -> None:
    hands = [a_hand(seed) for seed in range(5)]

    assert min(registered_distance(a, b) for a, b in combinations(hands, 2)) > SAME_FILM


def test_two_hands_on_alike_plates_are_not_one_film() -> None:
    films = []
    for seed in (1, 2):
        plate = np.zeros((400, 400), np.uint8)
        plate[70:330, 130:270] = 60
        plate[72:328, 136:264] += a_hand(seed)[:, 64:192] // 3
        films.append(plate)

    assert registered_distance(*films) > SAME_FILM


@pytest.mark.parametrize("level", [0, 128], ids=["black", "grey"])
def test_films_without_contrast_cannot_be_laid_onto_one_another(level: int) -> None:
    flat = np.full((60, 50), level, np.uint8)

    assert registered_distance(flat, a_hand()) == 1
    assert registered_distance(flat, flat) == 1

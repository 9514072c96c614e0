"""Near duplicates among real hands, which look more alike than drawn ones."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from data.images.decoding import decode, read_grey
from data.images.registration import SAME_FILM, registered_distance
from data.importing.duplicates import FilmIndex
from tests.unit.data.film_cases import COPIES, Film, print_of

pytestmark = pytest.mark.real_data
FILMS = 40


@pytest.fixture(scope="module")
def files(real_data: Path) -> list[Path]:
    return sorted((real_data / "hands512").glob("*.jpg"))[:FILMS]


@pytest.fixture(scope="module")
def index(files: list[Path]) -> FilmIndex:
    return FilmIndex({file.name: print_of(file.read_bytes()).tobytes() for file in files})


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES.keys())
def test_nearly_all_copies_of_real_films_are_found(
    files: list[Path], index: FilmIndex, copy: object
) -> None:
    assert callable(copy)
    found = 0
    for file in files:
        film = read_grey(file)
        again = copy(film)
        (candidates,) = index.search(print_of(again)[None], [len(index)])
        same = [
            one.radiograph_id
            for one in candidates
            if registered_distance(decode(again), read_grey(file.parent / one.radiograph_id))
            <= SAME_FILM
        ]
        assert same in ([], [file.name])
        found += bool(same)

    assert found >= 0.9 * FILMS


def test_no_two_real_hands_are_one_film(files: list[Path]) -> None:
    films: list[Film] = [np.asarray(read_grey(file)) for file in files[:12]]

    assert min(registered_distance(*pair) for pair in combinations(films, 2)) > SAME_FILM

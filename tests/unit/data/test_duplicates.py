from __future__ import annotations

import numpy as np
import pytest

from data.images.fingerprint import SIZE
from data.importing.duplicates import FIRST_ROWS, MAX_CANDIDATES, FilmIndex
from tests.unit.data.dataset_cases import encoded
from tests.unit.data.film_cases import COPIES, Film, a_hand, print_of


def noise(count: int, seed: int = 0) -> Film:
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE), dtype=np.uint8)


def names(count: int) -> list[str]:
    return [f"film-{number}" for number in range(count)]


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES.keys())
def test_the_film_is_found_by_its_copy_and_no_other(copy: object) -> None:
    assert callable(copy)
    known = {f"hand-{seed}": print_of(encoded(a_hand(seed))).tobytes() for seed in range(8)}
    index = FilmIndex(known)

    (found,) = index.search(print_of(copy(a_hand(5)))[None], [len(index)])

    assert [candidate.radiograph_id for candidate in found] == ["hand-5"]


def test_a_film_is_compared_with_those_before_it_only() -> None:
    films = np.stack([print_of(encoded(a_hand()))] * 3)
    index = FilmIndex()
    index.add(names(3), films)

    found = index.search(films, [0, 1, 2])

    assert [[one.radiograph_id for one in of_film] for of_film in found] == [
        [],
        ["film-0"],
        ["film-0", "film-1"],
    ]


def test_an_index_grows_as_films_come() -> None:
    films = noise(3 * FIRST_ROWS)
    index = FilmIndex()
    for begin in range(0, len(films), 700):
        index.add(names(len(films))[begin : begin + 700], films[begin : begin + 700])

    found = index.search(films[[5, -1]], [len(films)] * 2)

    assert [one[0].radiograph_id for one in found] == ["film-5", f"film-{len(films) - 1}"]


def test_what_is_dropped_is_not_found_and_its_place_is_used_again() -> None:
    films = noise(4)
    index = FilmIndex()
    index.add(names(2), films[:2])
    index.add(["wrong"], films[2:3])

    index.keep_after(2, ())
    index.add(["right"], films[3:])

    assert len(index) == 3
    found = index.search(films, [3] * 4)
    assert [one.radiograph_id for of_film in found for one in of_film] == [*names(2), "right"]


def test_only_those_that_are_named_are_kept() -> None:
    films = noise(6)
    index = FilmIndex()
    index.add(names(6), films)

    index.keep_after(2, {"film-0", "film-3", "film-5"})

    found = index.search(films, [len(index)] * 6)
    kept = [one.radiograph_id for of_film in found for one in of_film]
    assert kept == ["film-0", "film-1", "film-3", "film-5"]


def test_films_in_the_index_are_searched_among_those_before_them() -> None:
    film = print_of(encoded(a_hand()))
    index = FilmIndex()
    index.add(names(4), np.stack([noise(1)[0], film, film, film]))

    found = index.search_after(1)

    assert [{one.radiograph_id for one in of_film} for of_film in found] == [
        set(),
        {"film-1"},
        {"film-1", "film-2"},
    ]


def test_films_of_another_shape_are_no_candidates() -> None:
    film = print_of(encoded(a_hand()))
    wide = film.copy()
    wide[-1] += 10
    index = FilmIndex({"hand": film.tobytes()})

    assert index.search(wide[None], [1]) == [[]]


def test_films_without_contrast_are_candidates_of_each_other_alone() -> None:
    flat = np.zeros(SIZE, np.uint8)
    index = FilmIndex({"hand": print_of(encoded(a_hand())).tobytes(), "flat": flat.tobytes()})

    found = index.search(np.stack([flat, noise(1)[0]]), [2, 2])

    assert [[one.radiograph_id for one in of_film] for of_film in found] == [["flat"], []]


def test_no_more_candidates_than_can_be_looked_at() -> None:
    film = print_of(encoded(a_hand()))
    index = FilmIndex({name: film.tobytes() for name in names(100)})

    (found,) = index.search(film[None], [100])

    assert len(found) == MAX_CANDIDATES


def test_an_empty_index_finds_nothing() -> None:
    assert FilmIndex().search(noise(2), [0, 0]) == [[], []]

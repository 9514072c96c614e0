"""The next radiographs: random without a model, the least sure first with one."""

from __future__ import annotations

from data.domain import Prediction, Radiograph, Split
from tests.unit.workers.workspace import radiograph
from workers.choosing import at_random, least_sure


def films(count: int, split: Split = Split.TRAIN) -> list[Radiograph]:
    return [radiograph(number, split) for number in range(1, count + 1)]


def told(film: Radiograph, confidence: float) -> Prediction:
    return Prediction(film.id, "v0001-a", {"age_months": 100.0}, {}, {}, confidence)


def test_without_a_model_the_choice_is_the_same_whatever_the_order() -> None:
    pool = films(50)

    chosen = at_random(pool, 10)

    assert len(chosen) == 10
    assert at_random(reversed(pool), 10) == chosen
    assert chosen != pool[:10]


def test_more_is_never_chosen_than_there_is() -> None:
    assert len(at_random(films(3), 10)) == 3


def test_the_least_sure_radiographs_come_first() -> None:
    pool = films(5)
    predictions = {film.id: told(film, 0.1 * number) for number, film in enumerate(pool, start=1)}

    assert least_sure(reversed(pool), predictions, 2) == pool[:2]


def test_what_the_model_could_not_read_comes_last() -> None:
    pool = films(3)
    predictions = {film.id: told(film, 0.9) for film in pool[1:]}

    assert least_sure(pool, predictions, 3)[-1] == pool[0]


def test_held_out_radiographs_are_mixed_in_evenly_however_sure_the_model_is() -> None:
    train = films(200)
    held_out = [radiograph(number, Split.TEST) for number in range(1001, 1101)]
    predictions = {film.id: told(film, number / 200) for number, film in enumerate(train)}
    predictions |= {film.id: told(film, 0.999) for film in held_out}

    chosen = least_sure([*train, *held_out], predictions, 150)

    share = sum(film.split is Split.TEST for film in chosen) / 150
    assert 0.2 < share < 0.47

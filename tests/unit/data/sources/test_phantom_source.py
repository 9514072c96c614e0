from __future__ import annotations

import pickle

from data.images.decoding import decode
from data.phantoms.drawing import draw_phantoms
from data.sources.phantoms import read_phantoms


def test_phantoms_come_with_their_truth_and_are_patients_of_their_own() -> None:
    items = list(read_phantoms(3, seed=5, size=64))

    assert len({item.patient for item in items}) == 3
    for item in items:
        assert set(item.values) == {"age_months", "sex"}
        assert decode(item.read().payload).shape[0] == 64


def test_phantoms_of_another_seed_are_other_patients() -> None:
    (first,), (second,) = read_phantoms(1, seed=1, size=64), read_phantoms(1, seed=2, size=64)

    assert first.patient != second.patient
    assert first.stamp != second.stamp
    assert first.read() != second.read()


def test_a_phantom_is_drawn_when_it_is_read_even_in_another_process() -> None:
    (item,) = read_phantoms(1, seed=1, size=64)
    ((_, truth, image),) = draw_phantoms(1, 1, 64)

    assert item.values["age_months"] == truth.age_months
    delivered = pickle.loads(pickle.dumps(item)).read()
    assert (decode(delivered.payload) == image).all()


def test_phantoms_have_a_stamp_that_stays() -> None:
    assert [item.stamp for item in read_phantoms(2, 1, 64)] == [
        item.stamp for item in read_phantoms(3, 1, 64)
    ][:2]

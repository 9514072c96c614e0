from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from data.domain import Prediction
from data.images.preparation import Preparation, prepare
from tests.unit.data.hand_cases import expose, framed_hand, hand_mask
from tests.unit.trainer.cases import BONE_AGE, told, truth
from trainer.evaluation.stress import (
    STRESSES,
    Stress,
    answers_under,
    quarter_with_marker,
    stress_report,
)

Film = NDArray[np.uint8]


class MeanGrey:
    """Says that the age is the mean grey value, and that bright films are girls'."""

    def __init__(self) -> None:
        self.known: list[Mapping[str, str]] = []
        self.largest_batch = 0

    def predict_images(
        self,
        images: Sequence[Film],
        ids: Sequence[str],
        known: Sequence[Mapping[str, str]] | None = None,
    ) -> list[Prediction]:
        self.known += known or []
        self.largest_batch = max(self.largest_batch, len(images))
        greys = [float(image.mean()) for image in images]
        return [
            replace(told(grey, female=1.0 if grey >= 100 else 0.0), radiograph_id=key)
            for grey, key in zip(greys, ids, strict=True)
        ]


class Silent(MeanGrey):
    """Tells no age of bright films."""

    def predict_images(
        self,
        images: Sequence[Film],
        ids: Sequence[str],
        known: Sequence[Mapping[str, str]] | None = None,
    ) -> list[Prediction]:
        answers = super().predict_images(images, ids, known)
        return [
            replace(a, values={}) if float(image.mean()) >= 100 else a
            for a, image in zip(answers, images, strict=True)
        ]


def flat(*greys: int) -> list[Film]:
    return [np.full((8, 8), grey, np.uint8) for grey in greys]


def plus(levels: int) -> Stress:
    return Stress(f"+{levels}", "Lighter.", lambda film: film + np.uint8(levels))


def white_above(limit: int) -> Stress:
    """Adds a year to what is brighter than `limit`."""
    return Stress("some", "Some lighter.", lambda film: film + np.uint8(12) * (film > limit))


def test_every_stress_has_a_name_of_its_own_and_a_sentence() -> None:
    assert len({stress.name for stress in STRESSES}) == len(STRESSES)
    assert all(s.what[0].isupper() and s.what.endswith(".") for s in STRESSES)


@pytest.mark.parametrize("stress", STRESSES, ids=lambda stress: stress.name)
def test_a_stress_changes_a_film_always_in_the_same_way_and_leaves_what_can_be_prepared(
    stress: Stress,
) -> None:
    film = expose(hand_mask(200, 160))

    one, other = stress.change(film), stress.change(film)

    assert np.array_equal(one, other) and not np.array_equal(one, film)
    assert prepare(one, Preparation(64)).std() > 10


@pytest.mark.parametrize("stress", STRESSES, ids=lambda stress: stress.name)
def test_a_stress_that_moves_nothing_leaves_every_pixel_in_its_place(stress: Stress) -> None:
    film = expose(hand_mask(200, 160))

    changed = stress.change(film)

    # In the middle, where no marker lies.
    in_place = changed.shape == film.shape
    parts = [one[40:160, 32:128].ravel() for one in (film, changed)]
    likeness = np.corrcoef(*parts)[0, 1] if in_place else 0.0
    assert bool(abs(likeness) > 0.9) != stress.moves


def test_a_quarter_of_the_contrast_with_a_marker_is_what_it_says() -> None:
    film = np.full((200, 200), 40, np.uint8)
    film[60:, 60:] = 240

    changed = quarter_with_marker(film)

    # 40 + (240 - 40) / 4; the marker lies in the first of three equally dark corners.
    assert changed[0, 0] == 40 and changed[100, 100] == 90
    assert set(np.unique(changed)) == {40, 90, 255}
    assert changed[6:18, 6:8].min() == 255


def test_preparation_undoes_a_quarter_of_the_contrast_and_a_marker() -> None:
    film, _ = framed_hand()
    preparation = Preparation(64, crop="field")

    plain, changed = (
        prepare(f, preparation).astype(np.float64) for f in (film, quarter_with_marker(film))
    )

    assert np.median(np.abs(plain - changed)) <= 6


def test_the_changes_are_worked_out_film_by_film() -> None:
    # Two of four films change by 12 months, 120 becomes 132 and 110 becomes 122; two do not.
    images, ids = flat(80, 90, 110, 120), ["a", "b", "c", "d"]
    truths = {"a": truth(80), "b": truth(100), "c": truth(122), "d": {"sex": "female"}}

    report = stress_report(BONE_AGE, MeanGrey(), images, ids, truths, stresses=[white_above(100)])

    assert (report.target, report.unit, report.films) == ("age_months", "months", 4)
    assert report.mae == pytest.approx((0 + 10 + 12) / 3)
    (result,) = report.results
    assert (result.name, result.what, result.cases) == ("some", "Some lighter.", 4)
    assert result.median == pytest.approx(6)
    assert result.p95 == pytest.approx(12)
    assert result.bias == pytest.approx(6)
    assert result.beyond == {"6": 0.5, "12": 0.0}
    assert result.mae == pytest.approx((0 + 10 + 0) / 3)
    assert result.choices == {"sex": 0.0}


def test_a_choice_that_becomes_another_is_counted() -> None:
    # 95 becomes 105: of three films, one is no longer a boy's.
    report = stress_report(
        BONE_AGE, MeanGrey(), flat(50, 95, 120), ["a", "b", "c"], {}, stresses=[plus(10)]
    )

    assert report.results[0].choices == {"sex": pytest.approx(1 / 3)}


def test_films_whose_number_is_told_only_once_do_not_count_as_changes() -> None:
    report = stress_report(
        BONE_AGE, Silent(), flat(50, 95), ["a", "b"], {}, stresses=[plus(10), plus(60)]
    )

    assert [result.cases for result in report.results] == [1, 0]
    assert [result.median for result in report.results] == [10, pytest.approx(np.nan, nan_ok=True)]
    assert [result.choices["sex"] for result in report.results] == [0.5, 1.0]


def test_a_figure_without_a_case_is_null_in_json() -> None:
    report = stress_report(BONE_AGE, Silent(), flat(50), ["a"], {}, stresses=[plus(60)])

    content = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert content["mae"] is None
    assert content["results"][0]["median"] is None
    assert content["results"][0]["beyond"] == {"6": None, "12": None}
    assert content["results"][0]["cases"] == 0


def test_what_moves_the_hand_is_left_out_where_its_mask_is_looked_at() -> None:
    stresses = [replace(plus(10), moves=True), plus(20)]

    report = stress_report(
        BONE_AGE, MeanGrey(), flat(50), ["a"], {}, stresses=stresses, uses_masks=True
    )

    assert [result.name for result in report.results] == ["+20"]
    assert report.left_out == ("+10",)


def test_answers_keep_their_order_and_their_inputs_over_many_films() -> None:
    model, greys = MeanGrey(), range(70)
    known = [{"sex": "female" if grey % 2 else "male"} for grey in greys]

    answers = answers_under(model, flat(*greys), [str(g) for g in greys], plus(5), known)

    assert [a.values["age_months"] for a in answers] == [grey + 5 for grey in greys]
    assert [a.radiograph_id for a in answers] == [str(grey) for grey in greys]
    assert model.known == known
    assert model.largest_batch <= 32


def test_ids_that_do_not_match_the_films_are_refused() -> None:
    with pytest.raises(ValueError, match="2 images"):
        answers_under(MeanGrey(), flat(1, 2), ["a"], None)

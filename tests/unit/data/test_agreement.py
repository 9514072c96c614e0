from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from data.domain import Reading, Value
from data.readers.agreement import LabelNoise, label_noise
from tests.unit.data.dataset_cases import PNEUMONIA, SPEC, a_reading

ADA, BOB, CAT = "ada@example.org", "bob@example.org", "cat@example.org"


def read_by(values: Sequence[tuple[str, Sequence[Value | None]]], target: str) -> list[Reading]:
    """Readings of radiographs 1, 2, ...; None: this reader did not read it."""
    return [
        a_reading(reader, number=number, minute=minute, **{target: value})
        for minute, (reader, of) in enumerate(values)
        for number, value in enumerate(of, start=1)
        if value is not None
    ]


def ages(*values: tuple[str, Sequence[float | None]]) -> LabelNoise:
    return label_noise(read_by(values, "age_months"), SPEC)


def test_one_reader_each_gives_no_estimate() -> None:
    noise = ages((ADA, (100, None)), (BOB, (None, 100)))

    assert (noise.labelled, noise.radiographs, noise.readers) == (2, 0, ())
    assert (noise.numbers, noise.choices) == ((), ())


def test_the_error_of_a_number_is_what_the_hand_computes() -> None:
    # Differences 4, -4, 20, tolerance 12; squares within 8 + 8 + 200, 3 degrees of freedom.
    (found,) = ages((ADA, (104, 96, 120)), (BOB, (100, 100, 100))).numbers

    assert (found.target, found.radiographs, found.readings) == ("age_months", 3, 6)
    assert found.within_tolerance == pytest.approx(2 / 3)
    assert found.sem == pytest.approx(math.sqrt(216 / 3))
    assert found.sd_difference == pytest.approx(math.sqrt(2 * 72))
    assert found.limit == pytest.approx(1.96 * 12, rel=1e-4)


def test_the_bias_of_two_readers_is_one_and_the_same_with_opposite_signs() -> None:
    (found,) = ages((ADA, (104, 96, 120)), (BOB, (100, 100, 100))).numbers

    assert [(one.reader, one.mean) for one in found.readers] == [
        (ADA, pytest.approx(20 / 3)),
        (BOB, pytest.approx(-20 / 3)),
    ]
    (pair,) = found.pairs
    assert (pair.reader, pair.other, pair.mean) == (ADA, BOB, pytest.approx(20 / 3))


def test_a_reader_is_held_against_the_mean_of_the_others() -> None:
    # Radiograph 1: 110 against 95; radiograph 2, which Cat did not read: 100 against 90.
    (found,) = ages((ADA, (110, 100)), (BOB, (90, 90)), (CAT, (100, None))).numbers

    of = {one.reader: one for one in found.readers}
    assert of[ADA].mean == pytest.approx((15 + 10) / 2)
    assert (of[CAT].radiographs, of[CAT].mean, of[CAT].low) == (1, 0, None)
    assert [(one.reader, one.other) for one in found.pairs] == [(ADA, BOB), (ADA, CAT), (BOB, CAT)]


def test_radiographs_that_one_reader_read_do_not_count() -> None:
    alone = ages((ADA, (104, 96, 20)), (BOB, (100, 100, None)))

    assert alone.numbers == ages((ADA, (104, 96)), (BOB, (100, 100))).numbers


def test_withdrawn_and_overwritten_readings_do_not_count() -> None:
    noise = label_noise(
        [
            a_reading(ADA, minute=0, age_months=20),
            a_reading(ADA, minute=1, age_months=100),
            a_reading(BOB, minute=2, age_months=104),
            a_reading(CAT, minute=3, withdrawn=True, age_months=220),
        ],
        SPEC,
    )

    assert noise.readers == (ADA, BOB)
    assert noise.numbers[0].sem == pytest.approx(math.sqrt(8))


def test_references_and_adjudicators_are_no_sample_of_the_readers() -> None:
    readings = [
        a_reading(ADA, minute=0, age_months=100),
        a_reading(BOB, minute=1, age_months=104),
        a_reading("Chief@example.org", minute=2, age_months=200),
        a_reading("reference", minute=3, age_months=10),
    ]

    noise = label_noise(readings, SPEC, ["chief@example.org"])

    assert noise.readers == (ADA, BOB)
    assert noise.numbers == label_noise(readings[:2], SPEC).numbers


def test_two_readers_of_a_choice_have_agreement_kappa_and_alpha() -> None:
    # Observed 0.5; Ada says f in 3 of 4, Bob in 1 of 4: expected 2 * 3 / 16.
    readings = read_by([(ADA, ("f", "f", "f", "m")), (BOB, ("f", "m", "m", "m"))], "sex")

    (found,) = label_noise(readings, SPEC).choices

    assert (found.target, found.radiographs, found.agreement) == ("sex", 4, 0.5)
    assert found.kappa == pytest.approx((0.5 - 0.375) / 0.625)
    # Coincidences: 4 of 8 differ; 4 f and 4 m: expected 2 * 16 / 56.
    assert found.alpha == pytest.approx(1 - (4 / 8) / (32 / 56))


def test_of_three_readers_there_is_alpha_but_no_kappa() -> None:
    readings = read_by([(ADA, ("f", "m")), (BOB, ("f", None)), (CAT, (None, "f"))], "sex")

    (found,) = label_noise(readings, SPEC).choices

    assert found.kappa is None
    assert found.alpha is not None


def test_a_target_counts_only_for_those_who_gave_it() -> None:
    readings = [
        a_reading(ADA, minute=0, finding="pneumonia", cause="viral"),
        a_reading(BOB, minute=1, finding="normal"),
    ]

    noise = label_noise(readings, PNEUMONIA)

    assert [found.target for found in noise.choices] == ["finding"]


def test_disagreements_that_nobody_settled_are_counted() -> None:
    readings = read_by([(ADA, (100, 100, 100)), (BOB, (112, 113, 150))], "age_months")
    settled = a_reading("chief@example.org", number=3, minute=9, age_months=120)

    noise = label_noise([*readings, settled], SPEC, ["chief@example.org"])

    assert noise.unsettled == 1

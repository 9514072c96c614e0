from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.domain import Split
from data.errors import InvalidInputError
from data.splits import pseudonym, split_of

PATIENTS = st.text(min_size=1).filter(str.strip)
SALTS = st.text(min_size=1)


def test_a_pseudonym_is_the_hmac_of_the_patient() -> None:
    # printf 'patient:4711' | openssl dgst -sha256 -hmac salt
    assert pseudonym("4711", "salt") == "25789e31e0bba370"


@given(patient=PATIENTS, salt=SALTS)
def test_a_pseudonym_has_sixteen_hexadecimal_digits(patient: str, salt: str) -> None:
    name = pseudonym(patient, salt)

    assert len(name) == 16
    assert set(name) <= set("0123456789abcdef")


def test_another_salt_gives_another_pseudonym() -> None:
    assert pseudonym("4711", "one") != pseudonym("4711", "two")


def test_blanks_around_an_identifier_do_not_make_another_patient() -> None:
    assert pseudonym(" 4711 ", "salt") == pseudonym("4711", "salt")


@given(patient=PATIENTS, salt=SALTS, test=st.floats(0, 0.4), calibration=st.floats(0, 0.4))
def test_a_patient_keeps_its_split(
    patient: str, salt: str, test: float, calibration: float
) -> None:
    name = pseudonym(patient, salt)

    assert split_of(name, salt, calibration, test) is split_of(name, salt, calibration, test)


@given(
    patients=st.lists(PATIENTS, min_size=1, max_size=20),
    others=st.lists(PATIENTS, max_size=20),
    order=st.randoms(use_true_random=False),
)
def test_other_patients_never_move_a_patient(
    patients: list[str], others: list[str], order: object
) -> None:
    # Given a table, and the same table longer and shuffled
    def assign(names: list[str]) -> dict[str, Split]:
        return {name: split_of(pseudonym(name, "salt"), "salt", 0.2, 0.2) for name in names}

    longer = patients + others
    order.shuffle(longer)  # type: ignore[attr-defined]

    before, after = assign(patients), assign(longer)

    assert before == {name: after[name] for name in patients}


@settings(max_examples=20)
@given(salt=SALTS)
def test_the_shares_are_about_right(salt: str) -> None:
    names = [pseudonym(str(number), salt) for number in range(2000)]

    counts = Counter(split_of(name, salt, 0.1, 0.2) for name in names)

    # Five standard deviations of a binomial: 67 of 200, 90 of 400.
    assert abs(counts[Split.CALIBRATION] - 200) < 68
    assert abs(counts[Split.TEST] - 400) < 91


def test_no_share_at_all_leaves_everybody_in_train() -> None:
    names = [pseudonym(str(number), "salt") for number in range(200)]

    assert {split_of(name, "salt", 0.0, 0.0) for name in names} == {Split.TRAIN}


@pytest.mark.parametrize(
    ("calibration", "test"),
    [(-0.1, 0.1), (0.1, -0.1), (0.5, 0.5), (0.9, 0.9)],
    ids=["negative calibration", "negative test", "nothing for training", "more than all"],
)
def test_shares_that_are_none_are_refused(calibration: float, test: float) -> None:
    with pytest.raises(InvalidInputError, match="add up to less than 1"):
        split_of("00", "salt", calibration, test)


@pytest.mark.parametrize(("patient", "salt"), [("", "salt"), ("  ", "salt"), ("4711", "")])
def test_an_empty_patient_or_salt_is_refused(patient: str, salt: str) -> None:
    with pytest.raises(InvalidInputError):
        pseudonym(patient, salt)

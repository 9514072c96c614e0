"""Decide, once and for ever, which part of the dataset a patient belongs to.

The split is a function of the patient's pseudonym and the workspace's salt alone. It knows
neither the position in a list nor the other patients, so nothing that is imported, labelled or
withdrawn later can move a patient from one split to another.
"""

from __future__ import annotations

import hmac

from data.domain import Split
from data.errors import InvalidInputError

PSEUDONYM_DIGITS = 16


def pseudonym(patient: str, salt: str) -> str:
    """Returns 16 hexadecimal digits that stand for a patient: HMAC-SHA256 keyed with the salt.

    Args:
        patient: The patient's identifier as the source gives it, such as a hospital number.
        salt: The workspace's secret; without it the pseudonym cannot be recomputed.

    Raises:
        InvalidInputError: Patient or salt is empty.
    """
    if not patient.strip():
        raise InvalidInputError("The patient's identifier is empty.")
    return keyed_hash(f"patient:{patient.strip()}", salt).hex()[:PSEUDONYM_DIGITS]


def origin_key(source: str, name: str, salt: str) -> str:
    """Returns 32 hexadecimal digits that stand for an item of a source, whose name may identify.

    Raises:
        InvalidInputError: The salt is empty.
    """
    return keyed_hash(f"origin:{source}\n{name}", salt).hex()[:32]


def split_of(pseudonym: str, salt: str, calibration_share: float, test_share: float) -> Split:
    """Returns the split of a patient.

    The pseudonym is hashed to a number that is uniform in 0..1; test takes the lowest part,
    calibration the next one, train the rest.

    Args:
        pseudonym: See `pseudonym`.
        salt: The workspace's secret.
        calibration_share: Share of the patients for calibration, 0..1.
        test_share: Share of the patients for test, 0..1.

    Raises:
        InvalidInputError: The shares are negative or leave nothing for training, or no salt.
    """
    if min(calibration_share, test_share) < 0 or calibration_share + test_share >= 1:
        raise InvalidInputError(
            "The calibration and test shares must not be negative and must add up to less than 1."
        )
    position = int.from_bytes(keyed_hash(f"split:{pseudonym}", salt)[:8]) / 2**64
    if position < test_share:
        return Split.TEST
    if position < test_share + calibration_share:
        return Split.CALIBRATION
    return Split.TRAIN


def keyed_hash(text: str, salt: str) -> bytes:
    """Returns the 32 bytes of HMAC-SHA256 of a text, keyed with the workspace's salt.

    Raises:
        InvalidInputError: The salt is empty.
    """
    if not salt:
        raise InvalidInputError("The workspace has no salt: set CARPAL_SALT or run carpal up.")
    return hmac.digest(salt.encode(), text.encode(), "sha256")

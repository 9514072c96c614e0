"""A film is what its file, its bytes or its pixels show, whoever prepares it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.errors import ImageError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits, content_id, encode_png
from data.images.preparation import Preparation, prepare
from ml_backend.film_reading import FilmRequest, prepare_film, read_source
from tests.unit.ml_backend.fakes import picture, png

SMALL, LARGE = Preparation(16), Preparation(24, crop="whole")


def test_a_film_is_the_same_from_its_file_its_bytes_and_its_pixels(tmp_path: Path) -> None:
    file = tmp_path / "film.png"
    file.write_bytes(png(1))

    read = [read_source(s, content_id(png(1)), DEFAULT_LIMITS) for s in (file, png(1), picture(1))]

    for pixels in read:
        assert (pixels == picture(1)).all()


@pytest.mark.parametrize(
    ("payload", "name", "limits", "sentence"),
    [
        (png(2), content_id(png(1)), DEFAULT_LIMITS, "content has changed"),
        (b"GIF", content_id(b"GIF"), DEFAULT_LIMITS, "not an image"),
        (png(1), content_id(png(1)), ImageLimits(100, 10**6), "larger than 100 bytes"),
        (png(1), content_id(png(1)), ImageLimits(10**6, 100), "more than the 100"),
        (None, content_id(png(1)), DEFAULT_LIMITS, "cannot be read: No such file"),
    ],
    ids=["another film", "no image", "too many bytes", "too many pixels", "no file"],
)
def test_a_file_of_the_pool_that_is_not_the_film_is_refused(
    tmp_path: Path, payload: bytes | None, name: str, limits: ImageLimits, sentence: str
) -> None:
    file = tmp_path / "film.png"
    if payload is not None:
        file.write_bytes(payload)

    with pytest.raises(ImageError, match=sentence):
        read_source(file, name, limits)


def test_each_member_sees_the_film_as_it_was_trained_to(tmp_path: Path) -> None:
    seen = prepare_film(FilmRequest("", png(1), DEFAULT_LIMITS, (SMALL, LARGE, SMALL)))

    assert [one.shape for one in seen] == [(16, 16), (24, 24), (16, 16)]
    assert (seen[1] == prepare(picture(1), LARGE)).all()


def test_a_film_without_the_mask_that_a_member_needs_is_refused(tmp_path: Path) -> None:
    masked = Preparation(16, crop="mask")
    with pytest.raises(ImageError, match="no hand mask"):
        prepare_film(FilmRequest("", png(1), DEFAULT_LIMITS, (masked,)))

    hand = np.zeros((48, 48), np.uint8)
    hand[8:40, 8:40] = 255
    mask = tmp_path / "mask.png"
    mask.write_bytes(encode_png(hand))
    (seen,) = prepare_film(FilmRequest("", png(1), DEFAULT_LIMITS, (masked,), mask))

    assert (seen == prepare(picture(1), masked, hand > 127)).all()

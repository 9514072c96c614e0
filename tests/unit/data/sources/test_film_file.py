from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.dicom.reading import to_image
from data.errors import ImageError
from data.images.decoding import ImageLimits, content_id, decode, encode_png
from data.sources.film_file import looks_like_dicom, read_film, recorded_values
from tests.unit.data.dicom_cases import RAMP, SALT, a_file

FILM = np.arange(48, dtype=np.uint8).reshape(6, 8)


def written(folder: Path, name: str, payload: bytes) -> Path:
    (folder / name).write_bytes(payload)
    return folder / name


def test_an_image_has_its_pixels_and_records_nothing(tmp_path: Path) -> None:
    payload = encode_png(FILM)

    film = read_film(written(tmp_path, "a.png", payload))

    np.testing.assert_array_equal(film.pixels, FILM)
    assert (film.id, film.recorded) == (content_id(payload), {})


@pytest.mark.parametrize(
    ("code", "recorded"),
    [("F", {"sex": "female"}), ("M", {"sex": "male"}), ("O", {}), ("", {})],
    ids=["female", "male", "other", "not recorded"],
)
def test_a_dicom_file_of_any_name_is_shown_and_records_the_sex(
    tmp_path: Path, code: str, recorded: dict[str, str]
) -> None:
    payload = a_file(RAMP, PatientSex=code)
    path = written(tmp_path, "00000017", payload)

    film = read_film(path)

    shown = to_image(payload, SALT).payload
    np.testing.assert_array_equal(film.pixels, decode(shown))
    assert film.id == content_id(shown), "the id that it has once it is imported"
    assert film.recorded == recorded == recorded_values(path)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"no image", "not an image that can be read"),
        (a_file(RAMP)[:-3], "cut off"),
        (encode_png(np.zeros((40, 40), np.uint8)), "more than the 1000 that are read"),
    ],
    ids=["text", "DICOM, cut off", "too many pixels"],
)
def test_what_cannot_be_read_is_an_error_that_says_why(
    tmp_path: Path, payload: bytes, said: str
) -> None:
    limits = ImageLimits(max_bytes=100_000, max_pixels=1000)

    with pytest.raises(ImageError, match=said):
        read_film(written(tmp_path, "a", payload), limits)


def test_a_large_file_is_not_read_whole(tmp_path: Path) -> None:
    path = written(tmp_path, "large.png", bytes(5000))

    with pytest.raises(ImageError, match="more than the 1000 that are read"):
        read_film(path, ImageLimits(max_bytes=1000, max_pixels=1000))


def test_a_missing_file_is_an_error_and_records_nothing(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read: No such file"):
        read_film(tmp_path / "gone.dcm")
    assert recorded_values(tmp_path / "gone.dcm") == {}
    assert not looks_like_dicom(tmp_path / "gone.dcm")

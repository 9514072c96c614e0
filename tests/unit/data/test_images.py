from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data.errors import ImageError, InvalidInputError
from data.images.decoding import (
    PIXEL_CEILING,
    ImageLimits,
    content_id,
    decode,
    encode_png,
    read_grey,
    read_small,
)
from tests.unit.data.dataset_cases import a_film, encoded

FORMATS = {"PNG": "png", "JPEG": "jpg", "TIFF": "tif", "BMP": "bmp", "WEBP": "webp"}
LOSSLESS = ("PNG", "TIFF", "BMP")
SMALL = ImageLimits(max_bytes=100_000, max_pixels=10_000)


def png_of_declared_size(width: int, height: int) -> bytes:
    """A PNG whose header promises any size, with hardly any data behind it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(b"\0" * 1000)),
            chunk(b"IEND", b""),
        ]
    )


def tiff_with_tile(side: int) -> bytes:
    """A TIFF of 10 x 10 pixels that lie in one compressed tile of any size."""
    data = zlib.compress(bytes(256 * 256))
    tags = {256: 10, 257: 10, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 8}
    fields = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    fields.append(struct.pack("<HHII", 325, 4, 1, len(data)))
    header = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    return header + data + struct.pack("<H", len(fields)) + b"".join(fields) + bytes(4)


def png_with_text_bomb(megabytes: int) -> bytes:
    whole = encoded(a_film())
    body = b"Comment\0\0" + zlib.compress(b"a" * megabytes * 2**20)
    kind = b"zTXt"
    text = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    after_header = 8 + 25
    return whole[:after_header] + text + whole[after_header:]


def test_the_content_id_is_the_sha256_of_the_bytes() -> None:
    # printf abc | sha256sum
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert content_id(b"abc") == expected


@pytest.mark.parametrize("form", LOSSLESS)
def test_a_lossless_image_is_decoded_to_its_pixels(form: str) -> None:
    film = a_film(40, 30)

    assert np.array_equal(decode(encoded(film, form)), film)


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_a_lossy_image_is_decoded_to_nearly_its_pixels(form: str) -> None:
    ramp = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (50, 1))

    grey = decode(encoded(ramp, form, quality=95))

    assert grey.shape == (50, 60)
    assert np.abs(grey.astype(int) - ramp).max() <= 6


@pytest.mark.parametrize(("form", "extension"), FORMATS.items())
def test_the_extension_follows_the_content(form: str, extension: str) -> None:
    assert read_small(encoded(a_film(), form)).extension == extension


def test_sixteen_bits_are_scaled_by_their_range() -> None:
    deep = np.array([[1000, 1500], [2000, 1250]], np.uint16)

    # (v - 1000) * 255 / 1000, rounded
    assert decode(encoded(deep)).tolist() == [[0, 128], [255, 64]]


@pytest.mark.parametrize(
    ("dtype", "values"),
    [(np.uint8, [[0, 255]]), (np.uint16, [[0, 60000]]), (np.float32, [[0.0, 1.0]])],
    ids=["8 bits", "16 bits", "floats"],
)
def test_a_tiff_whose_lowest_value_is_white_is_shown_so(
    dtype: type[np.generic], values: list[list[float]]
) -> None:
    field = struct.pack("<HHI", 262, 3, 1)  # TIFF 6.0, PhotometricInterpretation: one short
    black_is_zero = encoded(np.array(values, dtype), "TIFF")

    payload = black_is_zero.replace(field + b"\1", field + b"\0")

    assert payload != black_is_zero
    assert decode(payload).tolist() == [[255, 0]]
    assert read_small(payload).pixels.tolist() == [[255, 0]]


def test_a_flat_image_of_sixteen_bits_is_black() -> None:
    assert decode(encoded(np.full((2, 2), 40000, np.uint16))).tolist() == [[0, 0], [0, 0]]


def test_floating_point_values_are_scaled_by_their_range() -> None:
    film = np.array([[-1.0, 0.0], [1.0, 0.5]], np.float32)

    assert decode(encoded(film, "TIFF")).tolist() == [[0, 128], [255, 191]]


def test_values_that_are_no_numbers_are_refused() -> None:
    film = np.array([[0.0, np.nan]], np.float32)

    with pytest.raises(ImageError, match="finite"):
        decode(encoded(film, "TIFF"))


@pytest.mark.parametrize(
    ("picture", "grey"),
    [
        (Image.new("RGB", (1, 1), (255, 0, 0)), 76),  # 0.299 * 255
        (Image.new("RGBA", (1, 1), (255, 255, 255, 0)), 0),
        (Image.new("RGBA", (1, 1), (255, 255, 255, 255)), 255),
        (Image.new("LA", (1, 1), (200, 0)), 0),
        (Image.new("1", (1, 1), 1), 255),
        (Image.new("RGB", (1, 1), (10, 10, 10)).quantize(2), 10),
    ],
    ids=["red", "transparent", "opaque", "transparent grey", "one bit", "palette"],
)
def test_colours_and_transparency_become_grey(picture: Image.Image, grey: int) -> None:
    assert decode(encoded(picture)).tolist() == [[grey]]


def test_a_grey_value_that_is_declared_transparent_becomes_black() -> None:
    film = np.array([[7, 200]], np.uint8)

    assert decode(encoded(film, transparency=200)).tolist() == [[7, 0]]


def test_a_cmyk_image_becomes_grey() -> None:
    black = Image.new("CMYK", (8, 8), (0, 0, 0, 255))

    assert decode(encoded(black, "TIFF")).max() == 0


@pytest.mark.parametrize(
    ("orientation", "seen"),
    [
        (1, [[1, 2, 3], [4, 5, 6]]),
        (2, [[3, 2, 1], [6, 5, 4]]),
        (3, [[6, 5, 4], [3, 2, 1]]),
        (4, [[4, 5, 6], [1, 2, 3]]),
        (5, [[1, 4], [2, 5], [3, 6]]),
        (6, [[4, 1], [5, 2], [6, 3]]),
        (7, [[6, 3], [5, 2], [4, 1]]),
        (8, [[3, 6], [2, 5], [1, 4]]),
    ],
)
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_the_orientation_is_applied_as_a_browser_shows_it(
    orientation: int, seen: list[list[int]], form: str
) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    stored = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)

    assert decode(encoded(stored, form, exif=exif)).tolist() == seen


def test_decoded_pixels_may_be_written() -> None:
    grey = decode(encoded(a_film()))
    grey[0, 0] = 7

    assert grey.flags.c_contiguous


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"hello",
        b"%PDF-1.7",
        b"GIF89a" + b"\0" * 50,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
    ids=["empty", "text", "PDF", "GIF", "SVG"],
)
def test_what_is_no_image_is_refused(payload: bytes) -> None:
    with pytest.raises(ImageError, match="not an image that can be read"):
        decode(payload)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(form: str, share: float) -> None:
    payload = encoded(a_film(200, 150), form)

    with pytest.raises(ImageError):
        decode(payload[: int(len(payload) * share)])


def test_a_file_with_too_many_bytes_is_refused() -> None:
    with pytest.raises(ImageError, match="100001 bytes, more than the 100000"):
        decode(b"\0" * 100_001, SMALL)


def test_an_image_with_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    payload = png_of_declared_size(60_000, 1_000)

    started = time.process_time()
    with pytest.raises(ImageError, match="60000 x 1000 pixels, more than the 10000"):
        decode(payload, SMALL)
    assert time.process_time() - started < 0.1


@pytest.mark.parametrize("side", [10_000, 100_000, 2**31 - 1])
def test_a_decompression_bomb_is_refused(side: int) -> None:
    with pytest.raises(ImageError):
        decode(png_of_declared_size(side, side))


def test_a_small_image_in_a_huge_tile_is_refused_before_it_is_decoded() -> None:
    assert decode(tiff_with_tile(256)).shape == (10, 10)

    with pytest.raises(ImageError, match="tiles of 400000000 pixels, more than the 64000000"):
        decode(tiff_with_tile(20_000))


@pytest.mark.parametrize("megabytes", [2, 40])
def test_a_bomb_in_a_text_chunk_is_refused(megabytes: int) -> None:
    with pytest.raises(ImageError):
        decode(png_with_text_bomb(megabytes))


@pytest.mark.parametrize("read", [decode, read_small], ids=["whole", "small"])
def test_a_jpeg_with_thousands_of_scans_is_refused(read: Callable[[bytes], object]) -> None:
    whole = encoded(a_film(100, 80), "JPEG", progressive=True)
    last_scan = whole[whole.rindex(b"\xff\xda") : -2]
    bomb = whole[:-2] + last_scan * 5000 + whole[-2:]

    with pytest.raises(ImageError, match="more than the 100 scans"):
        read(bomb)


def test_bytes_behind_the_picture_are_no_scans() -> None:
    progressive = encoded(a_film(100, 80), "JPEG", progressive=True)

    behind = progressive + b"\xff\xda\0\2" * 5000

    assert np.array_equal(decode(behind), decode(progressive))


def test_limits_beyond_what_pillow_reads_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=str(PIXEL_CEILING)):
        ImageLimits(max_bytes=1, max_pixels=PIXEL_CEILING + 1)


@pytest.mark.parametrize("form", ["TIFF", "PNG", "WEBP"])
def test_an_image_with_several_frames_is_refused(form: str) -> None:
    frames = [Image.fromarray(a_film(seed=seed)) for seed in (1, 2)]

    with pytest.raises(ImageError, match="several frames"):
        decode(encoded(frames[0], form, save_all=True, append_images=frames[1:]))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow's remarks on odd metadata
@settings(max_examples=120, deadline=None)
@given(data=st.data(), form=st.sampled_from(sorted(FORMATS)))
def test_damaged_bytes_give_an_image_or_an_image_error(data: st.DataObject, form: str) -> None:
    payload = bytearray(encoded(a_film(24, 20), form))
    places = st.integers(0, len(payload) - 1)
    for place, byte in data.draw(
        st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=12)
    ):
        payload[place] = byte

    try:
        grey = decode(bytes(payload), SMALL)
    except ImageError as error:
        assert str(error).endswith(".")
    else:
        assert grey.ndim == 2


def test_a_large_jpeg_is_read_at_an_eighth_of_each_side() -> None:
    ramp = np.tile(np.linspace(0, 240, 403).astype(np.uint8), (299, 1))

    film = read_small(encoded(ramp, "JPEG", quality=95))

    assert (film.extension, film.width, film.height) == ("jpg", 403, 299)
    assert film.pixels.shape == (38, 51)
    assert (film.rows, film.columns) == (299 / 8, 403 / 8)
    assert np.abs(film.pixels[5, :50].astype(int) - ramp[0, 4:400:8]).max() <= 3


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "JPEG"])
def test_another_film_is_read_whole(form: str) -> None:
    payload = encoded(a_film(200, 150), form)

    film = read_small(payload)

    assert (film.extension, film.width, film.height) == (FORMATS[form], 150, 200)
    assert np.array_equal(film.pixels, decode(payload))


def test_a_large_film_is_reduced() -> None:
    ramp = np.tile(np.linspace(0, 240, 1000).astype(np.uint8), (700, 1))

    film = read_small(encoded(ramp))

    assert (film.width, film.height, film.pixels.shape) == (1000, 700, (100, 143))
    assert (film.rows, film.columns) == (100, 1000 / 7)
    assert np.abs(film.pixels[3, :140].astype(int) - ramp[0, 3:980:7]).max() <= 1


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_small_film_is_turned_as_a_browser_shows_it(form: str) -> None:
    exif = Image.Exif()
    exif[274] = 6
    payload = encoded(a_film(100, 150), form, exif=exif)

    film = read_small(payload)

    assert (film.width, film.height) == (100, 150)
    assert film.pixels.shape == (film.rows, film.columns) == (150, 100)
    assert np.array_equal(film.pixels, decode(payload))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9, 0.99])
def test_a_small_film_of_a_truncated_file_is_refused(form: str, share: float) -> None:
    payload = encoded(a_film(300, 250), form)

    with pytest.raises(ImageError):
        read_small(payload[: int(len(payload) * share)])


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow's remarks on odd metadata
@settings(max_examples=60, deadline=None)
@given(data=st.data(), form=st.sampled_from(sorted(FORMATS)))
def test_a_small_film_is_refused_with_the_whole_one(data: st.DataObject, form: str) -> None:
    payload = bytearray(encoded(a_film(64, 56), form))
    places = st.integers(0, len(payload) - 1)
    for place, byte in data.draw(
        st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=6)
    ):
        payload[place] = byte

    try:
        shape = decode(bytes(payload), SMALL).shape
    except ImageError:
        shape = None
    try:
        film = read_small(bytes(payload), SMALL)
    except ImageError:
        assert shape is None
    else:
        assert (film.height, film.width) == shape


def test_a_missing_file_is_an_image_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        read_grey(tmp_path / "none.png")


def test_a_file_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    path = tmp_path / "note.png"
    path.write_text("not a radiograph")

    with pytest.raises(ImageError, match=r"^note\.png: "):
        read_grey(path)


def test_png_keeps_every_pixel() -> None:
    film = a_film()

    assert np.array_equal(decode(encode_png(film)), film)

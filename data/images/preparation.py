"""Grey pixels to what a model sees: the one preprocessing that training and serving share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from data.errors import ImageError
from data.images import crop as image_crop
from data.images.box import AS_IS, LEVELLED, Box, whole
from data.images.markers import Measured, without_markers
from data.images.window import display_window, fixed_window

CROPS = ("whole", "plain", "field", "hand", "mask")
"""What is kept of a film: all of it; all but plain borders; the exposed field; what shows something
in that field; a square around the hand mask."""
BACKGROUNDS = ("keep", "remove")
EXPOSURES = ("as_is", "levelled")
"""Whether crop and display window are found with thresholds in grey levels and markers are left in,
as for the first models; or in the film's own range, and markers are filled with what is around."""
BOXES = {
    "plain": image_crop.plain_box,
    "field": image_crop.field_box,
    "hand": image_crop.hand_box,
}
LEAST_SIZE = 8


@dataclass(frozen=True, slots=True)
class Preparation:
    """Everything that decides which pixels a model sees of a film; stands in `model.json`.

    Attributes:
        size: Side of the square, pixels, at least 8.
        crop: One of `CROPS`.
        mask_crop: Side of the square around the mask, in multiples of the mask's longer side.
        background: `remove` makes everything black that lies outside the hand mask.
        mask_edge: Width of the seam in which a removed background fades, as a share of `size`.
        exposure: One of `EXPOSURES`.

    Raises:
        ValueError: A value is not possible.
    """

    size: int
    crop: str = "field"
    mask_crop: float = 1.15
    background: str = "keep"
    mask_edge: float = 0.0
    exposure: str = "as_is"

    def __post_init__(self) -> None:
        known = self.crop in CROPS and self.background in BACKGROUNDS
        if self.size < LEAST_SIZE or not known or self.exposure not in EXPOSURES:
            raise ValueError(f"There is no such preparation: {self}.")
        if not 1 <= self.mask_crop <= 4 or not 0 <= self.mask_edge <= 0.2:
            raise ValueError(f"mask_crop must lie in 1..4 and mask_edge in 0..0.2: {self}.")

    @property
    def needs_mask(self) -> bool:
        """A film without a hand mask cannot be prepared in this way."""
        return self.crop == "mask" or self.background == "remove"

    def to_json(self) -> dict[str, Any]:
        """Returns what `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Preparation:
        """Reads what `to_json` returned, also before there were exposures.

        Raises:
            TypeError: A part is unknown or has the wrong type.
            ValueError: A part has an impossible value.
        """
        return cls(**content)


class Place(NamedTuple):
    """Which part of a film a model sees, and the pixels of its square that this part fills.

    Attributes:
        box: The part of the film.
        square: The part of the square.
    """

    box: Box
    square: Box


def prepare(
    image: NDArray[np.uint8],
    preparation: Preparation,
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Brings any radiograph to the square that models see, for training and serving alike.

    What does not belong to the patient is cut off, the display window is set to what lies in the
    middle of the film (films differ in exposure by a factor of ten, and lead markers are white on
    all of them), and the film is fitted into the square without distortion. Left and right are
    not exchanged, black and white neither.

    Args:
        image: (height, width) grey.
        preparation: What to do.
        mask: (height, width), true where the hand is; looked at only if the preparation needs it.

    Returns:
        (size, size) grey, black beside the film.

    Raises:
        ImageError: The preparation needs a mask, and there is none, or it marks nothing or has
            another size than the film.
    """
    if image.ndim != 2 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"expected 8-bit grey pixels, got {image.shape} {image.dtype}")
    mask = _checked(mask, image) if preparation.needs_mask else None
    measured = without_markers(image) if preparation.exposure == "levelled" else None
    frame = _frame(image, preparation, mask, measured)
    box = _inside(frame, image)
    scale = preparation.size / max(frame.height, frame.width)
    shown = image if measured is None else measured.cleared(image)
    film = _fit(shown[box.top : box.bottom, box.left : box.right], scale)
    hand = None
    if mask is not None:
        white = mask[box.top : box.bottom, box.left : box.right] * np.uint8(255)
        hand = _fit(white, scale) / np.float32(255)
    if measured is None:
        low, high = fixed_window(film, hand)
    else:
        part = _scaled(box, image.shape, measured.film.shape)
        low, high = display_window(measured.part(part), hand)
    grey = (film - low) * (255 / (high - low))
    if hand is not None and preparation.background == "remove":
        grey = np.maximum(grey, 0) * _seam(hand, preparation)
    return _placed(np.clip(grey + 0.5, 0, 255).astype(np.uint8), frame, box, preparation.size)


def place_of(
    image: NDArray[np.uint8],
    preparation: Preparation,
    mask: NDArray[np.bool_] | None = None,
) -> Place:
    """Says which part of a film `prepare` shows, and where; arguments and errors as there."""
    mask = _checked(mask, image) if preparation.needs_mask else None
    measured = without_markers(image) if preparation.exposure == "levelled" else None
    frame = _frame(image, preparation, mask, measured)
    box = _inside(frame, image)
    scale = preparation.size / max(frame.height, frame.width)
    height, width = (max(1, round(side * scale)) for side in (box.height, box.width))
    top, left = _corner(frame, box, (height, width), preparation.size)
    return Place(box, Box(top, top + height, left, left + width))


def use_one_thread() -> None:
    """Lets OpenCV compute each film in one thread of this process; the bytes are the same.

    Films are prepared side by side, and splitting one of 300 pixels costs more than it saves.
    """
    cv2.setNumThreads(1)


def _checked(mask: NDArray[np.bool_] | None, image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    if mask is None:
        raise ImageError(
            "There is no hand mask of this radiograph, which the model needs: "
            "'carpal import masks' brings one in."
        )
    if mask.shape != image.shape:
        raise ImageError(
            f"The hand mask has {mask.shape[1]} x {mask.shape[0]} pixels, "
            f"the radiograph {image.shape[1]} x {image.shape[0]}."
        )
    if not mask.any():
        raise ImageError("The hand mask marks no hand.")
    return mask


def _frame(
    image: NDArray[np.uint8],
    preparation: Preparation,
    mask: NDArray[np.bool_] | None,
    measured: Measured | None,
) -> Box:
    """Returns the part of the film that fills the square; around a mask it may leave the film."""
    if preparation.crop == "whole":
        return whole(image)
    if preparation.crop in BOXES:
        find = BOXES[preparation.crop]
        if measured is None:
            return find(image, AS_IS)
        return _scaled(find(measured.film, LEVELLED), measured.film.shape, image.shape)
    if mask is None:
        raise ValueError("a square around a mask needs the mask")
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    hand = Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
    side = max(1, round(max(hand.height, hand.width) * preparation.mask_crop))
    top = (hand.top + hand.bottom - side) // 2
    left = (hand.left + hand.right - side) // 2
    return Box(top, top + side, left, left + side)


def _scaled(box: Box, source: tuple[int, ...], target: tuple[int, ...]) -> Box:
    """Returns the part of a film of another size that a box covers; rather too large."""
    if source == target:
        return box
    down, across = target[0] / source[0], target[1] / source[1]
    return Box(
        min(int(box.top * down), target[0] - 1),
        min(max(int(np.ceil(box.bottom * down)), 1), target[0]),
        min(int(box.left * across), target[1] - 1),
        min(max(int(np.ceil(box.right * across)), 1), target[1]),
    )


def _inside(frame: Box, image: NDArray[np.uint8]) -> Box:
    height, width = image.shape
    return Box(
        max(0, frame.top), min(height, frame.bottom), max(0, frame.left), min(width, frame.right)
    )


def _fit(film: NDArray[np.uint8], scale: float) -> NDArray[np.float32]:
    """Scales a film; grey values stay in 0..255, with fractions.

    The mean of many pixels of a dark film tells more than 256 grey levels do.
    """
    height, width = (max(1, round(side * scale)) for side in film.shape)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    fine = np.multiply(film, 256, dtype=np.uint16)
    small = cv2.resize(fine, (width, height), interpolation=method)
    return np.divide(small, 256, dtype=np.float32)


def _seam(hand: NDArray[np.float32], preparation: Preparation) -> NDArray[np.float32]:
    """Returns how much is shown of each pixel, 0..1: the hand wholly, its surroundings fading."""
    sigma = preparation.mask_edge * preparation.size / 2
    if sigma < 0.3:
        return hand
    return np.asarray(np.maximum(hand, cv2.GaussianBlur(hand, (0, 0), sigma)), np.float32)


def _placed(film: NDArray[np.uint8], frame: Box, box: Box, size: int) -> NDArray[np.uint8]:
    """Puts the film into the middle of a black square, where it lies in its frame."""
    square = np.zeros((size, size), np.uint8)
    height, width = film.shape
    top, left = _corner(frame, box, (height, width), size)
    square[top : top + height, left : left + width] = film
    return square


def _corner(frame: Box, box: Box, fitted: tuple[int, int], size: int) -> tuple[int, int]:
    """Returns the row and the column of the square at which a film of `fitted` pixels begins."""
    scale = size / max(frame.height, frame.width)
    top = (size - max(1, round(frame.height * scale))) // 2 + round((box.top - frame.top) * scale)
    left = (size - max(1, round(frame.width * scale))) // 2 + round((box.left - frame.left) * scale)
    return min(top, size - fitted[0]), min(left, size - fitted[1])

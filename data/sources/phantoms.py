"""Drawn hands as a source."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from data.domain import Value
from data.images.decoding import encode_png
from data.phantoms.drawing import draw_hand, plan_phantoms
from data.sources.item import Delivered, SourceItem
from data.sources.known_targets import AGE, SEX


def read_phantoms(count: int, seed: int = 0, size: int = 256) -> Iterator[SourceItem]:
    """Yields drawn hands whose age and sex are known, each drawn when it is read.

    See `data.phantoms.drawing`. Their stamp is name, seed and size: the same three draw the
    same film.
    """
    for name, truth, own in plan_phantoms(count, seed, size):
        values: dict[str, Value] = {AGE.name: truth.age_months, SEX.name: truth.sex}
        yield SourceItem(
            name,
            patient=f"{name} of {count}, seed {seed}",
            values=values,
            load=partial(_drawn, truth.age_months, truth.sex, own, size),
            stamp=f"{name}-{seed}-{size}",
        )


def _drawn(age_months: float, sex: str, seed: int, size: int) -> Delivered:
    return Delivered(encode_png(draw_hand(age_months, sex, seed, size)))

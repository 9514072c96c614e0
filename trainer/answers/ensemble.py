"""The members of an ensemble, as `TrainOptions.members` writes them."""

from __future__ import annotations

import re
from dataclasses import replace

from trainer.options import TrainOptions

_PARTS = re.compile(r"\s*([\w.]+)?\s*(?:@\s*(\d+))?\s*(?:#\s*(\d+))?\s*")


def members_of(options: TrainOptions) -> tuple[TrainOptions, ...]:
    """Returns the options of each member; of the one network where there is no ensemble.

    A member is written backbone@size#seed; a part that is left out is that of the options. Of
    another size, a member goes through no other sizes before.

    Raises:
        InvalidInputError: A member's options do not fit together.
    """
    if not options.members:
        return (options,)
    return tuple(_member(options, text) for text in options.members.split(","))


def _member(options: TrainOptions, text: str) -> TrainOptions:
    match = _PARTS.fullmatch(text)
    backbone, size, seed = match.groups() if match else (None, None, None)
    image_size = int(size) if size else options.image_size
    return replace(
        options,
        members="",
        backbone=backbone or options.backbone,
        image_size=image_size,
        sizes=options.sizes if image_size == options.image_size else "",
        seed=int(seed) if seed else options.seed,
    )

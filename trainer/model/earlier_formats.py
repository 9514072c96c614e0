"""Model folders that were written by earlier releases, read as if they were of today."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from data.images.preparation import Preparation

EARLIER = ("carpal-model-1",)

_HEAD = re.compile(r"heads\.(\d+)\.(weight|bias)")


def card_of_today(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the content of a `model.json` in the form of today.

    Models of the first form had one network, no known input and no bands of their own; the oldest
    of them were trained on films without their plain borders, and of those they are asked.
    """
    if content.get("format") not in EARLIER:
        return dict(content)
    content = _with_preparation(content)
    moved = ("norms", "preparation", "started_from", "history")
    calibration: dict[str, Any] = {"band_quantiles": {}, "lines": {}, "usual_distance": []}
    return {
        **{k: v for k, v in content.items() if k not in moved},
        "members": [{"options": content["options"], **{k: content[k] for k in moved}}],
        "input": None,
        "bands": [],
        "calibration": {**calibration, **content["calibration"]},
    }


def tensors_of_today(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a model's tensors by the names of today."""
    if all(name[0].isdigit() for name in tensors):
        return dict(tensors)
    return {"0." + _HEAD.sub(r"heads.\1.1.\2", name): value for name, value in tensors.items()}


def _with_preparation(content: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(content["preparation"], str):
        return dict(content)
    options = {"crop": "plain", **content["options"]}
    return {
        **content,
        "options": options,
        "preparation": Preparation(options["image_size"], "plain", exposure="as_is").to_json(),
        "preparation_code": content["preparation"],
    }

"""Lets torchvision, which timm imports, be imported beside a torch build that it was not made for.

PyPI's torchvision wheel is a CUDA build. Beside the CPU build of torch its compiled extension does
not load, and `import torchvision` then ends with "operator torchvision::nms does not exist",
because it registers shape rules for operators that the extension would have declared. Carpal uses
none of them, so declaring their schemas is enough. Where the extension loads, nothing is done.

Import this module before anything that imports timm, torchvision or lightning.
"""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

import torch

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
"""Schemas of torchvision/csrc/ops/nms.cpp and of its quantised sibling."""


def extension_loads() -> bool:
    """Whether torchvision's compiled operators are there (True if torchvision is not installed)."""
    spec = find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return True
    folder = Path(spec.submodule_search_locations[0])
    files = [folder / f"_C{suffix}" for suffix in EXTENSION_SUFFIXES]
    for file in files:
        if file.exists():
            try:
                torch.ops.load_library(str(file))  # type: ignore[no-untyped-call]
            except OSError:
                return False
            return True
    return False


def declare_missing_operators() -> torch.library.Library | None:
    """Declares the operators of a torchvision whose extension does not load.

    Returns:
        The library fragment: the declarations live as long as it does. None where none was needed.
    """
    if extension_loads():
        return None
    fragment = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema in SCHEMAS:
        fragment.define(schema)  # type: ignore[no-untyped-call]
    return fragment


FRAGMENT = declare_missing_operators()

"""Folders of hand masks, as they are published for a source: which file belongs to which film."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from data.sources.files import IMAGE_SUFFIXES, files_below

ENDINGS = ("_mask", "-mask")
"""Of a mask's file name, which the radiograph's own does not have."""


@dataclass(frozen=True, slots=True)
class MaskFile:
    """One file that should be a mask.

    Attributes:
        name: For reports: the folder and the path below it.
        path: Where it is read.
        folder: Number of its folder, in the order in which they were named.
        problem: Why it cannot be read; empty if it can.
        item_names: What the source may call the radiograph, the likeliest first.
    """

    name: str
    path: Path
    folder: int
    problem: str
    item_names: tuple[str, ...]


def read_masks(folders: Sequence[Path], source: str) -> Iterator[MaskFile]:
    """Yields the image files of several folders of masks, folder by folder.

    A mask has the name of its radiograph (`1377.png` that of `rsna-1377`), with whichever image
    extension, at any depth.

    Args:
        folders: Looked through in this order.
        source: Name of the source that the radiographs were imported from.

    Raises:
        NotFoundError: One of the folders does not exist.
        InvalidInputError: One of them cannot be read.
    """
    for number, folder in enumerate(folders):
        for file in files_below(folder):
            yield MaskFile(
                f"{folder.name}/{file.name}",
                file.path,
                number,
                file.problem,
                tuple(_item_names(PurePosixPath(file.name), source)),
            )


def _item_names(name: PurePosixPath, source: str) -> Iterator[str]:
    stem = name.stem
    for ending in ENDINGS:
        stem = stem.removesuffix(ending)
    yield f"{source}-{stem}"
    yield stem
    for place in dict.fromkeys((name.with_name(stem), PurePosixPath(stem))):
        yield place.as_posix()
        yield from (f"{place}{suffix}" for suffix in sorted(IMAGE_SUFFIXES))

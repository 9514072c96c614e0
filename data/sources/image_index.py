"""Finds the image that a table means, among those that were found in a folder."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath, PureWindowsPath

from data.errors import InvalidInputError, NotFoundError
from data.sources.files import FoundFile

SHOWN = 3
"""Images that a sentence names."""


class ImageIndex:
    """The images of a folder by their path, their name and their name without suffix.

    Tables are only ever compared with what was found; nothing that they say is opened.
    """

    def __init__(self, files: Iterable[FoundFile]) -> None:
        self._files: dict[str, list[FoundFile]] = defaultdict(list)
        for file in files:
            path = PurePosixPath(_same(file.name))
            spellings = {str(path), path.name, path.stem, str(path.with_suffix(""))}
            for spelling in spellings:
                self._files[spelling].append(file)

    def find(self, text: str, *, whole_path: bool = False) -> FoundFile:
        """Returns the image that a cell names.

        Args:
            text: Path below the folder, or as much of its end as is needed; the suffix may lack.
            whole_path: Only the path below the folder counts, not the end of a longer one.

        Raises:
            InvalidInputError: The path leaves the folder, or means several images.
            NotFoundError: There is no such image.
        """
        path = inner_path(text)
        found = self.candidates(path, whole_path=whole_path)
        if not found:
            raise NotFoundError(f"there is no image {path}.")
        return only_one(path, found)

    def candidates(
        self,
        path: str,
        *,
        whole_path: bool = False,
        wanted: Callable[[FoundFile], bool] = lambda file: True,
    ) -> list[FoundFile]:
        """Returns the images that a path may mean; an exact path means one.

        Args:
            path: As `inner_path` returns it.
            whole_path: See `find`.
            wanted: Leaves out images that cannot be meant.
        """
        path = _same(path)
        known = self._files.get(path, []) or self._by_end(path)
        found = [file for file in known if wanted(file)]
        exact = [file for file in found if _same(file.name) == path]
        if whole_path:
            found = [f for f in found if path in (_same(f.name), _without_suffix(f.name))]
        return exact or found

    def _by_end(self, path: str) -> list[FoundFile]:
        """Returns the images whose path ends with this one, or that this one ends with."""
        return [
            file
            for file in self._files.get(PurePosixPath(path).name, [])
            if _ends_with(_same(file.name), path) or _ends_with(path, _same(file.name))
        ]


def only_one(path: str, found: Sequence[FoundFile]) -> FoundFile:
    """Returns the image that was found.

    Args:
        path: As a table says it.
        found: What it may mean; at least one image.

    Raises:
        InvalidInputError: There are several.
    """
    if len(found) > 1:
        names = ", ".join(file.name for file in found[:SHOWN])
        raise InvalidInputError(f"{path} may be any of {len(found)} images: {names}.")
    return found[0]


def inner_path(text: str) -> str:
    """Returns a path of a table in one spelling: with `/`, without `./`.

    Raises:
        InvalidInputError: It is absolute or leads out of the folder, or there is none.
    """
    windows = PureWindowsPath(text)
    path = PurePosixPath(text if "/" in text else windows.as_posix())
    if path.is_absolute() or windows.drive or windows.root or ".." in path.parts:
        raise InvalidInputError(f"the path {text!r} leaves the folder.")
    if not path.parts:
        raise InvalidInputError("no image is named.")
    return str(path)


def _ends_with(path: str, end: str) -> bool:
    return path.endswith(f"/{end}") or _without_suffix(path).endswith(f"/{end}")


def _without_suffix(name: str) -> str:
    return str(PurePosixPath(_same(name)).with_suffix(""))


def _same(text: str) -> str:
    # The same name is stored composed or decomposed, depending on the system it comes from.
    return unicodedata.normalize("NFC", text)

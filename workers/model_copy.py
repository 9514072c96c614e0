"""A copy of a model folder at a place of the user's choice."""

from __future__ import annotations

import shutil
from pathlib import Path

from data.atomic import storage_error
from data.errors import InvalidInputError
from workers.model_folders import CARD


def require_room(out: Path) -> None:
    """Makes sure that `copy_model` may put a model at `out`: what is no model is never replaced.

    Raises:
        InvalidInputError: There is something else, or this process stands in it.
        StorageError: It cannot be looked at.
    """
    try:
        if Path.cwd().is_relative_to(out.resolve()):
            raise InvalidInputError(f"{out} is where this command runs: name a folder of its own.")
        taken = out.exists() and not (out / CARD).exists()
        if taken and (not out.is_dir() or any(out.iterdir())):
            raise InvalidInputError(f"{out} holds something else than a model.")
    except OSError as error:
        raise storage_error(error, out) from error


def copy_model(model: Path, out: Path) -> None:
    """Puts a copy of a model folder at `out`, wholly or not at all; a model there is replaced.

    Raises:
        InvalidInputError: As `require_room`.
        StorageError: The disk is full or the folder cannot be written.
    """
    require_room(out)
    out = out.resolve()  # Of a link, the folder is replaced.
    draft = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(model, draft)
        if out.exists():
            shutil.rmtree(out)
        draft.rename(out)
    except OSError as error:
        raise storage_error(error, out) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)

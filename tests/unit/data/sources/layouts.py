"""Folders of images and tables as sources find them, and what becomes of their items."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from data.sources.item import SourceItem
from tests.unit.data.dataset_cases import a_film, encoded


def write_image(path: Path, seed: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(a_film(seed=seed)))
    return path


def write_images(folder: Path, *names: str) -> Path:
    for seed, name in enumerate(names, start=1):
        write_image(folder / name, seed)
    return folder


def delivered(items: Iterable[SourceItem]) -> list[str]:
    return [item.name for item in items if not item.problem]


def problems(items: Iterable[SourceItem]) -> dict[str, str]:
    return {item.name: item.problem for item in items if item.problem}

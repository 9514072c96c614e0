"""Take hand masks into the workspace: find their radiographs, check them, keep them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal, Protocol

from data.domain import Radiograph
from data.errors import InvalidInputError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits, read_grey
from data.images.mask import agreed, hand_of
from data.importing.records import Origin
from data.masks import Kept, MaskStore, is_content_id
from data.sources.masks import MaskFile
from data.splits import origin_key

Choice = Literal["first", "consensus"]
"""Of several folders' masks of one film: the first folder's, or what at least half of them mark."""

LIKELY_NAMES = 2
"""Names by which a radiograph is looked for first; the others only where these are unknown."""
WINDOW = 256
"""Radiographs whose masks are on their way at a time."""


class OriginLedger(Protocol):
    """The part of the ledger that tells which radiograph a source's item became."""

    def origins(self, keys: Collection[str]) -> dict[str, Origin]:
        """See `Ledger.origins`."""

    def radiographs_among(self, radiograph_ids: Collection[str]) -> dict[str, Radiograph]:
        """See `Ledger.radiographs_among`."""


@dataclass(slots=True)
class MaskReport:
    """What became of the masks.

    Attributes:
        new: Radiographs that have a mask now and had none.
        known: Radiographs that had this very mask.
        replaced: Radiographs that had another mask.
        unknown: Names of the files that belong to no radiograph of the workspace.
        refused: (name, reason) of the files that are no usable mask.
    """

    new: int = 0
    known: int = 0
    replaced: int = 0
    unknown: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


def import_masks(
    files: Iterable[MaskFile],
    *,
    ledger: OriginLedger,
    store: MaskStore,
    source: str,
    salt: str,
    choice: Choice = "first",
    limits: ImageLimits = DEFAULT_LIMITS,
    on_refused: Callable[[str, str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> MaskReport:
    """Brings masks in; safe to repeat, and to go on with after it was killed.

    A file that is no usable mask is reported, and the rest goes on. With `first`, a radiograph
    whose mask in the first folder is refused takes that of the next one.

    Args:
        files: The masks, folder by folder.
        ledger: Knows the radiographs.
        store: Takes the masks.
        source: Name of the source that the radiographs were imported from.
        salt: The workspace's secret.
        choice: What is done where several folders have a mask of one film.
        limits: Largest mask that is read.
        on_refused: Told (name, reason) as soon as a file is refused.
        progress: Told (radiographs done, radiographs in all).

    Raises:
        InvalidInputError: The salt is empty.
        StorageError: The disk is full. What was brought in until then stays.
        LedgerError: The ledger cannot be read.
    """
    report = MaskReport()

    def refuse(name: str, reason: str) -> None:
        report.refused.append((name, reason))
        if on_refused is not None:
            on_refused(name, reason)

    by_radiograph = _by_radiograph(list(files), ledger, source, salt, report, refuse)
    known = ledger.radiographs_among(by_radiograph)
    jobs = [(known[key], masks) for key, masks in by_radiograph.items() if key in known]
    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        for start in range(0, len(jobs), WINDOW):
            window = jobs[start : start + WINDOW]
            for done in threads.map(
                lambda job: _take_in(job[0], job[1], store, choice, limits), window
            ):
                for name, reason in done.refused:
                    refuse(name, reason)
                report.new += done.kept is Kept.NEW
                report.known += done.kept is Kept.SAME
                report.replaced += done.kept is Kept.REPLACED
            if progress is not None:
                progress(start + len(window), len(jobs))
    return report


def _by_radiograph(
    files: Sequence[MaskFile],
    ledger: OriginLedger,
    source: str,
    salt: str,
    report: MaskReport,
    refuse: Callable[[str, str], None],
) -> dict[str, list[MaskFile]]:
    """Returns radiograph id -> its masks, in the order of the folders."""
    found = _radiographs(files, ledger, source, salt)
    grouped: dict[str, list[MaskFile]] = {}
    for file in files:
        key = found.get(file)
        if key is None:
            report.unknown.append(file.name)
        elif file.problem:
            refuse(file.name, file.problem)
        elif any(other.folder == file.folder for other in grouped.get(key, [])):
            refuse(file.name, "The folder holds another mask of the same radiograph.")
        else:
            grouped.setdefault(key, []).append(file)
    return grouped


def _radiographs(
    files: Sequence[MaskFile], ledger: OriginLedger, source: str, salt: str
) -> dict[MaskFile, str]:
    """Returns file -> radiograph id, for the files that belong to one."""
    stems = {file: PurePosixPath(file.name).stem for file in files}
    named = ledger.radiographs_among(set(filter(is_content_id, stems.values())))
    found = {file: stem for file, stem in stems.items() if stem in named}
    for likely in (slice(0, LIKELY_NAMES), slice(LIKELY_NAMES, None)):
        keys = {
            file: [origin_key(source, name, salt) for name in file.item_names[likely]]
            for file in files
            if file not in found
        }
        known = ledger.origins({key for several in keys.values() for key in several})
        for file, several in keys.items():
            origin = next((known[key] for key in several if key in known), None)
            if origin is not None:
                found[file] = origin.radiograph_id
    return found


@dataclass(slots=True)
class _Done:
    """What became of the masks of one radiograph."""

    kept: Kept | None = None
    refused: list[tuple[str, str]] = field(default_factory=list)


def _take_in(
    radiograph: Radiograph,
    files: Sequence[MaskFile],
    store: MaskStore,
    choice: Choice,
    limits: ImageLimits,
) -> _Done:
    done, hands, usable = _Done(), [], []
    for file in files:
        try:
            grey = read_grey(file.path, limits)
            hands.append(hand_of(grey, radiograph.height, radiograph.width))
            usable.append(file)
        except InvalidInputError as error:
            done.refused.append((file.name, str(error)))
        if hands and choice == "first":
            break
    if not hands:
        return done
    try:
        hand = agreed(hands)
    except InvalidInputError as error:
        done.refused += [(file.name, str(error)) for file in usable]
        return done
    done.kept = store.add(radiograph.id, hand)
    return done

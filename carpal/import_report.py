"""What an import says at its end, on the terminal and in the workspace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from rich.console import Console

from carpal.import_files import RefusedFile, imports_file, write_near_duplicates
from data.importing.items import ImportReport
from data.sources.files import printable
from workers.assembly import open_ledger
from workers.settings import Settings

SHOWN = 5
"""Refused or flagged radiographs that are named on the terminal; files name all."""


def say(sentence: str, console: Console) -> None:
    """Prints a sentence as it is: names in it are no markup, and what is no UTF-8 is escaped."""
    console.print(printable(sentence), markup=False, highlight=False, soft_wrap=True)


def tell_counts(report: ImportReport, refused: RefusedFile, console: Console) -> None:
    """Says how many were new, known and refused, and where the reasons are."""
    say(
        f"{report.new} new radiographs, {report.known} known already, "
        f"{len(report.refused)} refused.",
        console,
    )
    for name, reason in report.refused[:SHOWN]:
        say(f"  {name}: {reason}", console)
    if refused.rows:
        say(f"Refused, each with its reason: {refused.path}", console)
    if report.flagged:
        say(f"To be looked at: {len(report.flagged)}", console)
    for name, what in report.flagged[:SHOWN]:
        say(f"  {name}: {what}", console)


def tell_values(said: Counter[str], targets: Collection[str], console: Console) -> None:
    """Says how many items came with which value, and what the task has no target for.

    Args:
        said: Target name -> items of which the source says it.
        targets: Names of the task's targets.
        console: Where to.
    """
    asked = [f"{name} of {said[name]}" for name in targets if said[name]]
    others = sorted(said.keys() - set(targets))
    say(f"The source says {', '.join(asked) or 'nothing that the task asks for'}.", console)
    if others:
        say(
            f"It also says {' and '.join(others)}, which this workspace's task does not ask for: "
            "left out (CARPAL_TASK names the task).",
            console,
        )


def tell_near_duplicates(
    settings: Settings, source: str, report: ImportReport, console: Console
) -> None:
    """Says how many pairs look alike, and lists them in a file with their images.

    Raises:
        StorageError: The disk is full.
    """
    pairs = report.near_duplicates
    if not pairs:
        return
    with open_ledger(settings) as ledger:
        ids = {key for pair in pairs for key in (pair.one, pair.other)}
        there = ledger.radiographs_among(ids)
    images = {key: settings.pool / one.path for key, one in there.items()}
    path = imports_file(settings.home, source, "near-duplicates")
    rows = [(p.one, p.other, p.distance, images[p.one], images[p.other]) for p in pairs]
    write_near_duplicates(path, rows)
    say(f"{len(pairs)} pairs look alike; each is kept in one split: {path}", console)

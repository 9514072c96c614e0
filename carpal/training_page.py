"""What `carpal train` shows a person: progress, results, options."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from trainer.options import PROFILES, TrainOptions
from workers.experiment import Tried, Watcher

if TYPE_CHECKING:
    from trainer.fitting.course import EpochReport


class Board:
    """Shows an experiment's progress: a bar on a terminal, plain lines elsewhere.

    Args:
        progress: Shows the bar.
        console: Where plain lines are printed.
    """

    def __init__(self, progress: Progress, console: Console) -> None:
        self._progress, self._console = progress, console
        self._line = progress.add_task("Preparing", total=None, said="")
        self._networks = 0

    def begin(self) -> None:
        """Shows that there is something to wait for."""
        self._progress.start()

    def epoch(self, report: EpochReport) -> None:
        """Shows one epoch."""
        if report.epoch == 1 or self._networks == 0:
            self._networks += 1
        error = report.validation_error
        judged = "" if error is None else f", validation error {error:.2f}"
        said = f"loss {report.loss:.4f}{judged}"
        name = "Training" if self._networks == 1 else f"Training network {self._networks}"
        if self._console.is_terminal:
            self._progress.update(
                self._line,
                description=name,
                completed=report.epoch,
                total=report.epochs,
                said=said,
            )
        else:
            left = report.seconds / report.epoch * (report.epochs - report.epoch)
            text = f"{name}: epoch {report.epoch} of {report.epochs}, {said}, {left:.0f} s left"
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def predicting(self, done: int, every: int) -> None:
        """Shows how many test cases are answered."""
        if self._console.is_terminal:
            self._progress.update(
                self._line, description="Predicting", completed=done, total=every, said=""
            )


@contextmanager
def watching(level: str) -> Iterator[Watcher]:
    """Shows progress, and what is logged from `level` on, on the error stream."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    hidden = not console.is_terminal
    bar = Progress(*columns, console=console, disable=hidden, transient=True)
    handler = _Lines(console)
    handler.setLevel(level.upper())
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        board = Board(bar, console)
        yield Watcher(board.begin, board.epoch, board.predicting)
    finally:
        bar.stop()
        root.removeHandler(handler)


def show(tried: Tried, console: Console | None = None) -> None:
    """Prints what an experiment brought."""
    from carpal import evaluation_page

    console = console or Console()
    counts = ", ".join(f"{count} {use}" for use, count in tried.training["counts"].items())
    lines = [
        f"Experiment {tried.name}: {tried.model_version}, {counts}, "
        f"{tried.training['seconds']:.0f} s",
        f"Model: {tried.folder}",
        f"MLflow run: {tried.run_id}",
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if tried.judgement is not None:
        evaluation_page.show(tried.judgement, console)


def option_rows() -> list[dict[str, Any]]:
    """Returns every training option with its default and what it does."""
    return [
        {"option": item.name, "default": item.default, "what_it_does": item.metadata["help"]}
        for item in fields(TrainOptions)
    ]


def profile_rows() -> list[dict[str, Any]]:
    """Returns every profile with the sentence at its top."""
    return [
        {
            "profile": file.stem,
            "what_it_is_for": file.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# "),
        }
        for file in sorted(PROFILES.glob("*.yaml"))
    ]


class _Lines(logging.Handler):
    """Prints what is logged, one line each, beside the bar."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one record."""
        text = f"{record.levelname.lower()}: {record.getMessage()}"
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

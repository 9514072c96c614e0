"""`carpal status` shows sentences as they are, whatever they quote."""

from __future__ import annotations

import io
from datetime import UTC, datetime

from rich.console import Console

from carpal import status
from data.runs import Run, RunState
from workers.overview import LoopOverview

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def shown(view: LoopOverview) -> str:
    console = Console(file=io.StringIO(), width=200)
    status.show(view, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_what_looks_like_markup_is_printed_as_it_is() -> None:
    failed = Run("r0001", "labels", NOON, RunState.FAILED, error="No file [/data/x.png].")
    view = LoopOverview(
        radiographs={"train": 1},
        labelled=0,
        waiting=0,
        new_labels=0,
        training="Waits for [b] labels.",
        versions=[],
        runs=[failed],
        champion="",
        queues=None,
        attention=["Annotation 1:2 was not taken: age_months is '[/b]', which is not a number."],
    )

    text = shown(view)

    assert "Waits for [b] labels." in text
    assert "r0001: No file [/data/x.png]." in text
    assert "! Annotation 1:2 was not taken: age_months is '[/b]', which is not a number." in text


def test_the_newest_verdict_is_shown_also_while_the_next_training_runs() -> None:
    view = LoopOverview(
        radiographs={"train": 1},
        labelled=0,
        waiting=0,
        new_labels=0,
        training="Training r0003 is under way.",
        versions=[],
        runs=[
            Run("r0001", "labels", NOON, RunState.SUCCEEDED, reason="Older."),
            Run("r0002", "labels", NOON, RunState.SUCCEEDED, promoted=False, reason="Too weak."),
            Run("r0003", "labels", NOON, RunState.RUNNING, reason="50 new labels."),
        ],
        champion="",
        queues=None,
        attention=[],
    )

    text = shown(view)

    assert "r0002: Too weak.\nr0003: 50 new labels." in text
    assert "r0001: Older." not in text
    assert text.count("not promoted") == 1

"""`carpal demo` erases its workspace at the start, but never that of another demo."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from carpal import demo
from carpal.demo import LOCK, MARKER, DemoOptions, DemoSummary, Round, run_demo
from carpal.processes import only_one
from data.errors import InvalidInputError, StackError
from workers.settings import Settings


def test_a_second_demo_leaves_the_first_one_alone(tmp_workspace: Settings) -> None:
    running = tmp_workspace.home / "demo" / MARKER
    running.parent.mkdir()
    running.touch()

    with (
        only_one(tmp_workspace.home / LOCK, "The first demo"),
        pytest.raises(StackError, match=r"The demo of .* already runs \(process \d+\)"),
    ):
        run_demo(DemoOptions(), tmp_workspace)

    assert running.exists()


def test_a_plot_that_cannot_be_drawn_costs_no_summary(
    tmp_workspace: Settings, tmp_path: Path
) -> None:
    turn = Round("v0001", 120, "v0001-aaaaaaaa", 15.7, (13.5, 18.1), 54.1, True, "Better.", {})
    summary = DemoSummary([turn], 120, 120, 209.0)
    options = DemoOptions(json=tmp_path / "new" / "out.json", plot=tmp_path / "plot.xyz")

    with pytest.raises(InvalidInputError, match="must end with one of"):
        demo._report(options, tmp_workspace, summary, Console(file=StringIO()))

    told = json.loads((tmp_path / "new" / "out.json").read_text())
    assert told["rounds"][0]["mae_months"] == 15.7

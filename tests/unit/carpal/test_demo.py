"""`carpal demo` erases its workspace at the start, but never that of another demo."""

from __future__ import annotations

import pytest

from carpal.demo import LOCK, MARKER, DemoOptions, run_demo
from carpal.processes import only_one
from data.errors import StackError
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

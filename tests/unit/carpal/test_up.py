from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from carpal import up
from carpal.up import UpOptions
from data.errors import CarpalError
from workers.assembly import open_ledger
from workers.settings import Settings


def console(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=200)


def printed(to: Console) -> str:
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()


def pool_size(settings: Settings) -> int:
    with open_ledger(settings) as ledger:
        return len(ledger.radiographs())


def test_an_empty_pool_is_filled_with_phantoms(tmp_workspace: Settings) -> None:
    up._fill(UpOptions(phantoms=4), tmp_workspace, console())
    assert pool_size(tmp_workspace) == 4


def test_a_pool_that_has_radiographs_is_left_alone(tmp_workspace: Settings) -> None:
    up._fill(UpOptions(phantoms=4), tmp_workspace, console())
    up._fill(UpOptions(phantoms=9), tmp_workspace, console())
    assert pool_size(tmp_workspace) == 4


def test_whoever_wants_no_phantoms_gets_none(tmp_workspace: Settings) -> None:
    up._fill(UpOptions(phantoms=0), tmp_workspace, console())
    assert pool_size(tmp_workspace) == 0


def test_data_that_is_named_is_imported_instead_of_phantoms(
    tmp_workspace: Settings, tmp_path: Path
) -> None:
    with pytest.raises(CarpalError, match="none"):
        up._fill(UpOptions(data=tmp_path / "none"), tmp_workspace, console())
    assert pool_size(tmp_workspace) == 0


def test_the_password_is_printed_on_a_terminal(tmp_workspace: Settings) -> None:
    terminal = console(terminal=True)
    up._greet(tmp_workspace, terminal)
    assert tmp_workspace.label_studio_password in printed(terminal)


def test_the_password_does_not_get_into_a_log_file(tmp_workspace: Settings) -> None:
    log = console()
    up._greet(tmp_workspace, log)
    assert tmp_workspace.label_studio_password not in printed(log)
    assert str(tmp_workspace.home / "secrets.toml") in printed(log)


def test_the_greeting_names_both_pages(tmp_workspace: Settings) -> None:
    log = console()
    up._greet(tmp_workspace, log)
    assert f"Label at {tmp_workspace.label_studio} " in printed(log)
    assert f"What the loop is doing: {tmp_workspace.pages}\n" in printed(log)

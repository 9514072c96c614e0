"""What the commands share: the settings they work on and how they print results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from data.errors import NotFoundError
from workers.settings import Settings, ensure_secrets

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def settings_with_secrets() -> Settings:
    """Returns the settings of a workspace, which is made if there is none yet."""
    from workers.workspaces import remember_task

    ensure_secrets(Settings.load().home)
    settings = Settings.load()
    remember_task(settings)
    return settings


def settings_of_workspace() -> Settings:
    """Returns the settings of a workspace that exists.

    Raises:
        NotFoundError: There is none.
    """
    settings = Settings.load()
    if not settings.home.is_dir():
        raise NotFoundError(
            f"There is no workspace {settings.home}: 'carpal up' makes one, CARPAL_HOME names one."
        )
    return settings


def print_json(value: Any) -> None:
    """Prints a JSON value for a program to read."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_rows(rows: list[dict[str, Any]], as_json: bool, none: str) -> None:
    """Prints rows with equal keys as JSON or as a table; `none` where there are no rows."""
    if as_json:
        print_json(rows)
    elif rows:
        from rich.console import Console
        from rich.table import Table

        table = Table(*(name.replace("_", " ") for name in rows[0]), box=None)
        for row in rows:
            table.add_row(*(str(value) for value in row.values()))
        Console().print(table, markup=False)
    else:
        typer.echo(none)


@contextmanager
def watching(what: str) -> Iterator[Callable[[int, int], None]]:
    """Shows on a terminal, on standard error, how far something is; yields what is told.

    Args:
        what: What is done, in one word.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    hidden = not console.is_terminal
    with Progress(*columns, console=console, disable=hidden, transient=True) as bar:
        line = bar.add_task("", total=None)
        yield lambda done, every: bar.update(line, completed=done, total=every)

"""`carpal up`: brings the local stack up, fills an empty pool, joins it with Label Studio."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from carpal.filling import fill_pool, phantoms, progress_bar, rsna
from carpal.services import services, with_absolute_paths
from carpal.supervisor import Supervisor
from data.errors import StackError
from workers.assembly import open_ledger
from workers.bootstrap import connect
from workers.settings import SECRETS_FILE, Settings

NEEDED_FIRST = ("label-studio", "backend")
"""Services without which nobody can label; the others come up meanwhile."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What `carpal up` is asked for.

    Attributes:
        data: Folder in RSNA layout to import; None: none.
        phantoms: Phantoms that an empty pool is filled with if no data is named.
    """

    data: Path | None = None
    phantoms: int = 300


def up(options: UpOptions, settings: Settings, console: Console) -> None:
    """Runs the workbench until SIGINT or SIGTERM.

    Raises:
        InvalidInputError: The data folder is not one.
        StackError: A service cannot be started.
    """
    try:
        with stack(settings, console) as supervisor:
            _fill(options, settings, console)
            _wait_for_needed(supervisor)
            with progress_bar(console, "Tasks in Label Studio", 0) as advance_to:
                connect(settings, advance_to)
            _greet(settings, console)
            supervisor.wait()
            raise StackError("The stack has stopped by itself; the lines above say why.")
    except KeyboardInterrupt:
        console.print("Stopped.")


@contextmanager
def running_stack(settings: Settings, console: Console) -> Iterator[Supervisor]:
    """Runs the stack during the block, which begins once one could label.

    Raises:
        StackError: A service cannot be started.
    """
    with stack(settings, console) as supervisor:
        _wait_for_needed(supervisor)
        yield supervisor


@contextmanager
def stack(settings: Settings, console: Console) -> Iterator[Supervisor]:
    """Runs the stack during the block, which begins at once; a signal ends both.

    Raises:
        StackError: A port is taken, a program is missing, or the workspace is in use.
    """
    settings = with_absolute_paths(settings)

    def report(name: str, text: str) -> None:
        console.print(f"[bold]{name:>13}[/bold]  {escape(text)}", highlight=False, soft_wrap=True)

    supervisor = Supervisor(services(settings), settings.home, report)
    with supervisor.stopped_by_signals(), supervisor:
        try:
            yield supervisor
        except KeyboardInterrupt:
            console.print("Stopping (Ctrl-C again: at once)", highlight=False)
            raise


def _wait_for_needed(supervisor: Supervisor) -> None:
    supervisor.wait_ready(*(name for name in NEEDED_FIRST if name in supervisor.names))


def _fill(options: UpOptions, settings: Settings, console: Console) -> None:
    if options.data is not None:
        fill_pool(settings, rsna(options.data), console)
        return
    with open_ledger(settings) as ledger:
        empty = not ledger.radiographs()
    if empty and options.phantoms:
        fill_pool(settings, phantoms(options.phantoms), console)


def _greet(settings: Settings, console: Console) -> None:
    # A terminal forgets; a log file would keep the password.
    password = (
        settings.label_studio_password
        if console.is_terminal
        else f"label_studio_password in {settings.home / SECRETS_FILE}"
    )
    for line in (
        f"\nLabel at {settings.label_studio} (Ctrl-C stops everything)",
        f"  e-mail    {settings.label_studio_email}",
        f"  password  {password}",
        f"What the loop is doing: {settings.pages}",
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)

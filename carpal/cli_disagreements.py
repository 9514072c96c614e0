"""`carpal disagreements`: the radiographs that wait for an adjudicator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from carpal.cli_output import AsJson, print_json, settings_of_workspace

if TYPE_CHECKING:
    from rich.table import Table

    from data.domain import Reading
    from workers.adjudication import OpenDisagreement


def disagreements(as_json: AsJson = False) -> None:
    """List the radiographs whose readers are beyond tolerance, the widest spread first."""
    from workers.adjudication import open_disagreements
    from workers.assembly import open_ledger, task

    settings = settings_of_workspace()
    with open_ledger(settings) as ledger:
        found = open_disagreements(settings, ledger, task(settings))
    if as_json:
        print_json([_json(one) for one in found])
    elif not found:
        typer.echo("No radiograph waits for an adjudicator.")
    else:
        from rich.console import Console

        Console().print(_table(found), markup=False)
        link = next((one.link for one in found if one.link), "")
        if link:
            typer.echo(f"A task opens at {link.rpartition('=')[0]}=NUMBER.")
        waiting = "1 radiograph waits" if len(found) == 1 else f"{len(found)} radiographs wait"
        who = settings.adjudicators or "nobody: name somebody with CARPAL_ADJUDICATORS"
        typer.echo(f"{waiting} for an adjudicator ({who}).")


def _json(one: OpenDisagreement) -> dict[str, Any]:
    found = one.disagreement
    return {
        "radiograph": found.label.radiograph.id,
        "targets": list(found.targets),
        "spread": dict(found.spreads),
        "spread_in_tolerances": found.spread,
        "consensus": dict(found.label.values),
        "agreement": found.label.agreement,
        "readings": [
            {
                "reader": reading.reader,
                "values": dict(reading.values),
                "unreadable": reading.unreadable or None,
                "read_at": reading.read_at.isoformat(timespec="seconds"),
            }
            for reading in found.readings
        ],
        "task": one.task,
        "link": one.link or None,
    }


def _table(found: list[OpenDisagreement]) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("task", justify="right")
    table.add_column("radiograph", no_wrap=True)
    table.add_column("spread", no_wrap=True)
    table.add_column("readings")
    for one in found:
        disagreement = one.disagreement
        spreads = [f"{name} {spread:g}" for name, spread in disagreement.spreads.items()]
        choices = [name for name in disagreement.targets if name not in disagreement.spreads]
        table.add_row(
            "–" if one.task is None else str(one.task),
            disagreement.label.radiograph.id[:12],
            ", ".join([*spreads, *choices]),
            "\n".join(_said(reading, disagreement.targets) for reading in disagreement.readings),
        )
    return table


def _said(reading: Reading, targets: tuple[str, ...]) -> str:
    if reading.unreadable:
        return f"{reading.reader}: cannot be read ({reading.unreadable})"
    # Beside somebody who cannot read the film, all that the others read on it is of interest.
    names = [name for name in targets if name in reading.values] or list(reading.values)
    values = [reading.values[name] for name in names]
    said = ", ".join(value if isinstance(value, str) else f"{value:g}" for value in values)
    return f"{reading.reader}: {said or '–'}"

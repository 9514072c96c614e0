"""`carpal versions`: the dataset versions."""

from __future__ import annotations

import typer

from carpal.cli_output import AsJson, print_rows, settings_of_workspace

app = typer.Typer(help="Dataset versions.", no_args_is_help=True)


@app.command("list")
def list_versions(as_json: AsJson = False) -> None:
    """List the dataset versions, oldest first."""
    from workers.assembly import open_ledger

    with open_ledger(settings_of_workspace()) as ledger:
        found = ledger.versions()
    rows = [
        {
            "name": v.name,
            "labels": v.labels,
            "expert_labels": v.expert_labels,
            "committed_at": v.committed_at.isoformat(timespec="seconds"),
            "commit": v.commit,
        }
        for v in found
    ]
    print_rows(rows, as_json, "There is no dataset version yet.")

"""`carpal models`: the trained models, and which of them serves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from carpal.cli_output import AsJson, print_rows, settings_of_workspace

app = typer.Typer(help="Trained models.", no_args_is_help=True)

BY_HAND = "by hand"
Reason = Annotated[str, typer.Option(help="Why; goes into the ledger.")]


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the models, oldest first."""
    from workers.assembly import registry

    registered = registry(settings_of_workspace())
    roles = {"champion": registered.champion(), "challenger": registered.challenger()}
    rows = [
        {
            "number": model.number,
            "model": model.model_version,
            "role": ", ".join(role for role, holder in roles.items() if holder == model),
        }
        for model in reversed(registered.models())
    ]
    print_rows(rows, as_json, "There is no model yet.")


@app.command()
def export(
    model: Annotated[
        str, typer.Argument(help="champion, challenger, v0003-1a2b3c4d, or a model folder.")
    ],
    folder: Annotated[Path, typer.Argument(help="For the result; must not be there yet.")],
) -> None:
    """Write a folder that MLflow's server and MLServer run without Carpal."""
    from trainer.pyfunc.export import export as pyfunc_export
    from workers.model_folders import model_folder

    card = pyfunc_export(model_folder(settings_of_workspace(), model), folder)
    typer.echo(
        f"{card.model_version} is in {folder}: 'mlflow models serve -m {folder}' or "
        f"'mlserver start {folder}' answers with it."
    )


@app.command()
def promote(
    model: Annotated[str, typer.Argument(help="Version, such as v0003-1a2b3c4d.")],
    reason: Reason = BY_HAND,
) -> None:
    """Make a model champion by hand."""
    from workers import promotion
    from workers.assembly import open_ledger, registry

    settings = settings_of_workspace()
    with open_ledger(settings) as ledger:
        promotion.promote(settings, ledger, registry(settings), model, reason)
    typer.echo(f"{model} is champion.")


@app.command()
def rollback(
    reason: Reason = BY_HAND,
) -> None:
    """Make the previous champion champion again."""
    from workers import promotion
    from workers.assembly import open_ledger, registry

    settings = settings_of_workspace()
    with open_ledger(settings) as ledger:
        typer.echo(
            f"{promotion.rollback(settings, ledger, registry(settings), reason)} is champion."
        )

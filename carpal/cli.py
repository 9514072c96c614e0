"""The command line: each command parses, calls one function and prints what it returns.

What a command needs is imported inside it, so that `carpal --help` is there at once.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from carpal import (
    cli_disagreements,
    cli_evaluate,
    cli_import_dicom,  # noqa: F401  (adds its commands to cli_imports.app; so do the next two)
    cli_import_masks,  # noqa: F401
    cli_import_xnat,  # noqa: F401
    cli_imports,
    cli_models,
    cli_predict,
    cli_readers,
    cli_train,
    cli_versions,
)
from carpal.cli_output import AsJson, print_json, settings_of_workspace, settings_with_secrets
from data.errors import CarpalError
from data.sources.files import printable
from workers.settings import Settings

app = typer.Typer(
    name="carpal",
    help="Annotation and active-learning workbench for radiographs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_short=True,
    pretty_exceptions_show_locals=False,
)
app.add_typer(cli_imports.app, name="import")
app.add_typer(cli_versions.app, name="versions")
app.add_typer(cli_models.app, name="models")
app.add_typer(cli_readers.app, name="readers")


@app.command()
def up(
    data: Annotated[
        Path | None, typer.Option(help="Import this folder (RSNA bone age layout) first.")
    ] = None,
    phantoms: Annotated[
        int, typer.Option(min=0, help="Drawn hands to fill an empty pool with.")
    ] = 300,
) -> None:
    """Run the workbench until Ctrl-C."""
    from rich.console import Console

    from carpal import up as stack

    stack.up(stack.UpOptions(data, phantoms), settings_with_secrets(), Console())


@app.command()
def demo(
    data: Annotated[
        Path | None, typer.Option(help="Radiographs (RSNA bone age layout) instead of phantoms.")
    ] = None,
    pool: Annotated[
        int, typer.Option(min=0, help="Radiographs to import; 0: 600 phantoms or 2000 real ones.")
    ] = 0,
    rounds: Annotated[int, typer.Option(min=1, help="Trainings.")] = 3,
    seed_labels: Annotated[
        int, typer.Option(min=0, help="Labels before the first training; 0: 120, or 400 real.")
    ] = 0,
    labels_per_round: Annotated[
        int, typer.Option(min=0, help="Labels before each later one; 0: 60, or 100 real.")
    ] = 0,
    reader_sd: Annotated[
        float, typer.Option(min=0, help="Error of the simulated reader, months (SD).")
    ] = 3.0,
    backbone: Annotated[str, typer.Option(help="timm model; empty: the default.")] = "",
    image_size: Annotated[int, typer.Option(min=0, help="Pixels; 0: the default.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the choice and the reader's error.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="Write the plot here (PNG).")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the summary here.")
    ] = None,
    leave: Annotated[bool, typer.Option("--exit", help="Stop everything at the end.")] = False,
) -> None:
    """Run the whole loop with a simulated reader, in a workspace of its own."""
    from carpal.demo import DemoOptions, run_demo

    options = DemoOptions(
        data=data,
        pool=pool,
        rounds=rounds,
        seed_labels=seed_labels,
        labels_per_round=labels_per_round,
        reader_sd=reader_sd,
        backbone=backbone,
        image_size=image_size,
        json=json_file,
        plot=plot,
        exit=leave,
        seed=seed,
    )
    run_demo(options, Settings.load())


@app.command()
def connect() -> None:
    """Make or repair the Label Studio project; `carpal up` does this by itself."""
    from workers.bootstrap import connect as join

    settings = settings_with_secrets()
    project = join(settings)
    typer.echo(f"Project {project} at {settings.label_studio} is ready.")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Say what the loop is doing, and why it does or does not train."""
    from rich.console import Console

    from carpal import status as page
    from workers.assembly import open_ledger, task
    from workers.overview import gate_target, overview

    settings = settings_of_workspace()
    with open_ledger(settings) as ledger:
        view = overview(settings, ledger)
    if as_json:
        print_json(page.as_json(view))
    else:
        page.show(view, Console(), gate_target(task(settings)))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check this machine and say what to do about what is wrong."""
    from carpal.doctor import examine

    checks = examine()
    if as_json:
        print_json([{"name": c.name, "ok": c.ok, "said": c.said} for c in checks])
    else:
        for check in checks:
            typer.echo(f"{'ok   ' if check.ok else 'WRONG'}  {check.name}: {check.said}")
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


@app.command()
def extend(
    count: Annotated[int, typer.Argument(min=1, help="How many radiographs.")],
    from_labelled: Annotated[
        bool,
        typer.Option(
            "--from-labelled", help="Take them, with their values, out of a labelled source."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Choose the next radiographs and put them before the experts, or into the dataset."""
    from workers.assembly import open_ledger
    from workers.extending import extend_for_experts, extend_from_labelled, extension_sentence

    settings = settings_of_workspace()
    with open_ledger(settings) as ledger:
        if from_labelled:
            extension, committed = extend_from_labelled(settings, ledger, count)
        else:
            extension, committed = extend_for_experts(settings, ledger, count), None
    if as_json:
        version, branch = (committed.version.name, committed.branch) if committed else (None, "")
        print_json({**asdict(extension), "version": version, "branch": branch or None})
    else:
        typer.echo(extension_sentence(extension, committed))


@app.command()
def explain(
    prediction: Annotated[
        str, typer.Argument(help="Id of a prediction or a radiograph, or number of a task.")
    ],
    as_json: AsJson = False,
) -> None:
    """Say where a prediction comes from: model, dataset version, readers, image."""
    from rich.console import Console

    from carpal import lineage
    from workers import explaining
    from workers.assembly import dataset, open_ledger, task

    settings = settings_of_workspace()
    with open_ledger(settings) as ledger:
        found = explaining.find_prediction(ledger, prediction)
        told = explaining.explain(ledger, dataset(settings, task(settings)), found)
    if as_json:
        print_json(explaining.as_json(told))
    else:
        lineage.show(told, Console())


app.command()(cli_disagreements.disagreements)
app.command()(cli_evaluate.evaluate)
app.command()(cli_predict.predict)
app.command()(cli_train.train)


def main() -> None:
    """Runs the command line; a `CarpalError` becomes one line and its exit status."""
    try:
        app()
    except CarpalError as error:
        typer.echo(f"carpal: {printable(str(error))}", err=True)
        sys.exit(error.exit_status)

"""`carpal train`: ask the loop for a training, or try something out here."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from carpal.cli_output import AsJson, print_json, print_rows, settings_of_workspace
from data.errors import InvalidInputError, UnknownOptionError

STOPPED = 130
"""Exit status after Ctrl-C, as shells have it."""


class Level(StrEnum):
    """How much the log tells."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def train(
    override: Annotated[
        str,
        typer.Option(
            metavar="REASON",
            help="Train although the dataset repository is dirty or unpushed; recorded.",
        ),
    ] = "",
    version: Annotated[
        str, typer.Option(metavar="V", help="Dataset version, such as v0007; default: the newest.")
    ] = "",
    config: Annotated[
        str, typer.Option(metavar="FILE|PROFILE", help="Options; see --profiles.")
    ] = "",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="One option; repeatable."),
    ] = None,
    members: Annotated[
        str, typer.Option(metavar="TEXT", help="Ensemble: 'resnet18@160#0, resnet26d@192#1'.")
    ] = "",
    weights: Annotated[
        str, typer.Option(metavar="FILE", help="First weights of the backbone.")
    ] = "",
    name: Annotated[str, typer.Option(help="Of the experiment.")] = "",
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Put the model folder here, too.")
    ] = None,
    log_level: Annotated[
        Level | None, typer.Option(help="What terminal and log file tell.")
    ] = None,
    list_options: Annotated[
        bool, typer.Option("--list-options", help="Print every training option.")
    ] = False,
    profiles: Annotated[
        bool, typer.Option("--profiles", help="Print the sets of options that come along.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask the loop for a training; with any other option: train a model here, aside from it."""
    if list_options or profiles:
        _list(list_options, as_json)
    elif any((version, config, changes, members, weights, name, out, log_level)):
        given = {
            **({"members": members} if members else {}),
            **({"weights": weights, "start": "file"} if weights else {}),
            **settings_given(changes or []),
        }
        _experiment(override, version, config, given, name, out, log_level, as_json)
    else:
        _ask(override, as_json)


def settings_given(texts: list[str]) -> dict[str, str]:
    """Returns option -> value of texts such as `epochs=3`.

    Raises:
        InvalidInputError: A text has another form.
    """
    given = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise InvalidInputError(f"--set {text!r} must be written name=value.")
        given[name.strip()] = value.strip()
    return given


def _ask(override: str, as_json: bool) -> None:
    from workers.assembly import open_ledger
    from workers.scheduling import request_training

    settings = settings_of_workspace()
    with open_ledger(settings) as ledger:
        who = settings.label_studio_email
        reason = request_training(settings, ledger, who, override=override).reason
    if as_json:
        print_json({"said": reason})
    else:
        typer.echo(reason)


def _list(options: bool, as_json: bool) -> None:
    from carpal.training_page import option_rows, profile_rows

    print_rows(option_rows() if options else profile_rows(), as_json, "There are none.")


def _experiment(
    override: str,
    version: str,
    config: str,
    given: dict[str, str],
    name: str,
    out: Path | None,
    level: Level | None,
    as_json: bool,
) -> None:
    from carpal import training_page
    from data.versions.names import LATEST
    from workers.experiment import Plan, try_out

    settings = settings_of_workspace()
    plan = Plan(version or LATEST, config, given, name, out, override, level or Level.INFO)
    try:
        with training_page.watching(level or Level.WARNING) as watcher:
            tried = try_out(settings, plan, watcher)
    except KeyboardInterrupt:
        typer.echo("carpal: stopped; the same command goes on from the last checkpoint.", err=True)
        raise typer.Exit(STOPPED) from None
    except UnknownOptionError as error:
        told = f"{error} 'carpal train --list-options' prints them all."
        raise UnknownOptionError(told) from error
    if tried is None:
        return
    if as_json:
        print_json(tried.to_json())
    else:
        training_page.show(tried)

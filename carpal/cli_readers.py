"""`carpal readers`: the accounts with which readers sign in."""

from __future__ import annotations

from typing import Annotated

import typer

from carpal.cli_output import AsJson, print_json, print_rows, settings_of_workspace
from data.errors import InvalidInputError

app = typer.Typer(help="Accounts of the readers.", no_args_is_help=True)

Email = Annotated[str, typer.Argument(help="The reader's e-mail address.")]


@app.command()
def add(
    email: Email,
    name: Annotated[str, typer.Option(help="First and last name.")] = "",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
) -> None:
    """Make an account that can sign in; its password is shown once."""
    from carpal.reader_accounts import add_reader, new_password

    settings = settings_of_workspace()
    password = _password_from_stdin() if password_stdin else new_password()
    again = add_reader(settings, email, password, name)
    said = "can sign in again" if again else "can sign in"
    typer.echo(f"{email.strip()} {said} at {settings.label_studio}.")
    if not password_stdin:
        typer.echo(f"Password, shown this once: {password}")


@app.command("list")
def list_readers(as_json: AsJson = False) -> None:
    """List the accounts and what each has labelled."""
    from carpal.reader_accounts import reader_accounts
    from workers.assembly import open_ledger

    settings = settings_of_workspace()
    with open_ledger(settings) as ledger:
        found = reader_accounts(settings, ledger.readings())
    rows = [
        {
            "email": one.email,
            "name": one.name,
            "active": one.active,
            "labels": one.labels,
            "last_label": one.last_label and one.last_label.isoformat(timespec="seconds"),
        }
        for one in found
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        row["active"] = "yes" if row["active"] else "no"
        row["last_label"] = str(row["last_label"] or "–").replace("T", " ").removesuffix("+00:00")
    print_rows(rows, as_json=False, none="There is no account yet.")


@app.command()
def disable(email: Email) -> None:
    """End the access of an account; its labels stay."""
    from carpal.reader_accounts import disable_reader

    was_active = disable_reader(settings_of_workspace(), email)
    said = "can no longer sign in" if was_active else "could not sign in any more"
    typer.echo(f"{email.strip()} {said}; the labels stay.")


def _password_from_stdin() -> str:
    """Returns the first line of standard input.

    Raises:
        InvalidInputError: There is none.
    """
    line = typer.get_text_stream("stdin").readline().rstrip("\r\n")
    if not line:
        raise InvalidInputError("Standard input holds no password.")
    return line

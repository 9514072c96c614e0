"""Accounts are made where sign-up is closed, and no password is left lying about."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from carpal.cli_readers import app
from carpal.reader_accounts import add_reader
from data.errors import CarpalError, InvalidInputError, NotFoundError, StackError
from data.ledger.ledger import Ledger
from tests.unit.data.dataset_cases import a_radiograph, a_reading
from workers.settings import Settings

ADMIN = "admin@carpal.example.org"
FAKE_PYTHON = """#!{python}
import json, pathlib, sys
told = json.load(sys.stdin)
folder = pathlib.Path({folder!r})
log = folder / "told.jsonl"
log.write_text((log.read_text() if log.exists() else "") + json.dumps([sys.argv[1:], told]) + "\\n")
print("=> Database and media directory: somewhere")
print((folder / (told["action"] + ".json")).read_text())
"""
"""Stands for the Python of Label Studio's environment, and notes what it was told."""


class FakeAccounts:
    """A Label Studio whose answers are given, and what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "python"
        self.python.write_text(FAKE_PYTHON.format(python=sys.executable, folder=str(folder)))
        self.python.chmod(0o755)

    def answer(self, action: str, **said: Any) -> None:
        (self.folder / f"{action}.json").write_text(json.dumps(said))

    @property
    def told(self) -> list[dict[str, Any]]:
        lines = (self.folder / "told.jsonl").read_text().splitlines()
        return [json.loads(line)[1] for line in lines]


@pytest.fixture
def accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeAccounts:
    home = tmp_path / "workspace"
    (home / "label-studio").mkdir(parents=True)
    (home / "label-studio" / "label_studio.sqlite3").touch()
    fake = FakeAccounts(tmp_path)
    monkeypatch.setenv("CARPAL_HOME", str(home))
    monkeypatch.setenv("CARPAL_LABEL_STUDIO_PYTHON", str(fake.python))
    monkeypatch.setenv("CARPAL_LABEL_STUDIO_PORT", "8123")
    fake.answer(
        "list",
        accounts=[
            {"email": ADMIN, "first_name": "", "last_name": "", "is_active": True},
            {"email": "ada@x.org", "first_name": "Ada", "last_name": "B", "is_active": False},
        ],
    )
    return fake


def run(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=typed)


def refused(*arguments: str, typed: str | None = None) -> str:
    """Returns why a command refused."""
    result = run(*arguments, typed=typed)
    assert isinstance(result.exception, CarpalError), result.output
    return str(result.exception)


def test_a_new_reader_is_told_where_to_sign_in_and_a_password_once(
    accounts: FakeAccounts,
) -> None:
    accounts.answer("add", again=False)

    said = run("add", "Ada.B@X.org", "--name", "Ada van Berg").output

    (told,) = accounts.told
    assert "can sign in at http://localhost:8123." in said
    assert said.count(told["password"]) == 1
    assert len(told["password"]) == 16
    assert (told["email"], told["first_name"], told["last_name"]) == (
        *("ada.b@x.org", "Ada van", "Berg"),
    )


def test_two_generated_passwords_differ(accounts: FakeAccounts) -> None:
    accounts.answer("add", again=False)
    run("add", "ada@x.org")
    run("add", "bob@x.org")

    one, other = accounts.told
    assert one["password"] != other["password"]


def test_a_password_from_standard_input_is_used_and_never_shown(accounts: FakeAccounts) -> None:
    accounts.answer("add", again=False)

    said = run("add", "ada@x.org", "--password-stdin", typed="quiet words\nand more\n").output

    assert accounts.told[0]["password"] == "quiet words"
    assert "quiet" not in said


def test_no_password_stands_on_a_command_line(accounts: FakeAccounts) -> None:
    accounts.answer("add", again=False)
    run("add", "ada@x.org", "--password-stdin", typed="quiet words\n")

    arguments, _ = json.loads((accounts.folder / "told.jsonl").read_text())
    assert "quiet words" not in " ".join(arguments)


def test_a_disabled_reader_may_come_back(accounts: FakeAccounts) -> None:
    accounts.answer("add", again=True)

    assert "ada@x.org can sign in again" in run("add", "ada@x.org").output


def test_an_address_that_has_an_account_is_refused(accounts: FakeAccounts) -> None:
    accounts.answer("add", refused="exists")

    assert refused("add", "Ada@x.org").startswith("ada@x.org has an account already")


@pytest.mark.parametrize(
    "email", ["", "ada", "ada@", "ada@x", "a b@x.org", "<ada@x.org>", "a@" * 9]
)
def test_what_is_no_address_is_refused(accounts: FakeAccounts, email: str) -> None:
    assert "is no e-mail address" in refused("add", email)


@pytest.mark.parametrize(
    ("typed", "said"),
    [("", "holds no password"), ("1234567\n", "8 to 128 characters"), ("x" * 129, "8 to 128")],
    ids=["nothing", "too short", "too long"],
)
def test_a_password_that_cannot_be_one_is_refused(
    accounts: FakeAccounts, typed: str, said: str
) -> None:
    assert said in refused("add", "ada@x.org", "--password-stdin", typed=typed)


def test_a_disabled_reader_keeps_the_labels(accounts: FakeAccounts) -> None:
    accounts.answer("disable", disabled=1)

    assert (
        run("disable", "Ada@x.org").output == "Ada@x.org can no longer sign in; the labels stay.\n"
    )
    assert accounts.told == [{"action": "disable", "email": "ada@x.org"}]


def test_disabling_twice_says_so(accounts: FakeAccounts) -> None:
    accounts.answer("disable", disabled=0)

    assert "could not sign in any more" in run("disable", "ada@x.org").output


def test_an_account_that_is_not_there_cannot_be_disabled(accounts: FakeAccounts) -> None:
    accounts.answer("disable", disabled=0)

    result = run("disable", "eve@x.org")

    assert isinstance(result.exception, NotFoundError)


def test_our_own_account_cannot_be_disabled(accounts: FakeAccounts) -> None:
    assert "the account that Carpal itself works with" in refused("disable", ADMIN.upper())


def test_the_list_says_who_labelled_how_much_and_when(accounts: FakeAccounts) -> None:
    with Ledger.open(Settings.load().ledger) as ledger:
        ledger.add_radiographs([a_radiograph(number) for number in (1, 2, 3)])
        ledger.record_readings(
            [
                a_reading("Ada@x.org", 1, minute=1, age_months=100.0),
                replace(a_reading("ada@x.org", 2, minute=5), unreadable="exposure"),
                a_reading("ada@x.org", 3, minute=9, withdrawn=True),
            ]
        )

    rows = json.loads(run("list", "--json").output)
    table = run("list").output

    assert rows[0] == {
        **{"email": ADMIN, "name": "", "active": True, "labels": 0},
        "last_label": None,
    }
    assert rows[1] == {
        **{"email": "ada@x.org", "name": "Ada B", "active": False, "labels": 2},
        "last_label": "2026-03-01T12:05:00+00:00",
    }
    assert ["ada@x.org", "Ada", "B", "no", "2", "2026-03-01", "12:05:00"] in [
        line.split() for line in table.splitlines()
    ]


def test_the_accounts_of_another_label_studio_are_made_there(
    accounts: FakeAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARPAL_LABEL_STUDIO_URL", "https://studio.example.org")

    said = refused("add", "ada@x.org")

    assert said.startswith("The accounts of https://studio.example.org are made there")


def test_a_workspace_that_was_never_started_has_no_accounts(accounts: FakeAccounts) -> None:
    (Settings.load().home / "label-studio" / "label_studio.sqlite3").unlink()

    assert "has never been started" in refused("add", "ada@x.org")


BROKEN: dict[str, Callable[[Path], object]] = {
    "it fails": lambda python: python.write_text(
        f"#!{sys.executable}\nraise SystemExit('no disk')"
    ),
    "it says nothing": lambda python: python.write_text(f"#!{sys.executable}\n"),
    "it is not there": lambda python: python.unlink(),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_label_studio_that_does_not_answer_is_named(
    accounts: FakeAccounts, broken: Callable[[Path], object]
) -> None:
    broken(accounts.python)

    with pytest.raises(StackError) as caught:
        add_reader(Settings.load(), "ada@x.org", "quiet words")

    assert "quiet words" not in str(caught.value)


def test_a_mistake_is_told_before_label_studio_is_asked(accounts: FakeAccounts) -> None:
    with pytest.raises(InvalidInputError):
        add_reader(Settings.load(), "no address", "quiet words")

    assert not (accounts.folder / "told.jsonl").exists()

"""The accounts with which readers sign in to the stack's own Label Studio.

Sign-up stays closed: whoever runs the workbench makes the accounts. They are made in Label
Studio's own environment (`accounts_in_django.py`), whether it is running or not.
"""

from __future__ import annotations

import json
import re
import secrets
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from carpal.label_studio import DATABASE, environment
from carpal.services import with_absolute_paths
from data.domain import Reading
from data.errors import InvalidInputError, NotFoundError, StackError
from workers.settings import Settings

SCRIPT = Path(__file__).with_name("accounts_in_django.py")
TIMEOUT_S = 120.0
"""Bounds one question; measured: 4 s on an idle core, most of it imports."""
PASSWORD_BYTES = 12
"""Randomness of a password that is generated; 16 letters."""
SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 128
_EMAIL = re.compile(r"[^@\s,;\"<>()]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
LONGEST_EMAIL = 254


@dataclass(frozen=True, slots=True)
class ReaderAccount:
    """Who can sign in, and what they have done.

    Attributes:
        email: Names the reader in labels and versions.
        name: First and last name; empty: none was given.
        active: Can sign in.
        labels: Radiographs that the reader has read, or said that they cannot be read.
        last_label: When the latest of these was submitted or changed, UTC; None: there is none.
    """

    email: str
    name: str
    active: bool
    labels: int
    last_label: datetime | None


def new_password() -> str:
    """Returns a password that nobody has to remember for long."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def add_reader(settings: Settings, email: str, password: str, name: str = "") -> bool:
    """Makes an account, or lets a disabled one sign in again with a new password.

    Returns:
        Whether the account was there, disabled.

    Raises:
        InvalidInputError: The address or the password cannot be one, or the account exists.
        StackError: Label Studio is not the stack's own, or was never started.
    """
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise InvalidInputError(
            f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters."
        )
    first, _, last = " ".join(name.split()).rpartition(" ")
    told = {
        "email": _checked(email),
        "password": password,
        "first_name": first or last,
        "last_name": last if first else "",
        "own": settings.label_studio_email,
    }
    answer = _ask(settings, "add", told)
    if answer.get("refused"):
        raise InvalidInputError(
            f"{told['email']} has an account already: 'carpal readers list' shows all. A forgotten "
            "password: disable the account, then add it again."
        )
    return bool(answer["again"])


def disable_reader(settings: Settings, email: str) -> bool:
    """Ends the access of an account; its labels stay.

    Returns:
        Whether it could sign in until now.

    Raises:
        InvalidInputError: It is the account that Carpal itself works with.
        NotFoundError: There is no such account.
        StackError: Label Studio is not the stack's own, or was never started.
    """
    address = _checked(email)
    if address == settings.label_studio_email.casefold():
        raise InvalidInputError(
            f"{address} is the account that Carpal itself works with: it cannot be disabled."
        )
    if bool(_ask(settings, "disable", {"email": address})["disabled"]):
        return True
    if address not in {row["email"].casefold() for row in _accounts(settings)}:
        raise NotFoundError(f"No account has the address {address}: 'carpal readers list'.")
    return False


def reader_accounts(settings: Settings, readings: Iterable[Reading]) -> list[ReaderAccount]:
    """Returns all accounts, the oldest first.

    Args:
        settings: Of the workspace.
        readings: The live readings of the ledger.

    Raises:
        StackError: Label Studio is not the stack's own, or was never started.
    """
    times: dict[str, list[datetime]] = {}
    for reading in readings:
        if reading.annotation:
            times.setdefault(reading.reader.casefold(), []).append(reading.read_at)
    return [
        ReaderAccount(
            email=row["email"],
            name=f"{row['first_name']} {row['last_name']}".strip(),
            active=row["is_active"],
            labels=len(times.get(row["email"].casefold(), ())),
            last_label=max(times.get(row["email"].casefold(), ()), default=None),
        )
        for row in _accounts(settings)
    ]


def _accounts(settings: Settings) -> list[dict[str, Any]]:
    return list(_ask(settings, "list", {})["accounts"])


def _checked(email: str) -> str:
    """Returns the address as it is stored: Label Studio compares letters, people do not."""
    address = email.strip().casefold()
    if not _EMAIL.fullmatch(address) or len(address) > LONGEST_EMAIL:
        raise InvalidInputError(f"{email[:80]!r} is no e-mail address.")
    return address


def _ask(settings: Settings, action: str, told: dict[str, Any]) -> dict[str, Any]:
    settings = with_absolute_paths(settings)
    if settings.label_studio_url:
        raise StackError(
            f"The accounts of {settings.label_studio_url} are made there (Organization, Invite "
            "People): from here only those of the stack's own Label Studio can be changed."
        )
    if not (settings.home / "label-studio" / DATABASE).exists():
        raise StackError(
            "This workspace's Label Studio has never been started: 'carpal up' does it once."
        )
    command = [str(settings.label_studio_python), "-P", str(SCRIPT)]
    try:
        done = subprocess.run(
            command,
            input=json.dumps({"action": action, **told}),
            env=environment(settings),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.CalledProcessError as error:
        last = (error.stderr or "").strip().splitlines()[-1:] or ["it said nothing"]
        raise StackError(f"Label Studio cannot change its accounts: {last[0]}.") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackError(f"{command[0]} cannot be run: {type(error).__name__}.") from error
    except (IndexError, ValueError) as error:
        raise StackError("Label Studio did not say what became of the account.") from error
    return answer

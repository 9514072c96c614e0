"""What the Python of Label Studio's own environment is told to do with accounts.

This file is run there, by its path; it imports nothing of Carpal. It reads one JSON object from
standard input (no secret ever stands on a command line) and answers with one line of JSON.
Label Studio's API cannot do this: it ignores a password and leaves an account without organisation.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def add(told: dict[str, Any], users: Any) -> dict[str, Any]:
    """Makes an account that can sign in, or lets one sign in again that was disabled."""
    user = users.filter(email__iexact=told["email"]).first()
    if user is not None and user.is_active:
        return {"refused": "exists"}
    again = user is not None
    if user is None:
        user = users.create_user(told["email"])
    user.first_name, user.last_name = told["first_name"], told["last_name"]
    user.username = user.username or told["email"]
    user.is_active = True
    organisation = users.get(email__iexact=told["own"]).active_organization
    organisation.add_user(user)
    user.active_organization = organisation
    user.set_password(told["password"])
    user.save()
    return {"again": again}


def disable(told: dict[str, Any], users: Any) -> dict[str, Any]:
    """Ends an account's access, also where it is signed in; everything it made stays."""
    changed = users.filter(email__iexact=told["email"], is_active=True).update(is_active=False)
    return {"disabled": changed}


def accounts(told: dict[str, Any], users: Any) -> dict[str, Any]:
    """Lists the accounts."""
    rows = users.order_by("id").values("email", "first_name", "last_name", "is_active")
    return {"accounts": list(rows)}


ACTIONS = {"add": add, "disable": disable, "list": accounts}


def main() -> None:
    """Answers one question."""
    told = json.load(sys.stdin)
    from label_studio import server  # type: ignore[import-not-found, unused-ignore]

    server._setup_env()
    from django.db import transaction  # type: ignore[import-untyped, import-not-found, unused-ignore]
    from users.models import User  # type: ignore[import-not-found, unused-ignore]

    with transaction.atomic():
        answer = ACTIONS[told["action"]](told, User.objects)
    # Label Studio itself prints lines while it is loaded.
    print(json.dumps(answer))  # noqa: T201


if __name__ == "__main__":
    main()

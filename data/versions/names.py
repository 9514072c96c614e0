"""What people may call a dataset version."""

from __future__ import annotations

import re
from collections.abc import Sequence

from data.errors import NotFoundError

LATEST = "latest"
_NAME = re.compile(r"v?(\d{1,9})", re.ASCII | re.IGNORECASE)


def resolve_version(said: str, known: Sequence[str]) -> str:
    """Returns the name of the version that somebody means.

    Args:
        said: `v0007`, `v7`, `7` or `latest`.
        known: Names of all versions, oldest first.

    Raises:
        NotFoundError: There is no such version; the sentence names those there are.
    """
    if not known:
        raise NotFoundError("There is no dataset version yet.")
    if said.lower() == LATEST:
        return known[-1]
    match = _NAME.fullmatch(said)
    name = f"v{int(match.group(1)):04d}" if match else said
    if name not in known:
        raise NotFoundError(f"There is no dataset version {said!r}: {_known(known)}.")
    return name


def _known(known: Sequence[str]) -> str:
    if len(known) == 1:
        return f"{known[0]} is the only one"
    if len(known) <= 5:
        return f"there are {', '.join(known)}"
    return f"there are {len(known)}, {known[0]} to {known[-1]}"

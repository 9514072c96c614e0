"""What people and scripts write for a choice: `F`, `male`."""

from __future__ import annotations

from data.domain import TaskSpec
from data.errors import InvalidInputError

MAX_QUOTED_CHARS = 40
"""Longest part of a word that an error quotes."""


def choice_named(spec: TaskSpec, name: str, text: str) -> str | None:
    """Returns the choice that a text means: its name or first letter, in any case.

    Args:
        spec: The task.
        name: A choice target, such as `sex`.
        text: Such as `F` or `female`; empty: nothing is said.

    Raises:
        InvalidInputError: It means none of the choices.
    """
    said = text.strip().lower()
    if not said:
        return None
    choices = spec.target(name).choices
    for choice in choices:
        if said == choice.lower() or (len(said) == 1 and choice.lower().startswith(said)):
            return choice
    offered = ", ".join(word for choice in choices for word in (choice[:1], choice))
    raise InvalidInputError(f"{name} must be one of {offered}, not {text[:MAX_QUOTED_CHARS]!r}.")

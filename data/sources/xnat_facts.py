"""What XNAT says of a subject and a session beside the images: custom variables, demographics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from data.domain import Target, Value
from data.sources.cells import Columns
from data.sources.xnat_server import XnatServer

CUSTOM = "fields/field"
"""Where XNAT's JSON keeps the custom variables of an item."""
DEMOGRAPHICS = "demographics"
_UNKNOWN = frozenset({"", "unknown", "other", "not specified"})
"""What XNAT's own forms offer for a sex that nobody knows."""


class XnatFacts:
    """Looks up the values of targets; asks the server only if there are columns.

    Args:
        server: Where they are kept.
        targets: Of the task.
        columns: Which custom variable or demographic field tells which target.

    Raises:
        InvalidInputError: The task has no such target or choice.
    """

    def __init__(self, server: XnatServer, targets: Iterable[Target], columns: Columns) -> None:
        known = {target.name: target for target in targets}
        columns.check(known.values())
        self._server = server
        self._columns = columns
        self._fields = {known[name]: field.lower() for name, field in columns.targets.items()}
        self._subject: tuple[str, Mapping[str, str]] = ("", {})

    def values(self, subject: str, session: str) -> dict[str, Value]:
        """Returns target name -> value; what is not known is absent.

        A custom variable of the session comes before one of the subject, and that before the
        subject's demographics.

        Args:
            subject: XNAT's id, as in `XNAT_S00001`.
            session: XNAT's id, as in `XNAT_E00001`.

        Raises:
            InvalidInputError: A value is not one of its target.
        """
        if not self._fields:
            return {}
        told = {**self._of_subject(subject), **self._told("experiments", session, CUSTOM)}
        return {
            target.name: self._columns.value(target, field, text)
            for target, field in self._fields.items()
            if (text := told.get(field, "").strip()).lower() not in _UNKNOWN
        }

    def _of_subject(self, subject: str) -> Mapping[str, str]:
        if self._subject[0] != subject:
            self._subject = subject, self._told("subjects", subject, DEMOGRAPHICS, CUSTOM)
        return self._subject[1]

    def _told(self, kind: str, number: str, *fields: str) -> dict[str, str]:
        children = self._server.record(f"/data/{kind}/{quote(number, safe='')}").get("children")
        found: dict[str, str] = {}
        for field in fields:
            for child in children if isinstance(children, list) else ():
                if isinstance(child, dict) and child.get("field") == field:
                    found |= _facts(child, named=field == CUSTOM)
        return found


def _facts(child: Mapping[str, Any], named: bool) -> dict[str, str]:
    """Returns field -> text; a custom variable is an item of its own with `name` and `field`."""
    found: dict[str, str] = {}
    for item in child.get("items") or ():
        facts = item.get("data_fields") or {}
        told = {facts.get("name", ""): facts.get("field", "")} if named else facts
        found |= {str(name).lower(): str(text) for name, text in told.items()}
    return found

"""The two versions that somebody wants to hold against each other."""

from __future__ import annotations

from dataclasses import dataclass

from data.errors import NotFoundError
from data.versions.draft import LABELS, no_tables
from data.versions.git_calls import Git
from data.versions.history import VersionHistory
from data.versions.names import resolve_version
from data.versions.proposals import open_proposal
from data.versions.table import LabelTable

PROPOSAL = "proposal"
"""What the version is called that waits for a person; its own name does too."""
NOTHING = "nothing"
"""What comes before the first version."""

_READER = "Carpal <carpal@localhost>"
"""git wants an identity even where nothing is written."""


@dataclass(frozen=True, slots=True)
class VersionPair:
    """Two versions, the older one first.

    Attributes:
        old: Its name, or `NOTHING`.
        new: Its name.
        before: Labels of the older one; without a row for `NOTHING`.
        after: Labels of the newer one.
    """

    old: str
    new: str
    before: LabelTable
    after: LabelTable


def pick_versions(history: VersionHistory, old: str, new: str) -> VersionPair:
    """Finds two versions.

    Args:
        history: The versions.
        old: As in `resolve_version`; empty: the version before `new`, or nothing for the first.
        new: As in `resolve_version`, or `proposal`: the version that waits for a person.

    Raises:
        NotFoundError: There is no such version, or none waits.
    """
    known = history.versions()
    name, after = _proposed(history, new) or _version(history, new, known)
    if old:
        before_name, before = _version(history, old, known)
    else:
        earlier = known[: known.index(name)] if name in known else known
        before_name = earlier[-1] if earlier else NOTHING
        before = history.table(before_name) if earlier else no_tables(history.spec).labels
    return VersionPair(before_name, name, before, after)


def _version(history: VersionHistory, said: str, known: list[str]) -> tuple[str, LabelTable]:
    name = resolve_version(said, known)
    return name, history.table(name)


def _proposed(history: VersionHistory, said: str) -> tuple[str, LabelTable] | None:
    """Returns the proposal if it is meant."""
    git = Git(history.root, _READER)
    proposal = open_proposal(git) if (history.root / ".git").is_dir() else None
    if proposal is None:
        if said.lower() == PROPOSAL:
            raise NotFoundError("No dataset version waits for a person.")
        return None
    if said.lower() not in (PROPOSAL, proposal.name):
        return None
    text = git.read("cat-file", "blob", f"{proposal.commit}:{LABELS}")
    return f"{proposal.name} (proposed)", LabelTable.parse(text)

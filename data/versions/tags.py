"""The tags of dataset versions: a version exists when, and only when, its annotated tag does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from data.domain import DatasetVersion
from data.errors import NotFoundError, VersionError
from data.versions.git_calls import Git
from data.versions.text import instant, read_trailers

_VERSION = re.compile(r"v(\d{4,9})", re.ASCII)
_OURS = re.compile(
    r"^(v\d{4,9}) tag\n(?:[A-Z][A-Za-z-]+: .*\n)*?Ledger-Head: ", re.ASCII | re.MULTILINE
)
"""A line of a version's tag, and its trailers as far as the one that no other tag has."""


@dataclass(frozen=True, slots=True)
class VersionTag:
    """What the tag of a version says.

    Attributes:
        commit: That it names, 40 hexadecimal digits.
        committed_at: UTC.
        message: Summary and trailers; those of the commit may be other ones, because a reviewer's
            merge can write a message of its own.
    """

    commit: str
    committed_at: datetime
    message: str


def version_name(number: int) -> str:
    """Returns `v0007` for 7."""
    return f"v{number:04d}"


def version_number(name: str) -> int:
    """Returns 7 for `v0007`."""
    return int(name[1:])


def version_names(git: Git) -> list[str]:
    """Returns the names of all versions, oldest first; people's own tags are not among them."""
    form = "%(refname:lstrip=2) %(objecttype)%0a%(contents:trailers)"
    told = git.run("for-each-ref", f"--format={form}", "refs/tags/v*")
    return sorted(_OURS.findall(told), key=version_number)


def next_number(git: Git, latest: str | None) -> int:
    """Returns the number of the version after `latest`; one that a person's tag has is left out."""
    taken = set(git.run("tag", "--list", "v*").split())
    number = version_number(latest) + 1 if latest else 1
    while version_name(number) in taken:
        number += 1
    return number


def read_tag(git: Git, version: str) -> VersionTag:
    """Returns what the tag of a version says.

    Raises:
        NotFoundError: There is no such version.
    """
    form = "%(objectname) %(*objectname)%0a%(creatordate:iso-strict)%0a%(contents)"
    ref = f"refs/tags/{version}"
    text = git.run("for-each-ref", f"--format={form}", ref) if _VERSION.fullmatch(version) else ""
    if not text:
        raise NotFoundError(f"There is no dataset version {version!r}.")
    objects, date, message = text.split("\n", 2)
    return VersionTag(objects.split()[-1], instant(datetime.fromisoformat(date)), message)


def describe_version(git: Git, version: str) -> DatasetVersion:
    """Returns what a version says of itself.

    Raises:
        NotFoundError: There is no such version.
        VersionError: Its tag was not made by Carpal.
    """
    tag = read_tag(git, version)
    trailers = read_trailers(tag.message)
    try:
        return DatasetVersion(
            name=version,
            commit=tag.commit,
            labels=int(trailers["Labels"]),
            expert_labels=int(trailers["Expert-Labels"]),
            last_event=int(trailers["Ledger-Head"].split()[0]),
            committed_at=tag.committed_at,
        )
    except (KeyError, ValueError) as error:
        raise VersionError(
            f"The tag {version} lacks what a dataset version states: {error}."
        ) from error


def set_tag(git: Git, version: str, commit: str, message: str, at: datetime) -> None:
    """Makes the annotated tag: from here on the version exists."""
    arguments = ("--cleanup=verbatim", "--file=-", version, commit)
    git.run("tag", *arguments, stdin=message, at=at)

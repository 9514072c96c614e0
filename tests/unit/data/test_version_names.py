from __future__ import annotations

import pytest

from data.errors import NotFoundError
from data.versions.names import resolve_version

KNOWN = ["v0001", "v0002", "v0010"]


@pytest.mark.parametrize("said", ["v0010", "v10", "10", "V10", "latest", "Latest"])
def test_a_version_has_several_names(said: str) -> None:
    assert resolve_version(said, KNOWN) == "v0010"


@pytest.mark.parametrize("said", ["v3", "0", "newest", "v0002x", "../v0001", ""])
def test_an_unknown_version_is_one_sentence_with_the_known_ones(said: str) -> None:
    with pytest.raises(NotFoundError, match=r"there are v0001, v0002, v0010\.$"):
        resolve_version(said, KNOWN)


def test_of_many_versions_the_first_and_the_last_are_named() -> None:
    with pytest.raises(NotFoundError, match=r"there are 30, v0001 to v0030\.$"):
        resolve_version("v31", [f"v{n:04d}" for n in range(1, 31)])


def test_without_versions_the_sentence_says_so() -> None:
    with pytest.raises(NotFoundError, match="no dataset version yet"):
        resolve_version("latest", [])

"""Reads a project of a stand-in for an XNAT."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from data.sources.item import SourceItem
from data.sources.xnat_project import Missing, XnatQuery, read_xnat
from data.sources.xnat_scans import ScanRule
from tests.service.xnat.fake_xnat import FakeXnat, serving
from tests.service.xnat.xnat_cases import Reader, account


@pytest.fixture
def read() -> Iterator[Reader]:
    """Reads a project of a server that runs as long as the test."""
    opened: list[Any] = []

    def run(
        xnat: FakeXnat, rule: ScanRule | None = None, retries: int = 0, **query: Any
    ) -> tuple[list[SourceItem], list[Missing]]:
        if not xnat.url:
            opened.append(serving(xnat))
            opened[-1].__enter__()
        missing: list[Missing] = []
        wanted = XnatQuery("HANDS", rule or ScanRule(), salt="salt", **query)
        items = list(read_xnat(account(xnat, retries), wanted, missing.append))
        return items, missing

    yield run
    for server in opened:
        server.__exit__(None, None, None)

"""A real Orthanc, and a proxy before it that can spoil its answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service.dicomweb.orthanc import Orthanc, Proxy, proxy_before, running_orthanc


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as orthanc:
        yield orthanc


@pytest.fixture
def orthanc(server: Orthanc) -> Orthanc:
    server.clear()
    return server


@pytest.fixture
def proxy(orthanc: Orthanc) -> Iterator[Proxy]:
    with proxy_before(orthanc) as proxy:
        yield proxy

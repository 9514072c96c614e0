"""The pages of dataset versions, from a real repository."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from data.images.decoding import read_grey
from labeling_config.client_sessions import SESSION_COOKIE
from ml_backend.app import create_app
from tests.service.dataset_workspace import AUTHOR, commit, open_repository, some_labels
from tests.unit.data.dataset_cases import SPEC
from tests.unit.ml_backend.conftest import SIGNED_IN, Backend
from tests.unit.ml_backend.conftest import backend as backend_of

pytestmark = pytest.mark.service
backend = backend_of


class Site(NamedTuple):
    """The backend on a workspace with two versions."""

    backend: Backend
    corrected: str
    """The radiograph whose age the second version corrects."""

    def page(self, path: str) -> str:
        answer = self.backend.client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "<script" not in answer.text
        return answer.text


@pytest.fixture(scope="module")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A workspace with two versions, and the radiograph that the second one corrects."""
    home = tmp_path_factory.mktemp("versions")
    labels = some_labels(home, 5)
    repository = open_repository(home)
    commit(repository, labels[:4])
    better = replace(labels[0], values={**labels[0].values, "age_months": 137.0})
    commit(repository, [better, *labels[1:]])
    return home, labels[0].radiograph.id


@pytest.fixture
def site(backend: Backend, corrected: tuple[Path, str]) -> Site:
    settings = replace(backend.settings, home=corrected[0], git_author=AUTHOR)
    services = replace(backend.services, settings=settings, spec=SPEC)
    shown = replace(backend, services=services, app=create_app(services=services))
    return Site(shown, corrected[1])


def test_a_version_is_told_with_its_splits_readers_and_proof(site: Site) -> None:
    page = site.page("/versions/v2")

    assert "<h1>v0002</h1>" in page
    assert "5, 0 of them references, of 5 patients" in page
    assert "no patient is in two splits" in page
    assert "50 new labels" in page
    assert 'href="/versions/v0001..v0002"' in page


def test_a_diff_tells_what_was_corrected_in_months_and_years(site: Site) -> None:
    page = site.page("/versions/v0001..v0002")

    assert "+1 labels, 1 corrected, 0 withdrawn, 0 confirmed" in page
    row = page[page.index(site.corrected[:12]) :]
    assert "137" in row[: row.index("</tr>")]
    assert "(11\u00a0y\u00a05\u00a0m)" in row[: row.index("</tr>")]


def test_the_first_version_is_held_against_nothing(site: Site) -> None:
    assert "nothing → " in site.page("/versions/..v0001").replace("\n", "")


def test_the_picture_has_the_size_that_the_page_leaves_for_it_and_is_drawn_once(
    site: Site, tmp_path: Path
) -> None:
    page = site.page("/versions/v0001..v0002")
    first = site.backend.get("/versions/v0001..v0002/picture.png")
    (kept,) = (site.backend.services.settings.cache / "diffs").iterdir()
    kept.write_bytes(first.data[:-1] + b"!")

    again = site.backend.get("/versions/v0001..v0002/picture.png")

    assert first.content_type == "image/png"
    (tmp_path / "picture.png").write_bytes(first.data)
    height, width = np.asarray(read_grey(tmp_path / "picture.png")).shape
    assert f'width="{width}" height="{height}"' in page
    assert again.data.endswith(b"!")


@pytest.mark.parametrize("path", ["/versions/v0009", "/versions/v0001..v0009", "/versions/v0001.."])
def test_what_is_not_there_is_said_on_a_page_and_to_programs(site: Site, path: str) -> None:
    page = site.backend.client.get(path, headers={"Accept": "text/html"})
    problem = site.backend.client.get(path, headers={"Accept": "application/json"})

    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert (problem.status_code, problem.mimetype) == (404, "application/problem+json")


def test_the_pages_are_closed_to_other_machines(site: Site) -> None:
    for path in ("/versions/v0001", "/versions/v0001..v0002/picture.png"):
        answer = site.backend.client.get(path, environ_base={"REMOTE_ADDR": "192.0.2.7"})

        assert answer.status_code == 401


def test_the_picture_shows_films_and_is_for_those_who_are_signed_in(site: Site) -> None:
    client = site.backend.client
    refused = client.get("/versions/v0001..v0002/picture.png")
    client.set_cookie(SESSION_COOKIE, SIGNED_IN)

    shown = client.get("/versions/v0001..v0002/picture.png")

    assert (refused.status_code, shown.status_code) == (401, 200)

"""Label Studio asks a backend that serves several workspaces below the prefix of each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labeling_config.client import ProjectHandle
from tests.service.label_studio.studio_cases import Studio, label_next, serve, with_tasks
from tests.support import eventually

pytestmark = pytest.mark.service


@pytest.fixture
def hand(studio: Studio, handle: ProjectHandle) -> Iterator[ProjectHandle]:
    """A second project, of a workspace that the backend serves below `/hand`."""
    studio.backend.asked.clear()
    found = studio.ensure(
        backend_url=f"{studio.settings.backend}/hand", webhook_secret="hand-secret"
    )
    yield found
    studio.client.request("DELETE", f"/api/projects/{found.id}/")


def test_a_second_workspace_has_a_project_of_its_own(
    studio: Studio, handle: ProjectHandle, hand: ProjectHandle
) -> None:
    assert hand.id != handle.id
    assert studio.ensure() == handle
    (backend,) = studio.client.backends(hand.id)
    assert backend["url"] == f"{studio.settings.backend}/hand"


def test_everything_is_asked_below_the_prefix(studio: Studio, hand: ProjectHandle) -> None:
    with_tasks(studio, hand, 2)
    serve(studio, hand, "v1", {})

    label_next(studio, hand)

    expected = {"/hand/health", "/hand/setup", "/hand/webhook", "/hand/predict"}
    assert eventually(lambda: set(studio.backend.paths()) >= expected), studio.backend.paths()
    assert [path for path in studio.backend.paths() if not path.startswith("/hand/")] == []
    hooks = [asked for asked in studio.backend.asked if asked.path == "/hand/webhook"]
    assert {asked.secret for asked in hooks} == {"hand-secret"}

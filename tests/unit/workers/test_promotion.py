"""Going back to the champion before, by a command that may be killed anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from carpal.free_ports import free_port
from data.errors import ServiceUnavailableError
from data.ledger.events import EventKind
from data.ledger.ledger import Ledger
from workers import promotion
from workers.promotion import CHAMPION, promote, rollback
from workers.settings import Settings


@dataclass
class FakeRegistry:
    """Knows which models have served, the champion last; may be out of reach."""

    served: list[str] = field(default_factory=list)
    down: bool = False

    def promote(self, model_version: str) -> None:
        self.served.append(model_version)

    def champion_before(self) -> Any:
        return SimpleNamespace(model_version=self.served[-2])

    def rollback(self, model_version: str) -> None:
        if self.down:
            raise ServiceUnavailableError("MLflow does not answer.")
        if self.served[-1] != model_version:
            self.served.pop()


class Given:
    """A workspace in which the models a, b and c have served in turn."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self.settings = settings
        self.ledger = ledger
        self.registry: Any = FakeRegistry()
        for version in "abc":
            promote(settings, ledger, self.registry, version, "by hand")

    def rollback(self) -> str:
        return rollback(self.settings, self.ledger, self.registry, "by hand")

    def rolled_back_to(self) -> list[str]:
        return [e.subject for e in self.ledger.events(kinds=[EventKind.ROLLED_BACK])]


@pytest.fixture
def given(tmp_workspace: Settings) -> Iterator[Given]:
    with Ledger.open(tmp_workspace.ledger) as ledger:
        yield Given(replace(tmp_workspace, redis_port=free_port()), ledger)


def killed(*_: Any) -> None:
    raise KeyboardInterrupt


def test_going_back_is_journalled_and_followed(given: Given) -> None:
    assert given.rollback() == "b"

    assert given.registry.served == ["a", "b"]
    assert given.rolled_back_to() == ["b"]
    assert given.ledger.get_state(CHAMPION) == "b"


def test_going_back_twice_goes_two_champions_back(given: Given) -> None:
    assert [given.rollback(), given.rollback()] == ["b", "a"]


@pytest.mark.parametrize(
    "step",
    [
        pytest.param((FakeRegistry, "rollback"), id="before the alias"),
        pytest.param((promotion, "_follow"), id="after the alias"),
    ],
)
def test_a_rollback_that_was_killed_is_finished_when_it_is_repeated(
    given: Given, monkeypatch: pytest.MonkeyPatch, step: tuple[Any, str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(*step, killed)
        with pytest.raises(KeyboardInterrupt):
            given.rollback()

    assert given.rollback() == "b"

    assert given.registry.served == ["a", "b"]
    assert given.rolled_back_to() == ["b"]
    assert given.ledger.get_state(CHAMPION) == "b"


def test_a_rollback_that_failed_is_finished_when_it_is_repeated(given: Given) -> None:
    given.registry.down = True
    with pytest.raises(ServiceUnavailableError):
        given.rollback()
    given.registry.down = False

    assert given.rollback() == "b"
    assert given.rolled_back_to() == ["b"]


def test_a_promotion_ends_what_a_killed_rollback_wanted(given: Given) -> None:
    given.registry.down = True
    with pytest.raises(ServiceUnavailableError):
        given.rollback()
    given.registry.down = False
    promote(given.settings, given.ledger, given.registry, "d", "by hand")

    assert given.rollback() == "c"

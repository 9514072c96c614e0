from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from trainer import torchvision_guard

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[3]
HEAVY = ("torch", "lightning", "mlflow", "matplotlib", "pandas", "sklearn")


def imported_by(module: str) -> set[str]:
    """Returns the heavy packages that are there after importing one module in a new process."""
    code = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("trainer", set()),
        ("trainer.options", set()),
        ("trainer.evaluation.evaluation", set()),
        ("trainer.registry.registry", set()),
        ("trainer.predictor", {"torch"}),
    ],
)
def test_a_module_brings_no_more_than_it_needs(module: str, heavy: set[str]) -> None:
    assert imported_by(module) == heavy


def test_timm_can_be_imported_whatever_build_torchvision_is() -> None:
    # In this process it has been, behind the guard.
    import timm

    assert timm.create_model("test_byobnet", num_classes=0) is not None


def test_operators_are_declared_only_where_torchvision_did_not_bring_them() -> None:
    declared = torchvision_guard.FRAGMENT is not None

    assert declared == (not torchvision_guard.extension_loads())
    assert hasattr(torch.ops.torchvision, "nms")


def test_nothing_is_declared_where_the_extension_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_guard, "extension_loads", lambda: True)

    assert torchvision_guard.declare_missing_operators() is None


def test_a_machine_without_torchvision_needs_no_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_guard, "find_spec", lambda name: None)

    assert torchvision_guard.extension_loads()

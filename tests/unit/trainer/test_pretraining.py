"""Pre-training without labels: what it learns, repeats, survives and refuses."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from data.errors import StorageError, TrainingError
from tests.unit.trainer.cases import QUICK, easy_image
from trainer import torchvision_guard  # noqa: F401  (must come before timm)
from trainer.fitting.cpu_threads import use_cpu_threads
from trainer.pretraining import contrast
from trainer.pretraining.contrast import spread
from trainer.pretraining.pretrain import pretrain
from trainer.pretraining.views import VIEWS, two_views

import timm  # isort: skip

pytestmark = pytest.mark.long

CPU = torch.device("cpu")
OPTIONS = replace(
    QUICK,
    ssl_epochs=2,
    ssl_batch_size=16,
    ssl_learning_rate=3e-3,
    ssl_max_seconds=0.0,
    checkpoint_s=0.0,
)


class KilledError(Exception):
    """Stands for a process that is killed."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    use_cpu_threads(1)
    monkeypatch.setattr(contrast, "HIDDEN_WIDTH", 32)
    monkeypatch.setattr(contrast, "PROJECTED_WIDTH", 16)


def films(count: int, side: int = 32) -> NDArray[np.uint8]:
    images = [easy_image(i * 240 / count, ("female", "male")[i % 2], i) for i in range(count)]
    return np.stack([image[: 48 - 48 % side, : 48 - 48 % side][:side, :side] for image in images])


def small_backbone(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = timm.create_model("test_byobnet", in_chans=1, num_classes=0)
    assert isinstance(model, nn.Module)
    return model


def weights(backbone: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in backbone.parameters()])


def test_the_backbone_learns_to_tell_radiographs_from_each_other(tmp_path: Path) -> None:
    pixels, backbone = films(48), small_backbone()
    options = replace(OPTIONS, ssl_epochs=8)
    lines: list[str] = []

    told = pretrain(backbone, pixels, np.arange(48), options, CPU, tmp_path, lines.append)

    assert told["radiographs"] == 48
    assert told["epochs"] == 8
    assert told["steps"] == 24
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in lines]
    assert len(losses) == 8
    # Whoever knows nothing of 31 other views guesses: log(31) = 3.43.
    assert losses[0] > 3.4
    assert told["loss"] < losses[0] - 0.5


def test_two_views_of_one_film_differ_and_lie_half_a_batch_apart() -> None:
    pixels = films(4)

    views = two_views(pixels, "interval", torch.Generator().manual_seed(0), CPU)

    assert views.shape == (8, 1, 32, 32)
    assert views.min() >= -1
    assert views.max() <= 1
    first, second = views.chunk(2)
    assert (first - second).abs().mean((1, 2, 3)).min() > 0.01
    assert VIEWS.flip


def test_only_the_rows_that_were_named_are_read(tmp_path: Path) -> None:
    pixels = films(40)
    changed = pixels.copy()
    changed[32:] = 255  # such as radiographs of the test split
    rows = np.arange(32)
    one, other = small_backbone(), small_backbone()

    pretrain(one, pixels, rows, OPTIONS, CPU, tmp_path / "one")
    pretrain(other, changed, rows, OPTIONS, CPU, tmp_path / "other")

    torch.testing.assert_close(weights(one), weights(other), rtol=0, atol=0)


@pytest.mark.parametrize(("seed", "same"), [(0, True), (1, False)], ids=["same seed", "another"])
def test_a_seed_repeats_a_pretraining_to_the_bit(tmp_path: Path, seed: int, same: bool) -> None:
    one, other = small_backbone(), small_backbone()

    pretrain(one, films(32), np.arange(32), OPTIONS, CPU, tmp_path / "one")
    torch.manual_seed(99)  # what was drawn before must not matter
    options = replace(OPTIONS, seed=seed)
    pretrain(other, films(32), np.arange(32), options, CPU, tmp_path / "other")

    assert torch.equal(weights(one), weights(other)) is same


def test_it_leaves_the_random_numbers_of_its_caller_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    backbone = small_backbone()
    torch.manual_seed(5)

    pretrain(backbone, films(32), np.arange(32), OPTIONS, CPU, tmp_path)

    assert torch.rand(1) == expected


def test_a_killed_pretraining_goes_on_and_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole, killed, resumed = small_backbone(), small_backbone(), small_backbone()
    pixels, rows = films(32), np.arange(32)
    lines: list[str] = []

    def die(line: str) -> None:
        lines.append(line)
        if len(lines) == 1:
            raise KilledError

    pretrain(whole, pixels, rows, OPTIONS, CPU, tmp_path / "whole")
    with pytest.raises(KilledError):
        pretrain(killed, pixels, rows, OPTIONS, CPU, tmp_path / "work", die)
    lines_after: list[str] = []
    pretrain(resumed, pixels, rows, OPTIONS, CPU, tmp_path / "work", lines_after.append)

    assert [line.split(":")[0] for line in lines_after] == ["self-supervised epoch 2/2"]
    torch.testing.assert_close(weights(resumed), weights(whole), rtol=0, atol=0)


def test_a_pretraining_that_has_ended_is_read_instead_of_repeated(tmp_path: Path) -> None:
    first, second = small_backbone(), small_backbone()
    lines: list[str] = []

    told = pretrain(first, films(32), np.arange(32), OPTIONS, CPU, tmp_path)
    again = pretrain(second, films(32), np.arange(32), OPTIONS, CPU, tmp_path, lines.append)

    assert lines == []
    assert again == told
    torch.testing.assert_close(weights(second), weights(first), rtol=0, atol=0)


def test_it_does_not_matter_where_in_the_store_the_films_lie(tmp_path: Path) -> None:
    first, second = small_backbone(), small_backbone()
    order = np.random.default_rng(0).permutation(32)

    pretrain(first, films(32), np.arange(32), OPTIONS, CPU, tmp_path / "a")
    pretrain(second, films(32)[order], np.argsort(order), OPTIONS, CPU, tmp_path / "b")

    torch.testing.assert_close(weights(second), weights(first), rtol=0, atol=0)


@pytest.mark.parametrize("what", ["rows", "pixels", "options", "first weights", "broken file"])
def test_the_checkpoint_of_another_pretraining_is_not_used(tmp_path: Path, what: str) -> None:
    pretrain(small_backbone(), films(33), np.arange(32), OPTIONS, CPU, tmp_path)
    pixels, rows = films(33), np.arange(32)
    options, backbone = OPTIONS, small_backbone()
    if what == "rows":
        rows = np.arange(1, 33)
    elif what == "pixels":
        pixels[0] = 0
    elif what == "options":
        options = replace(OPTIONS, ssl_learning_rate=1e-4)
    elif what == "first weights":
        backbone = small_backbone(1)
    else:
        (tmp_path / "pretraining.ckpt").write_bytes(b"no checkpoint")
    lines: list[str] = []

    pretrain(backbone, pixels, rows, options, CPU, tmp_path, lines.append)

    assert len(lines) == 2


def test_the_time_limit_ends_it_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr("trainer.pretraining.pretrain.monotonic", lambda: float(next(clock)))
    options = replace(OPTIONS, ssl_epochs=1000, ssl_max_seconds=35.0)

    told = pretrain(small_backbone(), films(32), np.arange(32), options, CPU, tmp_path)

    # One look at the clock per epoch of two steps: 10, 20, 30 and 40 seconds.
    assert told["epochs"] == 4
    assert told["seconds"] == 40


def test_a_loss_that_is_not_finite_ends_it_in_a_sentence(tmp_path: Path) -> None:
    backbone = small_backbone()
    with torch.no_grad():
        next(backbone.parameters()).fill_(float("nan"))

    with pytest.raises(TrainingError, match="no longer finite in epoch 1: lower ssl_learning_rate"):
        pretrain(backbone, films(32), np.arange(32), OPTIONS, CPU, tmp_path)


class Blind(nn.Module):
    """Gives every film the same features."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Parameter(torch.arange(1.0, 9.0))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.features.expand(len(pixels), -1)


def test_a_backbone_that_tells_all_films_alike_ends_it_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="has collapsed in epoch 1: the backbone tells all"):
        pretrain(Blind(), films(32), np.arange(32), OPTIONS, CPU, tmp_path)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ([[1.0, 0.0], [2.0, 0.0]], 0.0),
        # Unit vectors (1, 0) and (0, 1): each feature has a standard deviation of 1/2.
        ([[3.0, 0.0], [0.0, 4.0]], 0.5 * math.sqrt(2)),
    ],
    ids=["one direction", "two at right angles"],
)
def test_the_spread_is_that_of_the_features_directions(
    features: list[list[float]], expected: float
) -> None:
    assert float(spread(torch.tensor(features))) == pytest.approx(expected)


def test_bf16_is_used_where_it_is_asked_for(tmp_path: Path) -> None:
    seen: list[torch.dtype] = []
    backbone = small_backbone()
    convolution = next(m for m in backbone.modules() if isinstance(m, nn.Conv2d))
    convolution.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))

    options = replace(OPTIONS, precision="bf16", ssl_epochs=1)
    pretrain(backbone, films(32), np.arange(32), options, CPU, tmp_path)

    assert torch.bfloat16 in seen
    assert weights(backbone).dtype == torch.float32


def test_too_few_radiographs_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"There are 15 radiographs .* at least 16 are needed"):
        pretrain(small_backbone(), films(15), np.arange(15), OPTIONS, CPU, tmp_path)


def test_a_checkpoint_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file where the folder should be")

    with pytest.raises(StorageError, match=r"pretraining\.ckpt"):
        pretrain(small_backbone(), films(32), np.arange(32), OPTIONS, CPU, tmp_path / "work")

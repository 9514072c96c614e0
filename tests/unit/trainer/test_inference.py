"""A few films are computed in small steps where that changes no bit of any answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.unit.trainer.cases import QUICK, SEX, easy_image
from tests.unit.trainer.small_models import save_random_model
from trainer.answers.inference import chunk_of, run, steady_step
from trainer.network.heads import Head
from trainer.network.network import Outputs
from trainer.predictor import Predictor

CPU = torch.device("cpu")
FULL = chunk_of(CPU)
HEAD = Head(SEX, 1)


class SumNetwork(nn.Module):
    """Says how bright each square is, and notes how many came together.

    Args:
        wrong: Numbers of squares that together are added up in another order.
    """

    def __init__(self, *wrong: int) -> None:
        super().__init__()
        self.wrong = wrong
        self.embedded: list[int] = []
        self.told: list[int] = []

    def embed(self, pixels: Tensor) -> Tensor:
        self.embedded.append(len(pixels))
        error = 1e-6 if len(pixels) in self.wrong else 0.0
        return pixels.flatten(1).mean(1, keepdim=True) + error

    def tell(self, features: Tensor, known: Tensor | None = None) -> Outputs:
        self.told.append(len(features))
        return Outputs(features, (features,))


@pytest.mark.parametrize(
    ("wrong", "step"),
    [((), 1), ((1,), 2), ((1, 2), FULL), ((2,), 1)],
    ids=["no step", "one", "one and two", "two"],
)
def test_the_smallest_step_is_taken_that_changes_no_bit(wrong: tuple[int, ...], step: int) -> None:
    network = SumNetwork(*wrong)

    assert steady_step(network, 8, CPU) == step  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("films", "few", "embedded", "told"),
    [
        (1, 1, [1], [FULL]),
        (4, 1, [1, 1, 1, 1], [FULL]),
        (3, 2, [2, 2], [FULL]),
        (5, 1, [FULL], [FULL]),
        (1, 0, [FULL], [FULL]),
        (1, FULL, [FULL], [FULL]),
        (FULL + 1, 1, [FULL, 1], [FULL, FULL]),
        (0, 1, [FULL], [FULL]),
    ],
)
def test_a_few_films_pass_the_backbone_in_small_steps_and_the_heads_in_a_full_chunk(
    films: int, few: int, embedded: list[int], told: list[int]
) -> None:
    network = SumNetwork()
    squares = np.full((films, 8, 8), 255, np.uint8)

    raw = run(network, [HEAD], squares, CPU, few=few)  # type: ignore[arg-type]

    assert (network.embedded, network.told) == (embedded, told)
    assert raw.features.tolist() == [[1.0]] * films


@pytest.mark.parametrize("backbone", ["test_resnet", "mobilenetv4_conv_small"])
def test_a_model_that_is_quick_with_few_films_says_the_same(tmp_path: Path, backbone: str) -> None:
    options = replace(QUICK, backbone=backbone, image_size=64)
    save_random_model(tmp_path / "model", options=options)
    slow, quick = (Predictor.load(tmp_path / "model", "cpu") for _ in range(2))
    quick.be_quick_with_few()
    images = [easy_image(20.0 * i, ("female", "male")[i % 2], i) for i in range(3)]
    ids, known = list("abc"), [{"sex": "male"}, {}, {"sex": "female"}]

    assert quick.predict_images(images, ids, known) == slow.predict_images(images, ids, known)
    assert quick.predict_images(images[:1], ids[:1]) == slow.predict_images(images, ids)[:1]

"""Stages of a backbone that keep their weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from data.errors import TrainingError
from trainer.network.network import Network, NetworkForm


def network(backbone: str = "test_byobnet", side: int = 32) -> Network:
    torch.manual_seed(0)
    return Network(NetworkForm(backbone, side, (2, 2)))


def frozen_of(network: Network) -> list[str]:
    return [name for name, p in network.backbone.named_parameters() if not p.requires_grad]


def test_the_first_stages_are_frozen_and_no_others() -> None:
    some = network()

    some.freeze(2)

    assert frozen_of(some) == [
        name
        for name, _ in some.backbone.named_parameters()
        if name.startswith(("stem.", "stages.0."))
    ]


def test_what_is_frozen_only_ever_answers() -> None:
    some = network()
    some.freeze(1)

    some.train()

    norms = {n: m.training for n, m in some.backbone.named_modules() if "stem" in n and "bn" in n}
    assert norms and not any(norms.values())
    assert some.heads.training


def test_a_transformers_positions_and_class_token_belong_to_its_stem() -> None:
    some = network("test_vit", 160)

    some.freeze(1)

    assert {"cls_token", "pos_embed"} <= set(frozen_of(some))
    assert not [name for name in frozen_of(some) if name.startswith("blocks.")]


class Plain(nn.Module):
    """A backbone whose layers timm does not group."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)


def test_a_backbone_that_names_no_stages_trains_whole_or_says_why_not() -> None:
    some = network()
    some.backbone = Plain()

    some.freeze(0)
    assert frozen_of(some) == []

    with pytest.raises(TrainingError, match="'test_byobnet' names no stages: set frozen to 0"):
        some.freeze(1)

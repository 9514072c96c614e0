"""The moving average of a network's weights, which errs less than the last weights do."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from trainer.network.network import Network


class MovingAverage(nn.Module):
    """Keeps the exponential moving average of weights and of batch statistics.

    Young averages follow faster, so that the random first weights are soon forgotten:
    the decay is min(decay, (1 + step) / (10 + step)).

    Args:
        network: What is trained; its present weights are the first average.
        decay: 0..1; the average of about the last 1 / (1 - decay) steps.
    """

    def __init__(self, network: Network, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def follow(self, network: Network, step: int) -> None:
        """Moves towards the weights that a network has after `step` steps."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        kept, now = _tensors(self.network), _tensors(network)
        floating = [k for k, value in kept.items() if value.is_floating_point()]
        torch._foreach_lerp_([kept[k] for k in floating], [now[k] for k in floating], share)
        for name in kept.keys() - set(floating):
            kept[name].copy_(now[name])


def _tensors(network: Network) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}

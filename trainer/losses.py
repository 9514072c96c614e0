"""What the network is punished for, per target."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from data.domain import Target
from trainer.targets import LOG_SPREAD_RANGE

_TINY = 1e-6


def laplace_nll(outputs: Tensor, labels: Tensor) -> Tensor:
    """Negative log-likelihood of a Laplace distribution, without its constant log 2.

    |y - m| / b + log b. For a fixed spread b it is minimised by the median, so it trains for the
    mean absolute error; b is then the expected absolute error of the case (Kendall & Gal 2017,
    "What uncertainties do we need in Bayesian deep learning for computer vision?", section 3).

    Args:
        outputs: (N, 2) location m and log-spread log b, normalised.
        labels: (N,) normalised.

    Returns:
        (N,) losses.
    """
    log_spread = outputs[:, 1].clamp(*LOG_SPREAD_RANGE)
    return (outputs[:, 0] - labels).abs() * (-log_spread).exp() + log_spread


def batch_loss(
    targets: Sequence[Target], outputs: Sequence[Tensor], labels: Tensor, weights: Tensor
) -> Tensor:
    """Adds up the targets' weighted mean losses over the labels that are there.

    Args:
        targets: The task's targets.
        outputs: One (N, outputs) tensor per target.
        labels: (N, targets) as `targets.encode` makes them; NaN trains nothing.
        weights: (N,) weight of each case, > 0.

    Returns:
        One number.
    """
    total = weights.new_zeros(())
    for i, target in enumerate(targets):
        # Masked instead of selected: a selection would make a GPU wait for its count.
        known = (~labels[:, i].isnan()).float() * weights
        wanted = labels[:, i].nan_to_num(0.0)
        if target.kind == "number":
            losses = laplace_nll(outputs[i], wanted)
        else:
            losses = functional.cross_entropy(outputs[i], wanted.long(), reduction="none")
        total = total + target.loss_weight * (losses * known).sum() / known.sum().clamp(min=_TINY)
    return total

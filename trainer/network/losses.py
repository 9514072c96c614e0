"""What the network is punished for, per target."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.network.heads import LOG_SPREAD_RANGE, Head

_TINY = 1e-6


class Loss(nn.Module):
    """The sum of the targets' losses, each with its weight.

    Args:
        heads: The heads, in the order of the network's outputs.
        learned: Learn the weights: each loss is divided by its own variance, whose logarithm is
            added so that it does not grow without end (Kendall, Gal & Cipolla 2018, "Multi-task
            learning using uncertainty to weigh losses", section 3.2). The task's weights are then
            where the learning starts. A number's regression keeps the task's: it is divided by
            the spreads that it tells, and as it falls below 0, its weight would have no end.
    """

    def __init__(self, heads: Sequence[Head], learned: bool = False) -> None:
        super().__init__()
        self.heads = tuple(heads)
        weights = torch.tensor([head.target.loss_weight for head in heads])
        self.log_variances = nn.Parameter(-weights.log()) if learned else None
        self.register_buffer("weights", weights, persistent=False)
        regressions = torch.tensor([head.norm is not None and not head.bins for head in heads])
        self.register_buffer("regressions", regressions, persistent=False)
        for i, head in enumerate(heads):
            self.register_buffer(f"bins{i}", torch.tensor(head.bins), persistent=False)

    def forward(self, outputs: Sequence[Tensor], labels: Tensor, case_weights: Tensor) -> Tensor:
        """Adds up the targets' weighted mean losses over the labels that are there.

        Args:
            outputs: One (N, outputs) tensor per target.
            labels: (N, targets) as `targets.encode` makes them; NaN trains nothing.
            case_weights: (N,) weight of each case, > 0.

        Returns:
            One number.
        """
        means = torch.stack(
            [self._mean(i, outputs[i], labels[:, i], case_weights) for i in range(len(self.heads))]
        )
        fixed = means * self.get_buffer("weights")
        if self.log_variances is None:
            return fixed.sum()
        learned = means * (-self.log_variances).exp() + self.log_variances
        # Without any label there is nothing whose variance could be learnt.
        learned = learned * (~labels.isnan()).any(0)
        return torch.where(self.get_buffer("regressions"), fixed, learned).sum()

    def _mean(self, number: int, outputs: Tensor, labels: Tensor, case_weights: Tensor) -> Tensor:
        # Masked instead of selected: a selection would make a GPU wait for its count.
        counted = (~labels.isnan()).float() * case_weights
        wanted = labels.nan_to_num(0.0)
        head = self.heads[number]
        if head.target.kind == "choice":
            losses = functional.cross_entropy(outputs, wanted.long(), reduction="none")
        elif head.bins:
            bins = self.get_buffer(f"bins{number}")
            losses = distribution_loss(outputs, wanted, bins, head.label_spread)
        else:
            losses = laplace_nll(outputs, wanted)
        return (losses * counted).sum() / counted.sum().clamp(min=_TINY)


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


def distribution_loss(logits: Tensor, labels: Tensor, bins: Tensor, spread: float) -> Tensor:
    """Cross-entropy with a label spread over the bins, and the absolute error of the expectation.

    The label is a Laplace distribution around the truth (label distribution learning, Geng 2016;
    the expectation as answer and its error as second term: Gao et al. 2018, "Age estimation using
    expectation of label distribution learning").

    Args:
        logits: (N, B).
        labels: (N,) normalised.
        bins: (B,) normalised values of the bins.
        spread: Of a label, normalised, > 0.

    Returns:
        (N,) losses.
    """
    wanted = (-(bins - labels[:, None]).abs() / spread).softmax(1)
    log_chances = logits.log_softmax(1)
    expected = (log_chances.exp() * bins).sum(1)
    return -(wanted * log_chances).sum(1) + (expected - labels).abs()

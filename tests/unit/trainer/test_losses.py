from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from data.domain import Target
from tests.unit.trainer.cases import AGE, BONE_AGE, SEX
from trainer.inputs.targets import Norm
from trainer.network.heads import heads_of
from trainer.network.losses import Loss, distribution_loss, laplace_nll
from trainer.options import TrainOptions

ONES = torch.ones(2)
NORMS = {"age_months": Norm(120.0, 40.0)}


def loss_of(targets: Sequence[Target] = BONE_AGE.targets, learned: bool = False) -> Loss:
    return Loss(heads_of(targets, NORMS, TrainOptions()), learned)


def test_the_laplace_loss_is_the_scaled_error_plus_the_log_spread() -> None:
    # |1 - 3| / 2 + ln 2 and |0 - 0.5| / 1 + ln 1.
    outputs = torch.tensor([[3.0, math.log(2)], [0.5, 0.0]])

    losses = laplace_nll(outputs, torch.tensor([1.0, 0.0]))

    torch.testing.assert_close(losses, torch.tensor([1 + math.log(2), 0.5]))


def test_the_best_spread_is_the_absolute_error() -> None:
    spreads = torch.linspace(0.5, 3, 26)
    outputs = torch.stack([torch.zeros(26), spreads.log()], 1)

    losses = laplace_nll(outputs, torch.full((26,), 1.5))

    assert abs(float(spreads[losses.argmin()]) - 1.5) < 0.051


def test_a_label_that_is_met_exactly_does_not_earn_without_end() -> None:
    assert float(laplace_nll(torch.tensor([[0.0, -50.0]]), torch.zeros(1))) == -4


def test_the_targets_losses_are_added_by_their_weights() -> None:
    # Number: |1 - 0| / 1 = 1, mean over both 0.5; choice: ln 2, weight 0.3.
    outputs = [torch.zeros(2, 2), torch.zeros(2, 2)]
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])

    loss = loss_of((AGE, SEX))(outputs, labels, ONES)

    assert abs(float(loss) - (0.5 + 0.3 * math.log(2))) < 1e-6


def test_an_absent_label_trains_nothing() -> None:
    number = torch.zeros(2, 2, requires_grad=True)
    choice = torch.zeros(2, 2, requires_grad=True)
    labels = torch.tensor([[math.nan, 0.0], [1.0, math.nan]])

    loss_of()([number, choice], labels, ONES).backward()

    assert number.grad is not None and choice.grad is not None
    assert number.grad[0].abs().sum() == 0 and number.grad[1].abs().sum() > 0
    assert choice.grad[0].abs().sum() > 0 and choice.grad[1].abs().sum() == 0


def test_a_batch_without_any_label_of_a_target_still_has_a_loss() -> None:
    labels = torch.tensor([[math.nan, 0.0], [math.nan, 1.0]])

    loss = loss_of()([torch.zeros(2, 2)] * 2, labels, ONES)

    assert abs(float(loss) - 0.3 * math.log(2)) < 1e-6


def test_a_case_of_weight_three_counts_as_three_cases() -> None:
    # (3 x 1 + 1 x 0) / 4.
    labels = torch.tensor([[1.0], [0.0]])

    loss = loss_of((AGE,))([torch.zeros(2, 2)], labels, torch.tensor([3.0, 1.0]))

    assert abs(float(loss) - 0.75) < 1e-6


def test_a_distribution_is_punished_for_its_shape_and_for_its_expectation() -> None:
    # Even over the bins -1, 0, 1: cross-entropy ln 3 whatever the label, expectation 0, label 1.
    loss = distribution_loss(torch.zeros(1, 3), torch.ones(1), torch.tensor([-1.0, 0, 1]), 0.5)

    assert abs(float(loss) - (math.log(3) + 1)) < 1e-6


def test_the_best_distribution_is_the_spread_label_itself() -> None:
    bins, label = torch.linspace(-2, 2, 41), torch.tensor([0.5])
    spread_label = -(bins - label[:, None]).abs() / 0.3

    best = distribution_loss(spread_label, label, bins, 0.3)

    assert best < distribution_loss(spread_label * 2, label, bins, 0.3)
    assert best < distribution_loss(spread_label.roll(3, 1), label, bins, 0.3)


def test_learned_weights_start_at_the_tasks_and_are_learnt() -> None:
    # Weight 1 and 0.3 at the start: 0.5 + log 1, 0.3 ln 2 - log 0.3.
    loss = loss_of(learned=True)
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])

    value = loss([torch.zeros(2, 2)] * 2, labels, ONES)
    value.backward()

    assert abs(value.item() - (0.5 + 0.3 * math.log(2) - math.log(0.3))) < 1e-6
    assert loss.log_variances is not None and loss.log_variances.grad is not None
    assert loss.log_variances.grad[1] != 0


def test_a_regression_that_earns_gets_no_weight_without_end() -> None:
    # Met exactly with a log-spread of -3, it costs -3: a lower variance would always earn more.
    loss = loss_of((AGE,), learned=True)

    value = loss([torch.tensor([[0.0, -3.0]] * 2)], torch.zeros(2, 1), ONES)
    value.backward()

    assert value.item() == -3
    assert loss.log_variances is not None and loss.log_variances.grad is not None
    assert loss.log_variances.grad.tolist() == [0.0]


def test_the_weight_of_a_target_learns_nothing_where_there_is_no_label_of_it() -> None:
    loss = loss_of(learned=True)

    loss([torch.zeros(2, 2)] * 2, torch.tensor([[1.0, math.nan], [0.0, math.nan]]), ONES).backward()

    assert loss.log_variances is not None and loss.log_variances.grad is not None
    assert loss.log_variances.grad.tolist() == [0.0, 0.0]

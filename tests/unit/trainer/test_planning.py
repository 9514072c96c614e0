from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data.errors import StorageError
from tests.unit.trainer.cases import BONE_AGE, QUICK
from trainer.fitting import planning
from trainer.fitting.cases import Cases
from trainer.fitting.planning import PLAN, Plan, plan, planned, share_of_time
from trainer.inputs.targets import Norm
from trainer.network.heads import heads_of
from trainer.network.network import Network, NetworkForm
from trainer.options import TrainOptions

HEADS = heads_of(BONE_AGE.targets, {"age_months": Norm(100.0, 30.0)}, QUICK)


def cases(count: int) -> Cases:
    return Cases(
        np.zeros((count, 32, 32), np.uint8),
        np.arange(count),
        np.zeros((count, 2), np.float32),
        np.ones(count, np.float32),
        np.zeros((count, 0), np.float32),
    )


def network() -> Network:
    return Network(NetworkForm("test_byobnet", 32, (2, 2)))


def test_few_images_are_passed_more_often() -> None:
    options = TrainOptions(batch_size=16, epochs=10, min_steps=200)

    assert plan(40, options).epochs == 100  # 2 whole batches an epoch
    assert plan(1600, options).epochs == 10
    assert (plan(7, options).batch_size, plan(7, options).steps) == (7, 200)


def test_a_budget_is_filled_by_passes_that_leave_a_few_images_out() -> None:
    # 46 steps of 0.5 s fit into 23 s; the 10 batches of 5 passes would be 50.
    options = TrainOptions(batch_size=16, budget_s=23.0)

    made = plan(160, options, step_s=0.5)

    assert (made.epochs, made.steps, made.steps_per_epoch) == (5, 45, 9)


def test_a_budget_that_is_too_short_still_trains_one_step() -> None:
    assert plan(160, TrainOptions(budget_s=1.0), step_s=9.0) == Plan(16, 1, 1)


def test_members_get_equal_shares_of_the_time_that_is_left() -> None:
    options = TrainOptions(budget_s=100.0, max_seconds=160.0)

    mine = share_of_time(options, spent_s=40.0, members=3)

    assert (mine.budget_s, mine.max_seconds) == (20.0, 40.0)


def test_without_a_limit_there_is_nothing_to_share() -> None:
    assert share_of_time(TrainOptions(), spent_s=40.0, members=3) == TrainOptions()


def test_time_that_others_have_used_up_is_no_missing_limit() -> None:
    mine = share_of_time(TrainOptions(budget_s=100.0, max_seconds=100.0), 120.0, members=1)

    assert 0 < mine.budget_s < 1 and 0 < mine.max_seconds < 1


def test_a_training_that_goes_on_keeps_the_plan_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(QUICK, budget_s=10.0)
    seconds = iter([0.1, 5.0])
    monkeypatch.setattr(planning, "seconds_of_step", lambda *_: next(seconds))

    first, again = (
        planned(network(), HEADS, cases(16), options, torch.device("cpu"), tmp_path)
        for _ in range(2)
    )

    assert first == again == Plan(8, 46, 92)


def test_measuring_a_step_leaves_the_network_as_it_is() -> None:
    trained = network()
    before = {k: v.clone() for k, v in trained.state_dict().items()}

    seconds = planning.seconds_of_step(trained, HEADS, cases(16), QUICK, torch.device("cpu"), 32)

    assert seconds > 0
    assert all(torch.equal(before[k], v) for k, v in trained.state_dict().items())


class Killed(BaseException):
    """The process is gone."""


def test_a_training_that_is_killed_while_it_notes_its_plan_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(Path, "replace", kill)

    with pytest.raises(Killed):
        planned(network(), HEADS, cases(16), QUICK, torch.device("cpu"), tmp_path)

    assert not (tmp_path / PLAN).exists()


def test_a_plan_that_cannot_be_noted_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file where the folder should be")

    with pytest.raises(StorageError, match=r"plan\.json"):
        planned(network(), HEADS, cases(16), QUICK, torch.device("cpu"), tmp_path / "work")

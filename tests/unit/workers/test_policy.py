"""The retrain policy decides by what is new, never by a count's remainder."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workers.policy import LoopState, RetrainPolicy, decide

POLICY = RetrainPolicy(first_after=100, after=50, min_new=10, max_wait_s=3600, min_interval_s=600)


def test_a_jump_over_the_threshold_trains() -> None:
    before = decide(POLICY, LoopState(new_labels=49, trained_before=True))
    after = decide(POLICY, LoopState(new_labels=67, trained_before=True))

    assert not before.start
    assert after.start
    assert after.trigger == "labels"


def test_the_first_training_waits_for_its_own_threshold() -> None:
    assert not decide(POLICY, LoopState(new_labels=99)).start
    assert decide(POLICY, LoopState(new_labels=100)).start


def test_nothing_starts_while_a_training_is_under_way() -> None:
    decision = decide(POLICY, LoopState(new_labels=500, trained_before=True, active_run="r0007"))

    assert not decision.start
    assert "r0007" in decision.reason


def test_few_labels_train_after_a_long_wait() -> None:
    young = LoopState(new_labels=12, trained_before=True, since_first_label_s=3599)
    old = LoopState(new_labels=12, trained_before=True, since_first_label_s=3600)

    assert not decide(POLICY, young).start
    assert decide(POLICY, old).trigger == "waiting"


def test_waiting_never_trains_on_fewer_than_the_minimum() -> None:
    state = LoopState(new_labels=9, trained_before=True, since_first_label_s=1e6)

    assert not decide(POLICY, state).start


def test_a_request_trains_on_the_minimum_without_the_interval() -> None:
    state = LoopState(new_labels=10, trained_before=True, requested=True, since_start_s=1)

    assert decide(POLICY, state).trigger == "request"


def test_a_request_with_too_little_new_says_so() -> None:
    decision = decide(POLICY, LoopState(new_labels=3, trained_before=True, requested=True))

    assert not decision.start
    assert decision.reason == "Requested, but only 3 new labels so far: it starts with 10."


def test_a_request_never_asks_for_more_than_a_training_by_itself() -> None:
    policy = replace(POLICY, after=5)
    state = LoopState(new_labels=5, trained_before=True, requested=True)

    assert decide(policy, state).trigger == "request"
    assert decide(policy, replace(state, new_labels=4)).reason == (
        "Requested, but only 4 new labels so far: it starts with 5."
    )


def test_one_label_is_one_label() -> None:
    decision = decide(POLICY, LoopState(new_labels=1, trained_before=True, requested=True))

    assert "only 1 new label so far" in decision.reason


def test_two_starts_keep_their_distance() -> None:
    early = LoopState(new_labels=60, trained_before=True, since_start_s=599)
    late = LoopState(new_labels=60, trained_before=True, since_start_s=600)

    assert not decide(POLICY, early).start
    assert decide(POLICY, late).start


@pytest.mark.parametrize(
    ("failures", "pause_s"),
    [(1, 60), (2, 120), (3, 240), (7, 3600), (20, 3600), (2000, 3600)],
    ids=["first", "second", "third", "seventh", "never longer than an hour", "after months"],
)
def test_a_failed_training_is_tried_again_after_a_growing_pause(
    failures: int, pause_s: float
) -> None:
    early = LoopState(new_labels=60, failures=failures, since_failure_s=pause_s - 1)
    late = LoopState(new_labels=100, failures=failures, since_failure_s=pause_s)

    assert not decide(POLICY, early).start
    assert decide(POLICY, late).start

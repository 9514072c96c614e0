"""When to train: a pure function of the labels, the runs and the policy.

Never `n % k`: labels arrive in bursts, are corrected and withdrawn, and a jump over a multiple
must not lose a training. The decision carries its reason, because people ask for it
(`carpal status`).
"""

from __future__ import annotations

from dataclasses import dataclass

RETRY_FIRST_S = 60.0
"""Pause after a failed training; doubled with each further failure."""
RETRY_LONGEST_S = 3600.0
"""The pause never grows beyond this."""
DOUBLINGS = 6
"""After so many the pause is at its longest: 60 s x 2^6 is more than an hour."""


@dataclass(frozen=True, slots=True)
class RetrainPolicy:
    """What the installation wants.

    Attributes:
        first_after: Labels that start the very first training, >= 1: a model from nothing needs
            more of them than one that goes on learning.
        after: New or changed labels that start each later training, >= 1.
        min_new: Fewest new labels for a training by waiting or by request, >= 1.
        max_wait_s: Seconds after which one label that waits makes `min_new` enough; 0: never.
        min_interval_s: Fewest seconds between two starts.
    """

    first_after: int
    after: int
    min_new: int
    max_wait_s: float
    min_interval_s: float


@dataclass(frozen=True, slots=True)
class LoopState:
    """What is true now.

    Attributes:
        new_labels: Radiographs whose expert label is new or changed since the last trained version.
        trained_before: At least one training has succeeded.
        active_run: Id of a queued or running training, or empty.
        requested: Somebody asked for a training after the last start.
        since_start_s: Seconds since the last training started; None: none ever did.
        since_first_label_s: Seconds since the oldest label that is not yet trained on; None: none.
        failures: Trainings that failed in a row until now.
        since_failure_s: Seconds since the last of them ended; None: none.
    """

    new_labels: int
    trained_before: bool = False
    active_run: str = ""
    requested: bool = False
    since_start_s: float | None = None
    since_first_label_s: float | None = None
    failures: int = 0
    since_failure_s: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to start a training, and why or why not.

    Attributes:
        start: Start now.
        reason: One sentence for a person.
        trigger: `labels`, `request` or `waiting` when `start`, else empty.
    """

    start: bool
    reason: str
    trigger: str = ""


def decide(policy: RetrainPolicy, state: LoopState) -> Decision:
    """Returns whether a training starts now."""
    if state.active_run:
        return Decision(False, f"Training {state.active_run} is under way.")
    blocked = _pause(policy, state)
    wanted = policy.after if state.trained_before else policy.first_after
    if state.requested and state.new_labels >= min(policy.min_new, wanted):
        return Decision(True, f"Requested, with {_labels(state)}.", "request")
    if state.new_labels >= wanted:
        if blocked:
            return Decision(False, f"{_labels(state)} wait: {blocked}")
        return Decision(True, f"{_labels(state)} reached the {wanted} wanted.", "labels")
    if _waited_long_enough(policy, state) and not blocked:
        return Decision(
            True,
            f"{_labels(state)} have waited for more than {_duration(policy.max_wait_s)}.",
            "waiting",
        )
    if state.requested:
        least = min(policy.min_new, wanted)
        said = f"Requested, but only {_labels(state)} so far: it starts with {least}."
        return Decision(False, said)
    since = "since the last training" if state.trained_before else "for the first training"
    return Decision(False, f"{state.new_labels} of {wanted} new labels {since}.")


def _labels(state: LoopState) -> str:
    return f"{state.new_labels} new label{'' if state.new_labels == 1 else 's'}"


def _pause(policy: RetrainPolicy, state: LoopState) -> str:
    """Returns why an automatic start has to wait, or an empty string."""
    if state.failures and state.since_failure_s is not None:
        pause = min(RETRY_LONGEST_S, RETRY_FIRST_S * 2.0 ** min(state.failures - 1, DOUBLINGS))
        if state.since_failure_s < pause:
            left = _duration(pause - state.since_failure_s)
            return f"the last training failed, the next try is in {left}."
    if state.since_start_s is not None and state.since_start_s < policy.min_interval_s:
        left = _duration(policy.min_interval_s - state.since_start_s)
        return f"the shortest interval between two trainings ends in {left}."
    return ""


def _waited_long_enough(policy: RetrainPolicy, state: LoopState) -> bool:
    return (
        policy.max_wait_s > 0
        and state.new_labels >= policy.min_new
        and state.since_first_label_s is not None
        and state.since_first_label_s >= policy.max_wait_s
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"

"""Processes that are started for one piece of work, which lives and dies with them."""

from __future__ import annotations

import os
import select
from typing import Any

import pytest
from torch import distributed

from data.errors import TrainingError
from trainer.fitting.spawning import run_together
from trainer.fitting.team import Team

pytestmark = pytest.mark.long


def sharing(place: Team, progress: Any) -> list[str]:
    """Every process offers its own word."""
    if progress is not None:
        progress(f"progress of {place.rank}")
    with place.together():
        return [place.share(f"from {place.rank}"), place.share("again")]


def test_what_the_first_process_says_counts_in_all() -> None:
    heard: list[str] = []

    assert run_together(sharing, 2, heard.append) == ["from 0", "again"]
    assert heard == ["progress of 0"]


def dying(place: Team, progress: Any) -> None:
    with place.together():
        if place.rank == 1:
            os._exit(7)
        distributed.barrier()


def test_a_process_that_dies_ends_the_work() -> None:
    with pytest.raises(TrainingError, match=r"exit status 7|is gone"):
        run_together(dying, 2, None)


def refusing(place: Team, progress: Any) -> None:
    with place.together():
        if place.leads:
            raise TrainingError("There is nothing to learn.")
        place.share(None)


def test_an_error_on_purpose_comes_through_as_it_was_raised() -> None:
    with pytest.raises(TrainingError, match=r"^There is nothing to learn\.$"):
        run_together(refusing, 2, None)


def diverging(place: Team, progress: Any) -> None:
    """The same error meets all; the first process is the last to say so."""
    with place.together():
        pids: list[Any] = [None, None]
        distributed.all_gather_object(pids, os.getpid())
        if place.leads:
            select.select([os.pidfd_open(pids[1])], [], [], 60)
        raise TrainingError("The loss is no longer finite.")


def test_an_error_that_meets_all_processes_comes_through_as_it_was_raised() -> None:
    with pytest.raises(TrainingError, match=r"^The loss is no longer finite\.$"):
        run_together(diverging, 2, None)


def dying_first(place: Team, progress: Any) -> None:
    if place.leads:
        os._exit(7)
    select.select([], [], [], 60)


def test_a_first_process_that_dies_is_told_by_its_exit_status() -> None:
    with pytest.raises(TrainingError, match="exit status 7"):
        run_together(dying_first, 2, None)

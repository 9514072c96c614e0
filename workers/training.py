"""One training run from the labels to the gate, stage by stage.

Each stage looks first whether its result is there already, so that a run that was killed goes on
where it stopped. Only one run works at a time on a host: a file lock says so, and the kernel
frees it whatever happens to the process.
"""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from data.domain import DatasetVersion, Example, TaskSpec
from data.errors import CarpalError, NotFoundError, VersionError
from data.ledger.events import EventKind
from data.ledger.ledger import Ledger
from data.runs import Run, RunChanges, RunState
from data.versions.proposals import Proposal
from workers.adjudication import adjudicators
from workers.assembly import (
    dataset,
    image_limits,
    mask_store,
    open_ledger,
    task,
    train_options,
)
from workers.committing import commit_current
from workers.judging import Candidate, put_to_gate
from workers.reviewing import wait_for_review
from workers.scheduling import HEARTBEAT_S, note_labels_seen, override_of
from workers.settings import Settings
from workers.starting import start_of

if TYPE_CHECKING:
    from data.versions.repository import DatasetRepository
    from trainer.fitting.course import EpochReport

ENDED = (RunState.SUCCEEDED, RunState.FAILED)
PROGRESS_S = 2.0
"""Seconds between two notes of a training's progress in the ledger."""

log = logging.getLogger(__name__)


def run_training(settings: Settings, ledger: Ledger, run_id: str) -> None:
    """Works on a run until it has succeeded or failed; does nothing if it already has.

    A failure with a known reason is recorded with the run and not raised: the labels are safe,
    the policy decides when to try again.

    Raises:
        NotFoundError: There is no such run.
    """
    run = ledger.run(run_id)
    if run is None:
        raise NotFoundError(f"There is no training {run_id}.")
    if run.state in ENDED:
        return
    with _only_one(settings.home) as mine:
        if not mine:
            log.info("Another training is at work on this host; %s waits.", run_id)
            return
        now = datetime.now(UTC)
        ledger.update_run(run_id, state=RunState.RUNNING, started_at=now, heartbeat_at=now)
        with _heartbeat(settings, run_id):
            try:
                _Stages(settings, ledger, run_id).work()
            except CarpalError as error:
                _fail(ledger, run_id, str(error))
            except Exception as error:
                _fail(ledger, run_id, f"{type(error).__name__}: {error}")
                raise


@dataclass(slots=True)
class _Stages:
    """The stages of one run; each notes its name and its seconds in the ledger."""

    settings: Settings
    ledger: Ledger
    run_id: str

    def work(self) -> None:
        spec = task(self.settings)
        with self._stage("commit"):
            version = self._commit(spec)
            examples = self._examples(spec, version) if version else []
        if version is None:
            return
        with self._stage("train"):
            folder = self._train(spec, version, examples)
        with self._stage("evaluate"):
            candidate = Candidate(self.run_id, spec, version.name, examples, folder)
            put_to_gate(self.settings, self.ledger, candidate)
        self.ledger.update_run(
            self.run_id, state=RunState.SUCCEEDED, stage="", finished_at=datetime.now(UTC)
        )

    def _commit(self, spec: TaskSpec) -> DatasetVersion | None:
        """Returns the version to train on; None: it waits for a person's review."""
        repository = dataset(self.settings, spec)
        run = self._run()
        version = {v.name: v for v in self.ledger.versions()}.get(run.version)
        if version is None:
            committed = self._commit_labels(run, repository, spec)
            if isinstance(committed, Proposal):
                wait_for_review(self.ledger, run.id, committed.name, committed.branch)
                return None
            version = committed
            self.ledger.update_run(self.run_id, version=version.name)
        if repository.unpushed(version.name) and (reason := repository.push()):
            self._against_the_rule(run, reason)
        return version

    def _commit_labels(
        self, run: Run, repository: DatasetRepository, spec: TaskSpec
    ) -> DatasetVersion | Proposal:
        reason = repository.dirty()
        latest = self.ledger.latest_version()
        if reason and latest is not None:
            self._against_the_rule(run, reason)
            return latest
        version, seen = commit_current(
            self.ledger, repository, spec, run.trigger, adjudicators(self.settings)
        )
        note_labels_seen(self.ledger, self.run_id, seen)
        return version

    def _against_the_rule(self, run: Run, reason: str) -> None:
        """Goes on only if somebody has taken the responsibility, and records who and why."""
        allowed = override_of(self.ledger, run)
        if allowed is None:
            raise VersionError(
                f"{reason} No training starts from such a repository, unless you take the "
                "responsibility with 'carpal train --override REASON'."
            )
        if all(e.subject != run.id for e in self.ledger.events(kinds=[EventKind.OVERRIDE])):
            fact = {"by": allowed[0], "why": allowed[1], "of": reason}
            self.ledger.append(EventKind.OVERRIDE, run.id, fact)

    def _examples(self, spec: TaskSpec, version: DatasetVersion) -> list[Example]:
        masks = mask_store(self.settings)
        examples = dataset(self.settings, spec).examples(version.name)
        return [replace(e, mask=masks.find(e.radiograph_id)) for e in examples]

    def _train(self, spec: TaskSpec, version: DatasetVersion, examples: list[Example]) -> Path:
        from trainer.train import train

        folder = self.settings.home / "runs" / self.run_id / "model"
        if (folder / "model.json").exists():
            return folder
        options = train_options(self.settings)
        trained = train(
            spec,
            examples,
            options,
            folder,
            dataset_version=version.name,
            provenance={"dataset_commit": version.commit, "run": self.run_id},
            start=start_of(self.settings, self.ledger, options),
            progress=self._progress(),
            cache=self.settings.cache / "pixels",
            limits=image_limits(self.settings),
        )
        return trained.folder

    def _progress(self) -> Callable[[EpochReport], None]:
        """Returns what tells the log of each epoch, and the ledger now and then."""
        told = time.monotonic()

        def progress(report: EpochReport) -> None:
            nonlocal told
            log.info("Epoch %d of %d: loss %.4f", report.epoch, report.epochs, report.loss)
            if time.monotonic() - told >= PROGRESS_S:
                told = time.monotonic()
                stage = f"train, epoch {report.epoch} of {report.epochs}"
                _mention(self.ledger, self.run_id, stage=stage)

        return progress

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        self.ledger.update_run(self.run_id, stage=name)
        began = time.monotonic()
        yield
        seconds = {**self._run().seconds, name: round(time.monotonic() - began, 3)}
        self.ledger.update_run(self.run_id, seconds=seconds)

    def _run(self) -> Run:
        run = self.ledger.run(self.run_id)
        if run is None:
            raise NotFoundError(f"There is no training {self.run_id}.")
        return run


def _fail(ledger: Ledger, run_id: str, reason: str) -> None:
    log.error("Training %s failed: %s", run_id, reason)
    ledger.update_run(run_id, state=RunState.FAILED, error=reason, finished_at=datetime.now(UTC))


def _mention(ledger: Ledger, run_id: str, **changes: Unpack[RunChanges]) -> None:
    """Notes what the next note makes good: a ledger that fails for a moment ends no training."""
    try:
        ledger.update_run(run_id, **changes)
    except CarpalError as error:
        log.warning("Training %s goes on unnoted: %s", run_id, error)


@contextmanager
def _only_one(home: Path) -> Iterator[bool]:
    """Yields whether this process is the only one that trains in this workspace."""
    with (home / "training.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


@contextmanager
def _heartbeat(settings: Settings, run_id: str) -> Iterator[None]:
    """Notes in the ledger, every few seconds, that the run's process lives."""
    stop = threading.Event()

    def beat() -> None:
        with open_ledger(settings) as ledger:
            while not stop.wait(HEARTBEAT_S):
                _mention(ledger, run_id, heartbeat_at=datetime.now(UTC))

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()

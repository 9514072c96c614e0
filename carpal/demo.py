"""The whole loop with a simulated reader, in a workspace of its own.

Every part is the real one: Label Studio, webhooks, Redis, workers, git and DVC, training, gate,
hot swap, scoring. Only the person who labels is simulated (`carpal/simulated_reader.py`).
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console

from carpal.demo_report import draw_plot, print_table
from carpal.filling import phantoms, progress_bar, rsna
from carpal.processes import only_one
from carpal.side_workspace import fill_with_truths, side_workspace
from carpal.simulated_reader import SimulatedReader
from carpal.up import running_stack
from data.atomic import write_file
from data.domain import Value
from data.errors import CarpalError, InvalidInputError, StackError
from data.ledger.ledger import Ledger
from data.runs import Run, RunState
from workers.assembly import dataset, label_studio, open_ledger, task
from workers.bootstrap import connect
from workers.promotion import CHAMPION
from workers.rescoring import SCORED, open_tasks
from workers.settings import Settings

LOCK = "demo.lock"
MARKER = "carpal-demo-workspace"
"""A folder is only ever emptied if this file, written by an earlier demo, lies in it."""
PHANTOM_SIZES = {"pool": 600, "seed_labels": 120, "labels_per_round": 60}
"""A demonstration of a few minutes on two CPU cores."""
REAL_SIZES = {"pool": 2000, "seed_labels": 400, "labels_per_round": 100}
"""Real radiographs need more labels before a model says anything."""
ROUND_TIMEOUT_S = 3600.0
POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What `carpal demo` is asked for.

    Attributes:
        data: Folder in RSNA layout; None: phantoms.
        pool: Radiographs that are imported; 0: see `PHANTOM_SIZES` and `REAL_SIZES`.
        rounds: Trainings; the first one on the seed labels.
        seed_labels: Labels before the first training; 0: as above.
        labels_per_round: Labels before each later training; 0: as above.
        reader_sd: Standard deviation of the simulated reader's error, months.
        backbone: timm model; empty: the trainer's default.
        image_size: Side of the prepared image, pixels; 0: the trainer's default.
        json: Where the summary is written; None: nowhere.
        plot: Where the plot is written; None: in the demo's workspace.
        exit: End the stack at the end instead of leaving it to the user.
        seed: Of the choice of radiographs and of the reader's error.
    """

    data: Path | None = None
    pool: int = 0
    rounds: int = 3
    seed_labels: int = 0
    labels_per_round: int = 0
    reader_sd: float = 3.0
    backbone: str = ""
    image_size: int = 0
    json: Path | None = None
    plot: Path | None = None
    exit: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Round:
    """One turn of the loop, as the summary shows it; errors are in months."""

    version: str
    labels: int
    model: str
    mae_months: float | None
    mae_ci95: tuple[float, float] | None
    baseline_mae_months: float | None
    promoted: bool
    reason: str
    seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """What `--json` writes."""

    rounds: list[Round]
    labels_submitted: int
    labels_in_last_version: int
    seconds_total: float
    options: Mapping[str, Any] = field(default_factory=dict)


def run_demo(
    options: DemoOptions, settings: Settings, console: Console | None = None
) -> DemoSummary:
    """Runs the loop and reports on it.

    Raises:
        InvalidInputError: The options contradict each other or the data folder is not one.
        StackError: Another demo runs in the workspace.
        CarpalError: A part of the loop failed; the sentence says which.
    """
    # The demo's workspace is erased at its start, so its lock lies outside.
    with only_one(settings.home / LOCK, f"The demo of {settings.home}"):
        return _run(options, settings, console or Console())


def _run(options: DemoOptions, settings: Settings, console: Console) -> DemoSummary:
    began = time.monotonic()
    options = _with_sizes(options)
    settings = _workspace(options, settings)
    truths = _import(options, settings, console)
    with running_stack(settings, console):
        with progress_bar(console, "Tasks in Label Studio", 0) as advance_to:
            project = connect(settings, advance_to)
        reader = SimulatedReader(
            label_studio(settings), project, task(settings), truths, options.reader_sd, options.seed
        )
        rounds = [
            _round(number, options, settings, reader, console)
            for number in range(1, options.rounds + 1)
        ]
        summary = DemoSummary(
            rounds,
            len(reader.submitted),
            _labels_in_last_version(settings),
            round(time.monotonic() - began, 1),
            _told(options),
        )
        _report(options, settings, summary, console)
        if not options.exit:
            _wait_for_user(settings, console)
    return summary


def _with_sizes(options: DemoOptions) -> DemoOptions:
    """Fills in the sizes that were left open, by the kind of data."""
    sizes = PHANTOM_SIZES if options.data is None else REAL_SIZES
    open_sizes = {name: size for name, size in sizes.items() if not getattr(options, name)}
    return replace(options, **open_sizes)  # type: ignore[arg-type]  # sizes are int


def _workspace(options: DemoOptions, settings: Settings) -> Settings:
    """Returns the settings of a fresh workspace below the usual one, on free ports."""
    if options.rounds < 1 or min(options.seed_labels, options.labels_per_round) < 1:
        raise InvalidInputError("--rounds, --seed-labels and --labels-per-round must be positive.")
    wanted = options.seed_labels + (options.rounds - 1) * options.labels_per_round
    if wanted > 0.8 * options.pool:
        raise InvalidInputError(
            f"{wanted} labels need a pool of at least {int(wanted / 0.75)} radiographs: a fifth of "
            f"the pool is held out; raise --pool (now {options.pool})."
        )
    home = settings.home / "demo"
    if home.exists():
        if not (home / MARKER).exists() and any(home.iterdir()):
            raise StackError(f"{home} is not a demo's workspace; move it away first.")
        shutil.rmtree(home)
    home.mkdir(parents=True)
    (home / MARKER).touch()
    training = {"backbone": options.backbone, "image_size": options.image_size}
    return side_workspace(
        home,
        {name: value for name, value in training.items() if value},
        settings,
        salt=f"demo-{options.seed}",  # the same splits each time
        retrain_first_after=options.seed_labels,
        retrain_after=options.labels_per_round,
        calibration_share=0.12,
        test_share=0.18,
    )


def _import(
    options: DemoOptions, settings: Settings, console: Console
) -> dict[str, Mapping[str, Value]]:
    """Fills the pool; returns radiograph id -> true values, which only the reader knows."""
    if options.data is None:
        source = phantoms(options.pool, options.seed)
    else:
        source = rsna(options.data, options.pool, options.seed)
    return fill_with_truths(settings, source, console)


def _round(
    number: int, options: DemoOptions, settings: Settings, reader: SimulatedReader, console: Console
) -> Round:
    count = options.seed_labels if number == 1 else options.labels_per_round
    with progress_bar(console, f"Round {number}: labels", count) as advance_to:
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            advance_to(done, count)

        if number == 1:
            with open_ledger(settings) as ledger:
                tasks = list(open_tasks(ledger, reader.project).items())
            Random(options.seed).shuffle(tasks)
            labelled = reader.label_tasks(tasks[:count], advance)
        else:
            labelled = reader.label_stream(count, advance)
    if labelled < count:
        raise InvalidInputError(
            f"Only {labelled} of {count} radiographs were left to label; raise --pool."
        )
    return _await_round(number, settings, console)


def _await_round(number: int, settings: Settings, console: Console) -> Round:
    """Waits until the run of this round has ended and the pool is scored by the champion."""
    limit = time.monotonic() + ROUND_TIMEOUT_S
    with open_ledger(settings) as ledger, console.status(f"Round {number}: training") as status:
        while time.monotonic() < limit:
            run = ledger.run(f"r{number:04d}")
            if run is not None:
                status.update(f"Round {number}: {run.stage or run.state.value}")
                if run.state is RunState.FAILED:
                    raise CarpalError(f"Training {run.id} failed: {run.error}")
                if run.state is RunState.SUCCEEDED and _scored(ledger):
                    return _summarise(ledger, ledger.run(run.id) or run)
            time.sleep(POLL_S)
    raise CarpalError(f"Round {number} did not end within {ROUND_TIMEOUT_S / 60:.0f} minutes.")


def _scored(ledger: Ledger) -> bool:
    return ledger.get_state(SCORED) == ledger.get_state(CHAMPION)


def _summarise(ledger: Ledger, run: Run) -> Round:
    version = next(v for v in ledger.versions() if v.name == run.version)
    metrics = run.metrics
    return Round(
        version=run.version,
        labels=version.expert_labels,
        model=run.model_version,
        mae_months=metrics.get("mae"),
        mae_ci95=tuple(metrics["mae_ci95"]) if metrics.get("mae_ci95") else None,
        baseline_mae_months=metrics.get("baseline_mae"),
        promoted=bool(run.promoted),
        reason=run.reason,
        seconds=_stage_seconds(run),
    )


def _stage_seconds(run: Run) -> dict[str, float]:
    return {k: run.seconds.get(k, 0.0) for k in ("commit", "train", "evaluate", "rescore")}


def _labels_in_last_version(settings: Settings) -> int:
    repository = dataset(settings, task(settings))
    latest = repository.latest()
    if latest is None:
        return 0
    return sum(row["reference"] != "true" for row in repository.rows(latest))


def _told(options: DemoOptions) -> dict[str, Any]:
    """Returns the options that shape the result, without the paths of this machine."""
    told = {k: v for k, v in asdict(options).items() if k not in ("json", "plot", "exit")}
    return {**told, "data": "phantoms" if options.data is None else options.data.name}


def _report(
    options: DemoOptions, settings: Settings, summary: DemoSummary, console: Console
) -> None:
    print_table(summary.rounds, console)
    console.print(
        f"{summary.labels_submitted} labels submitted, {summary.labels_in_last_version} in the "
        f"last version, {summary.seconds_total:.0f} s in all."
    )
    if options.json is not None:
        write_file(options.json, (json.dumps(asdict(summary), indent=2) + "\n").encode())
    plot = options.plot or settings.home / "demo.png"
    draw_plot(summary.rounds, plot)
    console.print(f"Plot: {plot}")


def _wait_for_user(settings: Settings, console: Console) -> None:
    console.print(f"\nThe workbench goes on running at {settings.label_studio}; Ctrl-C ends it.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.print("Stopping.")

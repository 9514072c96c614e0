"""What self-supervised first weights are worth: the error with few labels, with and without them.

For each number of labels (200, 500, 1,000) and each of three draws of them, the default model is
trained twice on the same labelled radiographs, for as many steps and with the same options:

1. from self-supervised weights, learnt once from all radiographs but those of the test split;
2. baseline: from random weights.

Figure: mean absolute error of the bone age on the test split, mean over the draws; the draws'
standard deviation is in the raw results. The pre-training is shared by all trainings, as the
trainer does by itself: weights learnt from the same pool are kept.

With CARPAL_TEST_DATA the radiographs are those of the RSNA challenge, otherwise phantoms.

    python benchmarks/pretraining.py --json FILE --markdown FILE
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from report import Figure, arguments, write

from data.domain import Example, Split
from data.sources.item import SourceItem
from data.sources.phantoms import read_phantoms
from data.sources.rsna import read_rsna
from labeling_config.tasks import load_task
from trainer.inputs.pixels import Film
from trainer.options import TrainOptions
from trainer.predictor import Predictor
from trainer.train import train
from trainer.training import Start

LABELS = (200, 500, 1_000)
DRAWS = 3
FILMS = 6_000
PHANTOMS = 2_500
"""Drawing one takes as long as a training step."""

PHANTOM_SIDE = 128
CALIBRATION, TEST = 200, 1_000
PRETRAINING_S = 300.0
EPOCHS = 100
"""More than the time allows: the time decides."""

STARTS = ("self_supervised", "scratch")


@dataclass(frozen=True, slots=True)
class Run:
    """One training.

    Attributes:
        labels: Labelled training radiographs.
        draw: Number of the draw of them.
        start: See `TrainOptions.start`.
        mae_months: On the test split.
        seconds: The whole training; the first self-supervised one pays for the pre-training.
    """

    labels: int
    draw: int
    start: str
    mae_months: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Films:
    """The radiographs, dealt out.

    Attributes:
        pool: May be labelled and learnt from.
        calibration: Fit the intervals.
        test: Measure the error; neither labelled nor learnt from.
    """

    pool: Sequence[Example]
    calibration: Sequence[Example]
    test: Sequence[Example]

    def unlabelled(self) -> list[Film]:
        """All that pre-training may see."""
        return [Film(e.radiograph_id, e.path, e.mask) for e in (*self.pool, *self.calibration)]

    def drawn(self, labels: int, draw: int) -> list[Example]:
        """What is labelled: more labels of one draw begin with the fewer ones."""
        order = np.random.default_rng(draw).permutation(len(self.pool))[:labels]
        return [self.pool[i] for i in order]


def main() -> None:
    """Trains in turns and writes the figures."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--labels", type=int, nargs="+", default=LABELS)
    parser.add_argument("--draws", type=int, default=DRAWS, help="draws of the labels")
    parser.add_argument("--films", type=int, default=FILMS, help="radiographs of the challenge")
    parser.add_argument("--pretraining-s", type=float, default=PRETRAINING_S)
    parser.add_argument("--backbone", default=TrainOptions().backbone)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all cores")
    parser.add_argument("--markdown", type=Path, help="where the table is written")
    chosen = parser.parse_args()
    options = TrainOptions(
        backbone=chosen.backbone,
        flip=True,
        threads=chosen.threads or os.cpu_count() or 1,
        ssl_epochs=EPOCHS,
        ssl_max_seconds=chosen.pretraining_s,
    )
    with tempfile.TemporaryDirectory() as folder:
        films, source = _films(Path(folder), chosen.films)
        if max(chosen.labels) > len(films.pool):
            parser.error(f"there are only {len(films.pool)} radiographs to label")
        runs = list(_runs(chosen, films, options, Path(folder)))
    figures = [_figure(runs, labels) for labels in sorted(chosen.labels)]
    write(
        "pretraining",
        figures,
        chosen.json,
        source=source,
        radiographs={"pool": len(films.pool), "test": len(films.test)},
        options=options.to_json(),
        runs=[asdict(run) for run in runs],
    )
    table = _table(runs, sorted(chosen.labels))
    print(f"\n{source}\n\n{table}")
    if chosen.markdown:
        chosen.markdown.write_text(table)


def _runs(chosen: Namespace, films: Films, options: TrainOptions, folder: Path) -> Iterator[Run]:
    """Both starts take turns, so that they see the same machine."""
    for draw in range(chosen.draws):
        for labels in sorted(chosen.labels):
            examples = [*films.drawn(labels, draw), *films.calibration]
            for start in STARTS:
                began = time.perf_counter()
                mae = _error(films, examples, replace(options, start=start), folder)
                run = Run(labels, draw, start, mae, round(time.perf_counter() - began, 1))
                print(run, flush=True)
                yield run


def _error(films: Films, examples: Sequence[Example], options: TrainOptions, folder: Path) -> float:
    """Trains one model and returns its mean absolute error on the test split, months."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        model = train(
            load_task("bone_age"),
            examples,
            options,
            Path(place) / "model",
            dataset_version="v0001",
            start=Start(pool=films.unlabelled()),
            cache=folder / "cache",
        )
        predictions, errors = Predictor.load(model.folder, "cpu").predict_files(
            [(e.radiograph_id, e.path) for e in films.test]
        )
    if errors:
        raise next(iter(errors.values()))
    truths = {e.radiograph_id: float(e.values["age_months"]) for e in films.test}
    misses = [abs(float(p.values["age_months"]) - truths[p.radiograph_id]) for p in predictions]
    return statistics.mean(misses)


def _films(folder: Path, count: int) -> tuple[Films, str]:
    data = os.environ.get("CARPAL_TEST_DATA")
    if data:
        source = "RSNA Pediatric Bone Age Challenge 2017, training part"
        items = [item for item in read_rsna(Path(data) / "rsna", limit=count) if item.path]
    else:
        source = f"phantoms of {PHANTOM_SIDE} px: CARPAL_TEST_DATA is not set"
        items = list(read_phantoms(min(count, PHANTOMS), size=PHANTOM_SIDE))
    tested = min(TEST, len(items) // 3)
    learnt = tested + min(CALIBRATION, len(items) // 10)
    test, calibration, pool = items[:tested], items[tested:learnt], items[learnt:]
    return Films(
        [_example(item, Split.TRAIN, folder) for item in pool],
        [_example(item, Split.CALIBRATION, folder) for item in calibration],
        [_example(item, Split.TEST, folder) for item in test],
    ), f"{source}, {len(items)} radiographs"


def _example(item: SourceItem, split: Split, folder: Path) -> Example:
    path = item.path
    if path is None:
        path = folder / f"{item.name}.png"
        path.write_bytes(item.read().payload)
    return Example(item.name, path, item.values, split)


def _figure(runs: Sequence[Run], labels: int) -> Figure:
    ours, baseline = (statistics.mean(_errors(runs, labels, start)) for start in STARTS)
    return Figure(
        f"MAE with {labels:,} labels, self-supervised start",
        "months",
        ours,
        baseline,
        "random start, same labels and steps",
        "lower",
        ours < baseline,
    )


def _errors(runs: Sequence[Run], labels: int, start: str) -> list[float]:
    return [run.mae_months for run in runs if (run.labels, run.start) == (labels, start)]


def _table(runs: Sequence[Run], labels: Sequence[int]) -> str:
    lines = [
        "| labels | self-supervised start | random start | ratio | lower in |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for count in labels:
        ours, baseline = (_errors(runs, count, start) for start in STARTS)
        wins = sum(a < b for a, b in zip(ours, baseline, strict=True))
        ratio = statistics.mean(ours) / statistics.mean(baseline)
        lines.append(
            f"| {count:,} | {_spread(ours)} | {_spread(baseline)} | {ratio:.2f} | "
            f"{wins} of {len(ours)} draws |"
        )
    return "\n".join(lines) + "\n"


def _spread(errors: Sequence[float]) -> str:
    deviation = f" ± {statistics.stdev(errors):.1f}" if len(errors) > 1 else ""
    return f"{statistics.mean(errors):.1f}{deviation}"


if __name__ == "__main__":
    main()

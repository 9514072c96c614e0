"""How well a recipe tells bone age and sex on the public yardstick, and how soon.

The split is that of `yardstick.py`: 80 % of the RSNA challenge's training radiographs train, 10 %
calibrate, 10 % test; single readers. For each time budget one model is trained from the image files
on (an empty pixel cache), so the curve of the error against minutes is one of whole trainings, each
with its own schedule. The known sex is fed, as in the challenge; how much is lost without it is
told as well.

Baseline, in the same run: a plain supervised loop around the same library, as one would write it in
an afternoon (cv2 decodes each film whenever it is needed, squashed to a square; 32 bit, AdamW,
absolute error, mirrored at random), for the longest of the budgets.

    CARPAL_TEST_DATA=FOLDER python benchmarks/accuracy.py --profile cpu --minutes 5,20 --json FILE
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from report import Figure, arguments, write
from torch import nn
from yardstick import rsna_examples

from data.domain import Example, Prediction, Split, TaskSpec
from data.images.decoding import read_grey
from labeling_config.tasks import load_task
from trainer import torchvision_guard  # noqa: F401  (must come before timm)
from trainer.evaluation.evaluation import Evaluation, evaluate
from trainer.evaluation.stress import stress_report
from trainer.evaluation.stresses import STRESSES, Film, quarter_with_marker
from trainer.fitting.course import EpochReport
from trainer.options import TrainOptions, read_yaml
from trainer.predictor import Predictor
from trainer.train import train

import timm  # isort: skip

CALIBRATION_SHARE = 0.12
"""Part of a budget that is left for decoding, calibration and the ends of the epochs."""

BASELINE = "mobilenetv4_conv_small"
BASELINE_SIZE = 160
BASELINE_BATCH = 32
SHAKEN = 400
"""Test films, at least, that are shown at another exposure."""
SHAKEN_GOALS = {"median": 1.0, "p95": 3.0}
"""Months."""
GOALS = {"one model": 6.5, "ensemble": 6.0}
"""Months, on the test split; the winner of the 2017 challenge scored 6.8 on single readers."""


@dataclass(frozen=True, slots=True)
class Result:
    """One trained model on the test split.

    Attributes:
        recipe: Its options, as far as they differ from the defaults.
        minutes: Asked for; 0: no budget.
        seconds: From the image files to the model folder, by the clock.
        epochs: Passes over the training images.
        known: Scores with the recorded sex fed.
        withheld: Scores without.
        shaken: What a quarter of the contrast and a white marker change, months.
    """

    recipe: Mapping[str, Any]
    minutes: float
    seconds: float
    epochs: int
    known: Mapping[str, Any]
    withheld: Mapping[str, Any]
    shaken: Mapping[str, Any]


def main() -> None:
    """Trains, tests and writes the figures."""
    options = parse()
    spec, examples = load_task("bone_age"), rsna_examples()
    if options.limit:
        examples = examples[:: max(1, len(examples) // options.limit)]
    results = []
    for recipe in recipes(options):
        for minutes in [float(part) for part in options.minutes.split(",")]:
            results.append(run(spec, examples, recipe, minutes))
            tell(results[-1])
    longest = max(result.minutes for result in results)
    baseline = [] if options.no_baseline else list(plain_loop(examples, longest * 60))
    write_figures(options, results, baseline)


def parse() -> Namespace:
    """Reads the command line."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--profile", default="cpu", help="profile or YAML file with the options")
    parser.add_argument("--minutes", default="20", help="time budgets; 0: what the recipe says")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE;NAME=VALUE",
        help="a variant of the recipe; may be repeated",
    )
    parser.add_argument("--no-baseline", action="store_true")
    parser.add_argument("--limit", type=int, default=0, help="radiographs, to try it out")
    options: Namespace = parser.parse_args()
    return options


def recipes(options: Namespace) -> Iterator[dict[str, Any]]:
    """Yields the options of each variant."""
    profile = read_yaml(options.profile)
    for text in options.set or [""]:
        pairs = [part.partition("=") for part in text.split(";") if part]
        yield {**profile, **{name: value for name, _, value in pairs}}


def run(
    spec: TaskSpec, examples: Sequence[Example], recipe: Mapping[str, Any], minutes: float
) -> Result:
    """Trains one model and tests it with and without the recorded sex."""
    budget = {"budget_s": minutes * 60 * (1 - CALIBRATION_SHARE)} if minutes else {}
    options = TrainOptions.from_mapping({**recipe, **budget})
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        model = train(
            spec,
            examples,
            options,
            Path(folder) / "model",
            dataset_version="v0001",
            cache=Path(folder) / "cache",
            progress=show,
        )
        seconds = time.monotonic() - began
        predictor = Predictor.load(model.folder, options.device)
        tests = [e for e in examples if e.split is Split.TEST]
        known = score(spec, predictor, examples, tests, fed=True)
        withheld = score(spec, predictor, examples, tests, fed=False)
        shaken = shake(spec, predictor, tests[:: max(1, len(tests) // SHAKEN)])
    return Result(
        recipe,
        minutes,
        round(seconds, 1),
        len(model.history),
        known.to_json(),
        withheld.to_json(),
        shaken,
    )


def shake(spec: TaskSpec, predictor: Predictor, tests: Sequence[Example]) -> dict[str, Any]:
    """Says how much the age changes at a quarter of the contrast with a white marker added."""
    report = stress_report(
        spec,
        predictor,
        [read_grey(e.path) for e in tests],
        [e.radiograph_id for e in tests],
        {e.radiograph_id: e.values for e in tests},
        [{"sex": str(e.values["sex"])} for e in tests],
        [stress for stress in STRESSES if stress.change is quarter_with_marker],
    )
    result: dict[str, Any] = report.to_json()["results"][0]
    return result


def score(
    spec: TaskSpec,
    predictor: Predictor,
    examples: Sequence[Example],
    tests: Sequence[Example],
    fed: bool,
) -> Evaluation:
    """Holds a model against the test split."""
    known = {e.radiograph_id: {"sex": str(e.values["sex"])} for e in tests} if fed else None
    answers, errors = predictor.predict_files(
        [(e.radiograph_id, e.path) for e in tests], known=known
    )
    if errors:
        raise RuntimeError(errors)
    told: dict[str, Prediction] = {answer.radiograph_id: answer for answer in answers}
    learnt = [e.values for e in examples if e.split is Split.TRAIN]
    return evaluate(spec, told, {e.radiograph_id: e.values for e in tests}, learnt)


def plain_loop(examples: Sequence[Example], limit_s: float) -> Iterator[dict[str, float]]:
    """Yields minutes and error of a plain loop, about every twentieth of its time."""
    torch.manual_seed(0)
    network: nn.Module = timm.create_model(BASELINE, in_chans=1, num_classes=1)
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3)
    learnt = [e for e in examples if e.split is Split.TRAIN]
    tests = [e for e in examples if e.split is Split.TEST]
    ages = torch.tensor([float(e.values["age_months"]) for e in learnt])
    mean, sd = ages.mean(), ages.std()
    random, spent, told_at, seen = np.random.default_rng(0), 0.0, 0.0, 0
    while spent < limit_s:
        order = random.permutation(len(learnt))
        for start in range(0, len(order) - BASELINE_BATCH + 1, BASELINE_BATCH):
            began = time.monotonic()
            rows = order[start : start + BASELINE_BATCH]
            pixels = torch.stack([read(learnt[row]) for row in rows])
            mirrored = torch.rand(len(rows)) < 0.5
            pixels = torch.where(mirrored.view(-1, 1, 1, 1), pixels.flip(3), pixels)
            loss = (network.train()(pixels)[:, 0] - (ages[rows] - mean) / sd).abs().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            spent += time.monotonic() - began
            seen += len(rows)
            if spent - told_at >= limit_s / 8 or spent >= limit_s:
                told_at = spent
                row = {
                    "minutes": spent / 60,
                    "images": seen,
                    **test_plain(network, tests, float(mean), float(sd)),
                }
                print(f"plain loop: {row}", file=sys.stderr, flush=True)
                yield row
            if spent >= limit_s:
                return


def read(example: Example, change: Callable[[Film], Film] | None = None) -> torch.Tensor:
    """Decodes one film, changed perhaps, squashed to a square: (1, S, S) float."""
    film = cv2.imread(str(example.path), cv2.IMREAD_GRAYSCALE)
    if film is None:
        raise RuntimeError(example.path)
    film = np.asarray(film, np.uint8)
    shown = change(film) if change else film
    square = cv2.resize(shown, (BASELINE_SIZE, BASELINE_SIZE), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(square).unsqueeze(0).float() / 127.5 - 1


@torch.inference_mode()
def test_plain(
    network: nn.Module, tests: Sequence[Example], mean: float, sd: float
) -> dict[str, float]:
    """Returns the plain loop's error and what another exposure changes, months."""
    network.eval()
    told, shaken = (
        torch.cat(
            [
                network(torch.stack([read(e, change) for e in tests[i : i + BASELINE_BATCH]]))[:, 0]
                for i in range(0, len(tests), BASELINE_BATCH)
            ]
        )
        * sd
        + mean
        for change in (None, quarter_with_marker)
    )
    truth = torch.tensor([float(e.values["age_months"]) for e in tests])
    change = (shaken - told).abs()
    return {
        "mae_months": float((told - truth).abs().mean()),
        "median": float(change.median()),
        "p95": float(change.quantile(0.95)),
    }


def show(report: EpochReport) -> None:
    """Says how the training goes."""
    line = f"epoch {report.epoch}/{report.epochs} loss {report.loss:.3f} {report.seconds:.0f} s"
    print(line, file=sys.stderr, flush=True)


def tell(result: Result) -> None:
    """Prints a result."""
    print(
        f"{result.recipe.get('members') or result.recipe['backbone']}, {result.minutes:g} min "
        f"({result.seconds:.0f} s, {result.epochs} epochs): MAE {result.known['mae']:.2f} months "
        f"(sex withheld {result.withheld['mae']:.2f}), sex {result.known['accuracy']}, "
        f"coverage {result.known['coverage']:.3f}, exposure "
        f"{result.shaken['median']:.2f} / {result.shaken['p95']:.2f} months",
        flush=True,
    )


def write_figures(
    options: Namespace, results: Sequence[Result], baseline: Sequence[Mapping[str, float]]
) -> None:
    """Writes the error of each model beside that of the plain loop."""
    plain = baseline[-1] if baseline else dict.fromkeys(("mae_months", *SHAKEN_GOALS), math.nan)
    figures = []
    for result in results:
        kind = "ensemble" if result.recipe.get("members") else "one model"
        name = result.recipe.get("members") or result.recipe["backbone"]
        figures.append(
            Figure(
                f"error of {kind} {name}, {result.minutes:g} minutes",
                "months",
                result.known["mae"],
                plain["mae_months"],
                f"plain loop, {BASELINE}",
                f"<= {GOALS[kind]:g} months",
                result.known["mae"] <= GOALS[kind],
            )
        )
        figures += [
            Figure(
                f"age at a quarter of the contrast with a marker, {part}, {name}, "
                f"{result.minutes:g} minutes",
                "months",
                result.shaken[part],
                plain[part],
                f"plain loop, {BASELINE}",
                f"<= {goal:g} months",
                result.shaken[part] <= goal,
            )
            for part, goal in SHAKEN_GOALS.items()
        ]
    write(
        "accuracy",
        figures,
        options.json,
        results=[asdict(result) for result in results],
        plain_loop=list(baseline),
    )


if __name__ == "__main__":
    main()

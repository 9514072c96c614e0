"""How fast `carpal predict` is, against its parts run back to back by hand.

Ours: everything between a list of files and a CSV file, as the command does it. Baseline: a loop
that decodes, prepares and lets the network compute the same files in chunks of the same size, in
the same process, and keeps the outputs: no errors met, no novelty, no rows. They take turns. Both
are counted per second of the clock and per second of processor time, so that what else the machine
does decides less. The weights are random: they do not change the speed.

With CARPAL_TEST_DATA radiographs of the RSNA challenge, otherwise phantoms.

    python benchmarks/predict_speed.py --json FILE [--films 2000] [--threads 1]
"""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from report import Figure, arguments, write

from data.images.decoding import read_grey
from data.images.preparation import prepare
from data.sources.phantoms import read_phantoms
from data.sources.rsna import read_rsna
from labeling_config.tasks import load_task
from trainer.answers.calibration import Calibration
from trainer.answers.inference import CHUNK, run
from trainer.answers.novelty import fit_familiar
from trainer.inputs.pixels import preparation_id, preparation_of
from trainer.inputs.targets import Norm
from trainer.model.card import Member, ModelCard, library_versions
from trainer.model.files import Part, save_model
from trainer.options import TrainOptions
from trainer.predictor import Predictor
from workers.predicting import predict_wanted
from workers.prediction_inputs import Wanted

GOAL = 0.9
ROUNDS = 3
FILMS = 2000
PHANTOM_SIDE = 300
FIT = 100
NETWORKS = (("test_resnet", 96), ("resnet18", 160))
PARTS = "decode + prepare + forward by hand"


@dataclass(frozen=True, slots=True)
class Spent:
    """What something took.

    Attributes:
        wall_s: By the clock.
        cpu_s: Of all processors.
        peak_mib: Highest memory of the process meanwhile.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float


def main() -> None:
    """Measures each network and writes the figures."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--films", type=int, default=FILMS)
    parser.add_argument("--threads", type=int, default=1, help="of the network")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    figures, rounds = [], {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        files, what = radiographs(folder, options.films)
        for backbone, size in NETWORKS:
            name = f"{backbone} at {size} px"
            predictor = model(folder / backbone, backbone, size, files[:FIT])
            torch.set_num_threads(options.threads)
            cv2.setNumThreads(1)
            warm = files[: 2 * CHUNK["cpu"]]
            by_hand(predictor, warm)
            ours, parts = [], []
            for number in range(options.rounds):
                parts.append(measure(partial(by_hand, predictor, files)))
                out = folder / f"{backbone}-{number}.csv"
                ours.append(measure(partial(predict, predictor, files, out)))
            figures += figures_of(name, len(files), ours, parts)
            rounds[name] = {"ours": list(map(asdict, ours)), "parts": list(map(asdict, parts))}
    write("predict_speed", figures, options.json, data=what, threads=options.threads, rounds=rounds)


def radiographs(folder: Path, count: int) -> tuple[list[Path], str]:
    """Returns the files that are predicted, and what they are."""
    data = os.environ.get("CARPAL_TEST_DATA")
    if data:
        items = itertools.islice(read_rsna(Path(data) / "rsna", count, 0), count)
        files = [item.path for item in items if item.path is not None and not item.problem]
        return files, f"{len(files)} radiographs of the RSNA challenge, long side 299 px, JPEG"
    files = []
    for item in read_phantoms(count, 0, PHANTOM_SIDE):
        files.append(folder / f"{item.name}.png")
        files[-1].write_bytes(item.read().payload)
    return files, f"{count} phantoms of {PHANTOM_SIDE} px, PNG: CARPAL_TEST_DATA is not set"


def model(
    folder: Path, backbone: str, size: int, files: Sequence[Path], seed: int = 0
) -> Predictor:
    """Returns a model with random weights that tells age, sex and novelty."""
    torch.manual_seed(seed)
    spec, device = load_task("bone_age"), torch.device("cpu")
    options = TrainOptions(backbone=backbone, image_size=size, input_mode="explicit")
    member = Member(options, {"age_months": Norm(100.0, 40.0)}, preparation_of(options))
    calibration = Calibration(0.9, {"age_months": 2.5}, usual_distance=(1.0,))
    card = ModelCard(
        task=spec.name,
        targets=spec.targets,
        primary=spec.gate.target,
        input=spec.input,
        options=options,
        members=(member,),
        bands=(),
        calibration=calibration,
        preparation_code=preparation_id(),
        dataset_version="v0001",
        provenance={},
        libraries=library_versions(),
        counts={},
    )
    network = card.network(member).eval()
    squares = np.stack([prepare(read_grey(file), member.preparation) for file in files])
    features = run(network, card.heads(member), squares, device).features
    save_model(folder, [Part(network, fit_familiar(features, squares))], card)
    return Predictor.load(folder, "cpu")


def predict(predictor: Predictor, files: Sequence[Path], out: Path) -> None:
    """Does what the command does."""
    found = predict_wanted(predictor, [Wanted(file.stem, file) for file in files], out=out)
    if found.errors or found.kept:
        raise RuntimeError(f"{found.errors} errors, {found.kept} kept")


def by_hand(predictor: Predictor, files: Sequence[Path]) -> None:
    """Decodes, prepares and computes, one chunk after the other."""
    network, size = predictor.networks[0], CHUNK["cpu"]
    preparation = predictor.card.members[0].preparation
    outputs = []
    with torch.inference_mode():
        for start in range(0, len(files), size):
            films = [read_grey(file) for file in files[start : start + size]]
            squares = np.stack([prepare(film, preparation) for film in films])
            pixels = torch.from_numpy(squares).unsqueeze(1).float() / 255
            outputs.append([head.numpy() for head in network(pixels).heads])


def measure(work: Callable[[], None]) -> Spent:
    """Returns what a piece of work took."""
    forget_peak()
    began, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - began, time.process_time() - cpu, peak_mib())


def forget_peak() -> None:
    """Lets the kernel count the highest memory anew."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mib() -> float:
    """Returns the highest resident memory since `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def figures_of(
    name: str, count: int, ours: Sequence[Spent], parts: Sequence[Spent]
) -> list[Figure]:
    """Returns the medians of one network."""
    clock = [count / median(one.wall_s for one in them) for them in (ours, parts)]
    core = [count / median(one.cpu_s for one in them) for them in (ours, parts)]
    peak = [max(one.peak_mib for one in them) for them in (ours, parts)]
    goal = f">= {GOAL:g} of it"
    return [
        Figure(
            f"{name}: by the clock", "films/s", *clock, PARTS, goal, clock[0] / clock[1] >= GOAL
        ),
        Figure(f"{name}: per core used", "films/s", *core, PARTS, goal, core[0] / core[1] >= GOAL),
        Figure(f"{name}: peak memory", "MiB", *peak, PARTS),
    ]


if __name__ == "__main__":
    main()

"""What training costs beside the network itself.

1. Throughput of the trainer (memory-mapped pixels, augmentation, moving average, Lightning) against
   the same model, optimiser and arithmetic fed with tensors that are already on the device, in the
   same run and in turns. Once with the augmentation in the baseline too (what our machinery costs),
   once without it (what augmentation costs as well).
2. From the start of an epoch to the end of its first step, with a warm cache.
3. A second training after 50 more labels: how many films it decodes.
4. Peak memory, and its growth from epoch to epoch.

Drawn films; the figures do not depend on what they show.

    python benchmarks/training_speed.py --json FILE
"""

from __future__ import annotations

import gc
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import psutil
import torch
from report import Figure, arguments, write

from data.domain import Example, Split, TaskSpec
from data.images.decoding import encode_png
from labeling_config.tasks import load_task
from trainer.answers.inference import choose_device
from trainer.augmentation.augment import augment, ranges_of
from trainer.fitting.cases import Cases
from trainer.fitting.course import EpochReport
from trainer.fitting.fitting import fit
from trainer.fitting.planning import plan
from trainer.inputs import pixels as pixel_store
from trainer.inputs.targets import Norm
from trainer.network.heads import heads_of
from trainer.network.losses import Loss
from trainer.network.network import Network, NetworkForm
from trainer.network.precision import uses_bf16
from trainer.options import TrainOptions
from trainer.train import train

CASES, ROUNDS = 640, 3
GOAL = 0.95
SETTINGS = (("resnet18", 160, 32), ("test_resnet", 96, 16))
EXTRA = 50


def main() -> None:
    """Runs all measurements and writes the figures."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads or psutil.cpu_count() or 1)
    device = choose_device(chosen.device)
    figures: list[Figure] = []
    for backbone, size, batch in SETTINGS:
        figures += throughput(backbone, size, batch, device)
    with tempfile.TemporaryDirectory() as folder:
        figures += whole_trainings(Path(folder), device)
    write("training_speed", figures, chosen.json, device=str(device))


def throughput(backbone: str, size: int, batch: int, device: torch.device) -> list[Figure]:
    """Measures images per second with and without our machinery, in turns."""
    spec = load_task("bone_age")
    options = TrainOptions(
        backbone=backbone,
        image_size=size,
        batch_size=batch,
        augment=1.0,
        flip=True,
        ema=0.99,
        epochs=1,
        min_steps=0,
        threads=torch.get_num_threads(),
        checkpoint_s=1e6,
    )
    cases = drawn_cases(size)
    ours, bare, augmented = [], [], []
    for _ in range(ROUNDS):
        ours.append(trained_s(spec, options, cases, device))
        bare.append(plain_s(spec, options, cases, device, with_augmentation=False))
        augmented.append(plain_s(spec, options, cases, device, with_augmentation=True))
    images = CASES // batch * batch
    name = f"training of {backbone} at {size} px, batches of {batch}"
    rates = [images / median(times) for times in (ours, bare, augmented)]
    goal = f">= {GOAL:g} of it"
    return [
        Figure(
            name,
            "images/s",
            rates[0],
            rates[2],
            "same model and augmentation, tensors on the device",
            goal,
            rates[0] >= GOAL * rates[2],
        ),
        Figure(
            name,
            "images/s",
            rates[0],
            rates[1],
            "same model without augmentation, tensors on the device",
            goal,
            rates[0] >= GOAL * rates[1],
        ),
    ]


def drawn_cases(size: int) -> Cases:
    """Returns cases with smooth random films."""
    random = np.random.default_rng(0)
    squares = random.integers(0, 255, (CASES, size, size), dtype=np.uint8)
    labels = np.stack([random.normal(size=CASES), random.integers(0, 2, CASES)], 1)
    return Cases(
        squares,
        np.arange(CASES),
        labels.astype(np.float32),
        np.ones(CASES, np.float32),
        np.zeros((CASES, 0), np.float32),
    )


def new_network(spec: TaskSpec, options: TrainOptions) -> Network:
    """Returns a network for a task."""
    torch.manual_seed(0)
    heads = heads_of(spec.targets, {"age_months": Norm(120.0, 40.0)}, options)
    outputs = tuple(head.outputs for head in heads)
    return Network(NetworkForm(options.backbone, options.image_size, outputs))


def trained_s(spec: TaskSpec, options: TrainOptions, cases: Cases, device: torch.device) -> float:
    """Returns the seconds of one epoch of the trainer after one that warms up."""
    reports: list[EpochReport] = []
    heads = heads_of(spec.targets, {"age_months": Norm(120.0, 40.0)}, options)
    with tempfile.TemporaryDirectory() as folder:
        two = replace(options, epochs=2)
        fit(
            new_network(spec, options),
            heads,
            cases,
            two,
            device,
            Path(folder),
            None,
            reports.append,
        )
    return reports[1].seconds - reports[0].seconds


def plain_s(
    spec: TaskSpec,
    options: TrainOptions,
    cases: Cases,
    device: torch.device,
    with_augmentation: bool,
) -> float:
    """Returns the seconds of one epoch of a bare loop after one that warms up."""
    network = new_network(spec, options).to(device).train()
    heads = heads_of(spec.targets, {"age_months": Norm(120.0, 40.0)}, options)
    loss = Loss(heads).to(device)
    optimiser = torch.optim.AdamW(network.parameters(), options.learning_rate)
    length = plan(len(cases), options)
    batches = [
        [part.to(device) for part in cases.__getitems__(range(start, start + length.batch_size))]
        for start in range(0, length.steps_per_epoch * length.batch_size, length.batch_size)
    ]
    films = [batch[0].unsqueeze(1).float() / 255 for batch in batches]
    generator, seconds = torch.Generator().manual_seed(0), 0.0
    for _ in range(2):
        began = time.perf_counter()
        for pixels, (_, labels, weights, _) in zip(films, batches, strict=True):
            shown = augment(pixels, ranges_of(options), generator) if with_augmentation else pixels
            with torch.autocast(
                device.type, torch.bfloat16, enabled=uses_bf16(options.precision, device)
            ):
                outputs = network(shown)
            value = loss(outputs.heads, labels, weights)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - began
    return seconds


def whole_trainings(folder: Path, device: torch.device) -> list[Figure]:
    """Measures the first step of an epoch, what a second training decodes, and the memory."""
    spec = load_task("bone_age")
    options = TrainOptions(
        epochs=12, min_steps=0, device=str(device), threads=torch.get_num_threads()
    )
    examples = drawn_examples(folder, CASES + EXTRA)
    train(
        spec,
        examples[:CASES],
        options,
        folder / "first",
        dataset_version="v0001",
        cache=folder / "cache",
    )
    decoded = count_decoded()
    memory: list[float] = []
    marks: list[float] = []

    def note(report: EpochReport) -> None:
        gc.collect()
        memory.append(psutil.Process().memory_info().rss / 2**20)
        marks.append(time.perf_counter())

    began = time.perf_counter()
    train(
        spec,
        examples,
        options,
        folder / "second",
        dataset_version="v0002",
        cache=folder / "cache",
        progress=note,
    )
    epoch_s = median(np.diff(marks))
    to_first_step = marks[0] - began - epoch_s
    growth = memory[-1] - memory[2]
    return [
        Figure(
            f"second training after {EXTRA} more labels: films decoded",
            "films",
            decoded[0],
            EXTRA,
            "films that are new",
            "no more than are new",
            decoded[0] <= EXTRA,
        ),
        Figure(
            "second training: from the call to the first step, decoding included",
            "s",
            to_first_step,
            1.0,
            "one second",
            "<= 1 s",
            to_first_step <= 1.0,
        ),
        Figure(
            "memory at the last epoch",
            "MiB",
            memory[-1],
            memory[2],
            "at the third",
            "no growth over the epochs (16 MiB)",
            growth <= 16,
        ),
    ]


def count_decoded() -> list[int]:
    """Counts from now on the films that the trainer decodes."""
    count, read = [0], pixel_store.prepare_file

    def counted(*arguments: object) -> object:
        count[0] += 1
        return read(*arguments)  # type: ignore[arg-type]

    pixel_store.prepare_file = counted  # type: ignore[assignment]
    return count


def drawn_examples(folder: Path, count: int) -> list[Example]:
    """Writes films of noise, 300 px, and returns them as training examples."""
    random = np.random.default_rng(0)
    examples: list[Example] = []
    for number in range(count):
        path = folder / f"{number}.png"
        small = random.integers(0, 255, (30, 30), dtype=np.uint8)
        path.write_bytes(encode_png(np.kron(small, np.ones((10, 10), np.uint8))))
        values = {
            "age_months": float(random.uniform(0, 240)),
            "sex": ("female", "male")[number % 2],
        }
        split = Split.CALIBRATION if number % 10 == 0 else Split.TRAIN
        examples.append(Example(f"{number:064x}", path, values, split))
    return examples


if __name__ == "__main__":
    main()

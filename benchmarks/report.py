"""What every benchmark writes: both figures, their ratio, the goal, and the machine."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured thing beside its baseline, from the same run.

    Attributes:
        name: What was measured.
        unit: Of `ours` and `baseline`.
        ours: Our figure.
        baseline: The baseline's.
        baseline_name: What the baseline is.
        goal: The goal in words.
        met: Whether the goal was reached; None: there is no goal.
    """

    name: str
    unit: str
    ours: float
    baseline: float
    baseline_name: str
    goal: str = ""
    met: bool | None = None

    @property
    def ratio(self) -> float:
        """Ours over the baseline."""
        return self.ours / self.baseline if self.baseline else float("nan")


def arguments(description: str) -> argparse.ArgumentParser:
    """Returns a parser with the option that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="where the result is written")
    return parser


def machine() -> dict[str, str | int]:
    """Describes the machine, without naming it."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
        "torch": version("torch"),
        "system": f"{platform.system()} {platform.machine()}",
    }


def write(name: str, figures: Sequence[Figure], path: Path | None, **extra: object) -> None:
    """Prints the figures and writes them as JSON if a path is given."""
    for figure in figures:
        verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
        print(
            f"{figure.name}: {figure.ours:.4g} {figure.unit}; {figure.baseline_name}: "
            f"{figure.baseline:.4g}; ratio {figure.ratio:.3g}  {figure.goal} {verdict}"
        )
    if path is None:
        return
    document = {
        "benchmark": name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "figures": [{**asdict(f), "ratio": f.ratio} for f in figures],
        **extra,
    }
    # Numbers and truths of numpy become those of Python.
    path.write_text(json.dumps(document, indent=2, default=lambda value: value.item()) + "\n")


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"

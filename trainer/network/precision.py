"""Which arithmetic a machine is made for."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Whether a training computes with bf16, for `TrainOptions.precision`."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and _cpu_multiplies_bf16()


@cache
def _cpu_multiplies_bf16() -> bool:
    """Whether the CPU has matrix units for bf16, twice as fast as 32 bit in most convolutions."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return " amx_bf16" in flags

"""A workspace beside the user's own, for the demo, the benchmarks and the tests of the stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from carpal.filling import Source, fill_pool
from carpal.free_ports import with_free_ports
from data.domain import Value
from data.sources.item import SourceItem
from workers.settings import Settings, ensure_secrets


def side_workspace(
    home: Path, training: Mapping[str, Any], own: Settings, **changes: Any
) -> Settings:
    """Returns settings of a workspace with its own secrets, on free ports.

    Trainings start by the number of labels alone, so that a run of it can be repeated.

    Args:
        home: Its folder, which is made.
        training: Training options that differ from the defaults.
        own: The user's settings, whose programs and device are used.
        changes: Further settings.
    """
    ensure_secrets(home)
    config = home / "train.yaml"
    config.write_text(yaml.safe_dump(dict(training)))
    return with_free_ports(
        replace(
            Settings.load({"CARPAL_HOME": str(home)}),
            label_studio_python=own.label_studio_python,
            device=own.device,
            train_config=str(config),
            retrain_min_new=1,
            retrain_max_wait_s=0,
            **changes,
        )
    )


def fill_with_truths(
    settings: Settings, source: Source, console: Console
) -> dict[str, Mapping[str, Value]]:
    """Fills the pool; returns radiograph id -> what the source says of it.

    The ledger learns only what the source says of the held-out radiographs.
    """
    truths: dict[str, Mapping[str, Value]] = {}

    def remembered() -> Iterator[SourceItem]:
        for item in source.items:
            truths[item.name] = item.values
            yield item

    report = fill_pool(settings, replace(source, items=remembered()), console)
    return {report.radiograph_ids[n]: v for n, v in truths.items() if n in report.radiograph_ids}

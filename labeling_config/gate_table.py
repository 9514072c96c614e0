"""Reads `[gate]` of `task.toml`: what a new model must not do worse than the champion."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from data.domain import GateMetric, GateRule, Target
from labeling_config.layout import CONFIG_FILE
from labeling_config.task_table import Table


def gate_rule(table: Table, targets: Mapping[str, Target]) -> GateRule:
    """Reads the table.

    Args:
        table: `[gate]` of `task.toml`.
        targets: The task's targets by name.

    Raises:
        TaskConfigError: It contradicts itself or the targets.
    """
    keys = ("target", "metric", "margin", "band_margin", "band_edges", "band_by", "min_band_cases")
    table.allow(*keys)
    name = table.text("target")
    if name not in targets:
        table.refuse("target", f"must name a <Number> or <Choices> of {CONFIG_FILE}, not '{name}'")
    target = targets[name]
    edges = _edges(table, target)
    band_by = table.text("band_by", "") or None
    if band_by is not None and (band_by not in targets or targets[band_by].kind != "choice"):
        table.refuse("band_by", f"must name a <Choices> of {CONFIG_FILE}, not '{band_by}'")
    if band_by == name:
        table.refuse("band_by", "must name another <Choices>: each choice is a band anyway")
    cases = table.positive("min_band_cases", 15)
    if cases != int(cases):
        table.refuse("min_band_cases", "must be a whole number")
    return GateRule(
        target=name,
        margin=_margin(table, "margin", target),
        band_margin=_margin(table, "band_margin", target),
        band_edges=edges,
        band_by=band_by,
        min_band_cases=int(cases),
        metric=_metric(table, target),
    )


def _metric(table: Table, target: Target) -> GateMetric:
    metric = table.text("metric", "error")
    if metric == "log_loss" and target.kind == "choice":
        return "log_loss"
    if metric != "error":
        table.refuse("metric", "must be 'error' or, of a <Choices>, 'log_loss'")
    return "error"


def _margin(table: Table, key: str, target: Target) -> float:
    margin = table.positive(key)
    if target.kind == "choice" and _metric(table, target) == "error" and margin >= 1:
        table.refuse(key, "is a share of answers and must be below 1: 0.02 is two in a hundred")
    return margin


def _edges(table: Table, target: Target) -> tuple[float, ...]:
    values = table.values.get("band_edges")
    if target.kind == "choice":
        if values is not None:
            table.refuse("band_edges", "is of a <Number>: of a <Choices> each choice is a band")
        return ()
    if not isinstance(values, list) or len(values) < 2:
        table.refuse("band_edges", "must be a list of two or more numbers")
    edges = tuple(
        Table(table.task, table.path, {"band_edges": v}).number("band_edges") for v in values
    )
    if any(low >= high for low, high in pairwise(edges)):
        table.refuse("band_edges", "must ascend")
    return edges

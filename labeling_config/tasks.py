"""A task is a folder: `config.xml` as the expert sees it, `task.toml` for what the XML cannot say.

`load_task` reads both, holds them against each other and returns one `TaskSpec`, from which the
rest of Carpal is derived. Every contradiction is one sentence that names the file and the fix.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.domain import Target, TaskSpec
from data.errors import TaskConfigError
from labeling_config.gate_table import gate_rule
from labeling_config.layout import (
    CONFIG_FILE,
    MODEL_VERSION_NOTE,
    Control,
    Layout,
    read_layout,
)
from labeling_config.task_table import TASK_FILE, Table

MIN_TITLE, MAX_TITLE = 3, 50
"""Characters of a project's title; Label Studio takes no other."""
RESERVED_NAMES = frozenset(
    {
        *("id", "image", "patient", "split"),
        *("readers", "agreement", "reference", "labelled_at", "source"),
        MODEL_VERSION_NOTE,
    }
)
"""Columns of `labels.csv` and notes that a target must not be named after."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_FOLDER = Path(__file__).parent


def task_names() -> list[str]:
    """Returns the names of the tasks that come with Carpal, sorted."""
    return sorted(file.parent.name for file in _FOLDER.glob(f"*/{TASK_FILE}"))


def load_task(name_or_folder: str | Path) -> TaskSpec:
    """Reads a task.

    Args:
        name_or_folder: Name of a task that comes with Carpal, or path of a task's folder.

    Raises:
        TaskConfigError: A file is missing or unreadable, or the two contradict each other.
    """
    folder = Path(name_or_folder)
    if name_or_folder in task_names():
        folder = _FOLDER / folder
    if not (folder / CONFIG_FILE).is_file() or not (folder / TASK_FILE).is_file():
        raise TaskConfigError(
            f"There is no task '{name_or_folder}': a task is a folder with {CONFIG_FILE} and "
            f"{TASK_FILE}, and Carpal brings: {', '.join(task_names())}."
        )
    name = folder.resolve().name
    config_xml = _text(folder / CONFIG_FILE)
    layout = read_layout(config_xml, name)
    table = Table(name, "", _toml(folder / TASK_FILE))
    table.allow("title", "input", "unreadable", "targets", "gate")
    unreadable = _unreadable(table, layout)
    targets = _targets(layout, table.section("targets"), unreadable)
    return TaskSpec(
        name=name,
        title=_title(table),
        image_tag=layout.image_tag,
        image_key=layout.image_key,
        targets=targets,
        gate=gate_rule(table.section("gate"), {t.name: t for t in targets}),
        config_xml=config_xml,
        input=_input(table, {t.name: t for t in targets}),
        unreadable=unreadable,
    )


def _title(table: Table) -> str:
    title = table.text("title").strip()
    if not MIN_TITLE <= len(title) <= MAX_TITLE:
        table.refuse("title", f"must have {MIN_TITLE} to {MAX_TITLE} characters")
    return title


def _unreadable(table: Table, layout: Layout) -> Target | None:
    name = table.text("unreadable", "")
    for other in sorted(layout.hiding - {name}):
        table.refuse(
            "unreadable",
            f"must be '{other}': {CONFIG_FILE} hides controls where it is chosen "
            '(visibleWhen="choice-unselected")',
        )
    if not name:
        return None
    control = layout.control(name)
    if control is None or control.kind != "choice":
        table.refuse("unreadable", f"must name a <Choices> of {CONFIG_FILE}, not '{name}'")
    return Target(name, "choice", choices=control.choices)


def _targets(layout: Layout, table: Table, unreadable: Target | None) -> tuple[Target, ...]:
    aside = unreadable.name if unreadable else ""
    controls = [c for c in layout.controls if c.kind != "note" and c.name != aside]
    names = {c.name for c in controls}
    for name in table.values:
        if name not in names:
            table.refuse(name, f"is no <Number> or <Choices> of {CONFIG_FILE}")
    targets = tuple(_target(c, table) for c in controls)
    if not targets:
        table.refuse("", f"is empty: {CONFIG_FILE} has neither <Number> nor <Choices>")
    by_name = {t.name: t for t in targets}
    for target in targets:
        _check_condition(target, by_name, table)
    return targets


def _target(control: Control, table: Table) -> Target:
    if not _NAME.fullmatch(control.name) or control.name in RESERVED_NAMES:
        table.refuse(
            control.name,
            "cannot be a column of labels.csv: use small letters, digits and underscores, and none "
            f"of {', '.join(sorted(RESERVED_NAMES))}",
        )
    own = table.section(control.name)
    weight = own.positive("loss_weight", 1.0)
    if control.kind == "choice":
        own.allow("loss_weight")
        return Target(
            name=control.name,
            kind="choice",
            choices=control.choices,
            applies_when=control.applies_when,
            loss_weight=weight,
        )
    own.allow("unit", "tolerance", "loss_weight")
    return Target(
        name=control.name,
        kind="number",
        unit=own.text("unit"),
        minimum=control.minimum,
        maximum=control.maximum,
        tolerance=own.positive("tolerance"),
        applies_when=control.applies_when,
        loss_weight=weight,
    )


def _check_condition(target: Target, by_name: Mapping[str, Target], table: Table) -> None:
    if target.applies_when is None:
        return
    other, value = target.applies_when
    if other == target.name or other not in by_name or value not in by_name[other].choices:
        table.refuse(
            target.name,
            f"is visible when '{other}' is '{value}' ({CONFIG_FILE}), which cannot be chosen",
        )


def _input(table: Table, targets: Mapping[str, Target]) -> str | None:
    name = table.text("input", "") or None
    if name is not None and (name not in targets or targets[name].kind != "choice"):
        table.refuse("input", f"must name a <Choices> of {CONFIG_FILE}, not '{name}'")
    return name


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskConfigError(f"{path} cannot be read as UTF-8 text: {error}.") from error


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise TaskConfigError(f"{path.parent.name}/{TASK_FILE} is not TOML: {error}.") from error

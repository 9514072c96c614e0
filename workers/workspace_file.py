"""`carpal.toml`: settings that a workspace keeps, from wherever somebody works on it.

Each key is a setting (`task = "bone_age"`, `redis_port = 6391`); the environment comes before it.
Secrets have a file of their own, `secrets.toml`.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from data.atomic import write_file
from data.errors import InvalidInputError

WORKSPACE_FILE = "carpal.toml"
HEAD = "# Settings of this workspace; the environment (CARPAL_...) comes before them.\n"


def read_table(path: Path) -> dict[str, Any]:
    """Reads a TOML file; one that is not there is empty.

    Raises:
        InvalidInputError: It cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # of TOML and of UTF-8
        raise InvalidInputError(f"{path} is not readable as TOML: {error}.") from error


def keep_task(home: Path, given: str, task: str) -> None:
    """Writes down which task a workspace works on, unless its file says so already.

    Args:
        home: The workspace.
        given: The task as somebody names it: a name, or a folder.
        task: The same as it can be named from anywhere: a name, or an absolute path.

    Raises:
        InvalidInputError: The workspace works on another task, or its file cannot be read.
        StorageError: The file cannot be written.
    """
    path = home / WORKSPACE_FILE
    kept = read_table(path).get("task")
    if kept in (given, task):
        return
    if kept:
        raise InvalidInputError(
            f"{home} works on the task '{kept}' ({WORKSPACE_FILE}), not on '{task}': a workspace "
            "has one task; name another workspace in CARPAL_HOME."
        )
    text = path.read_text(encoding="utf-8") if path.exists() else HEAD
    # In front, because what stands below a table's name would belong to the table.
    line = f"task = {json.dumps(task, ensure_ascii=False)}\n"  # JSON's texts are TOML's.
    write_file(path, f"{HEAD}{line}{text.removeprefix(HEAD)}".encode())

"""The workspaces that one backend serves: its own, and others below a prefix.

`also_serves` names their folders. The settings of another workspace are those of its own folder:
its `secrets.toml`, its `carpal.toml`, the defaults. Nothing of the environment reaches it, for that
names the places, ports, secrets and the task of the workspace whose backend this is; the device
alone is the server's.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from data.errors import InvalidInputError, StackError
from labeling_config.tasks import load_task, task_names
from workers.settings import PREFIX, SECRETS_FILE, Settings
from workers.workspace_file import WORKSPACE_FILE, keep_task

NEEDED_SECRETS = ("backend_user", "backend_password", "webhook_secret")
"""Without them everybody could come in."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What may stand in an address, in a page and in a header as it is."""


def other_workspaces(settings: Settings) -> dict[str, Path]:
    """Returns prefix -> folder of the workspaces that this backend serves beside its own.

    Raises:
        StackError: Two have the same name, a name cannot be a prefix, a folder is no workspace or
            lacks a secret, or two workspaces would mix their jobs in one Redis.
    """
    found: dict[str, Path] = {}
    queues = {_queue(settings): settings.home}
    for text in filter(None, map(str.strip, settings.also_serves.split(","))):
        folder = Path(text).expanduser().absolute()
        if not _NAME.fullmatch(folder.name):
            raise _refusal(folder, "cannot be a prefix of addresses: rename it (letters, digits)")
        if folder.name in found:
            raise _refusal(folder, f"has the same name as {found[folder.name]}: rename one")
        if folder.resolve() == settings.home.resolve():
            raise _refusal(folder, "is the backend's own workspace, which needs no prefix")
        _check_workspace(folder, queues)
        found[folder.name] = folder
    return found


def settings_of(folder: Path, device: str) -> Settings:
    """Returns the settings of another workspace.

    Args:
        folder: Its folder.
        device: The server's.

    Raises:
        InvalidInputError: One of its files cannot be read, or says what makes no sense.
        StackError: A secret is missing.
    """
    settings = Settings.load({f"{PREFIX}HOME": str(folder), f"{PREFIX}DEVICE": device})
    for name in NEEDED_SECRETS:
        if not getattr(settings, name):
            raise _refusal(folder, f"lacks {name} in {SECRETS_FILE}: 'carpal up' makes it")
    return settings


def remember_task(settings: Settings) -> None:
    """Writes down which task a workspace works on, for those who do not share its environment.

    Raises:
        InvalidInputError: It works on another task.
        TaskConfigError: There is no such task.
        StorageError: The workspace cannot be written.
    """
    load_task(settings.task)
    given = settings.task
    keep_task(settings.home, given, given if given in task_names() else str(Path(given).resolve()))


def _check_workspace(folder: Path, queues: dict[tuple[str, ...], Path]) -> None:
    """Raises StackError unless it is a workspace; notes its queue."""
    if not (folder / SECRETS_FILE).is_file():
        raise _refusal(folder, f"is no workspace, it has no {SECRETS_FILE}: 'carpal up' makes one")
    try:
        queue = _queue(settings_of(folder, "auto"))
    except InvalidInputError:
        return  # Damaged: it is not served, and the others are.
    if queue in queues:
        raise _refusal(
            folder,
            f"has the same Redis as {queues[queue]}, where their jobs would mix: write the "
            f"redis_port (or redis_url) that it is started with into its {WORKSPACE_FILE}",
        )
    queues[queue] = folder


def _queue(settings: Settings) -> tuple[str, ...]:
    """Returns what tells one Redis database from another."""
    address = urlsplit(settings.redis)
    return (address.hostname or "", str(address.port or ""), address.path, address.query)


def _refusal(folder: Path, why: str) -> StackError:
    return StackError(f"CARPAL_ALSO_SERVES: {folder} {why}.")

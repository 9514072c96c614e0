"""Joins the workspace with Label Studio: the project, its tasks, and who is who.

Safe to run at every start: what is there is kept, what is missing is made, what was left half
done by a killed start is finished.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection

from data.domain import Radiograph, TaskSpec
from data.errors import NotFoundError
from data.ledger.ledger import Ledger
from labeling_config.client import LabelStudio, ProjectHandle
from labeling_config.codec import radiograph_of_task_data, task_data
from labeling_config.project import ensure_project
from workers.assembly import label_studio, open_ledger, task
from workers.settings import Settings

PROJECT = "project"
"""State key: JSON object with the Label Studio project's and the ML backend's id."""
IMPORT_CHUNK = 500
"""Tasks in one request to Label Studio."""

log = logging.getLogger(__name__)


def project_handle(ledger: Ledger) -> ProjectHandle:
    """Returns the Label Studio project that the ledger knows.

    Raises:
        NotFoundError: The workspace has not been joined with Label Studio yet.
    """
    text = ledger.get_state(PROJECT)
    if text is None:
        raise NotFoundError(
            "This workspace has no Label Studio project yet; start it with 'carpal up'."
        )
    return ProjectHandle(**json.loads(text))


def connect(settings: Settings, progress: Callable[[int, int], None] | None = None) -> int:
    """Makes or repairs the project and puts the working set before the experts.

    That is every unlabelled radiograph of the pool, or with `working_set = "chosen"` only what
    `carpal extend` has chosen.

    Args:
        settings: Where everything is.
        progress: Called with (tasks done, tasks in all) while tasks are made.

    Returns:
        Id of the Label Studio project.

    Raises:
        ServiceUnavailableError: Label Studio or the backend does not answer.
    """
    spec, client = task(settings), label_studio(settings)
    with open_ledger(settings) as ledger:
        handle = ensure_project(
            client,
            spec,
            backend_url=settings.backend,
            backend_user=settings.backend_user,
            backend_password=settings.backend_password,
            webhook_secret=settings.webhook_secret,
            pool_images=settings.pool / "images",
        )
        ledger.set_state(PROJECT, json.dumps({"id": handle.id, "backend_id": handle.backend_id}))
        chosen = () if settings.working_set == "chosen" else None
        add_tasks(client, ledger, spec, handle.id, progress, chosen=chosen)
    return handle.id


def add_tasks(
    client: LabelStudio,
    ledger: Ledger,
    spec: TaskSpec,
    project: int,
    progress: Callable[[int, int], None] | None = None,
    *,
    chosen: Collection[str] | None = None,
) -> int:
    """Makes a Label Studio task for each radiograph that has neither a task nor a reference.

    Args:
        client: Label Studio.
        ledger: Open ledger.
        spec: The task of the project.
        project: Id of the project.
        progress: Called with (tasks made, tasks to make).
        chosen: Only these radiographs; None: all.

    Returns:
        Tasks made.
    """
    adopt_known_tasks(client, ledger, spec, project)
    waiting = [r for r in without_task(ledger, project) if chosen is None or r.id in chosen]
    for start in range(0, len(waiting), IMPORT_CHUNK):
        chunk = waiting[start : start + IMPORT_CHUNK]
        numbers = client.import_tasks(project, [task_data(spec, r) for r in chunk])
        ledger.link_tasks(project, dict(zip(numbers, (r.id for r in chunk), strict=True)))
        if progress is not None:
            progress(min(start + IMPORT_CHUNK, len(waiting)), len(waiting))
    return len(waiting)


def without_task(ledger: Ledger, project: int) -> list[Radiograph]:
    """Returns the radiographs that have neither a task nor a reference, sorted by id."""
    linked = set(ledger.task_links(project).values())
    settled = {r.radiograph_id for r in ledger.readings() if not r.annotation}
    return [r for r in ledger.radiographs() if r.id not in linked and r.id not in settled]


def adopt_known_tasks(client: LabelStudio, ledger: Ledger, spec: TaskSpec, project: int) -> int:
    """Links tasks that Label Studio has and the ledger does not, by the radiograph they name.

    A start that was killed between making tasks and linking them leaves such tasks.
    """
    links = ledger.task_links(project)
    found: dict[int, str] = {}
    for state in client.tasks(project):
        radiograph_id = radiograph_of_task_data(spec, state.data)
        if state.task_id not in links and radiograph_id is not None:
            if ledger.radiograph(radiograph_id) is None:
                log.warning("Task %d names a radiograph that is not in the pool.", state.task_id)
                continue
            found[state.task_id] = radiograph_id
    if found:
        ledger.link_tasks(project, found)
    return len(found)

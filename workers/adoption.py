"""Adopts images that somebody brought into Label Studio: they become radiographs of the pool.

Those are uploads, and objects of the cloud storages that Label Studio knows.

Safe to run twice, by two jobs at once, and after a kill at any line: what is imported is known the
next time, a task is linked once it is imported, and only then counted as seen.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from data.domain import TaskSpec
from data.errors import AccessError, InvalidInputError, NotFoundError, ServiceUnavailableError
from data.importing.items import import_items
from data.ledger.ledger import Ledger
from data.sources.item import Delivered, SourceItem
from labeling_config.client import LabelStudio, TaskState
from labeling_config.client_image_hosts import NamedHosts
from labeling_config.client_uploads import Uploads
from labeling_config.codec import local_file_of
from labeling_config.image_addresses import (
    is_upload,
    path_on_label_studio,
    require_own_upload,
    resolving_path,
    stored_object,
)
from labeling_config.image_hosts import read_image_hosts
from workers.assembly import pool, task
from workers.salt import require_same_salt
from workers.settings import Settings

SOURCE = "label-studio"
SEEN = "adoption/seen"
"""State key: greatest id of a task that was looked at; tasks behind it are new."""
REFUSED = "adoption/refused"
"""State key: JSON object, task -> why its image was not adopted."""
PATIENT_KEY = "patient"
"""Key of a task's `data` that may say which patient an upload shows."""
BUDGET_S = 120.0
"""Longest that one reconcile fetches uploads; the next one goes on."""
BATCH = 16
BATCH_BYTES = 64 * 1024 * 1024
"""Uploads that are imported together, and how much of them is held in memory."""
TASK_ERRORS = (InvalidInputError, AccessError, NotFoundError, ServiceUnavailableError)
"""What can be wrong with one upload."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Adopted:
    """What an adoption did.

    Attributes:
        linked: Task -> the radiograph that it shows.
        refused: Task -> why its image could not be taken.
        left: Tasks that the next adoption looks at.
    """

    linked: dict[int, str] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    left: int = 0


class Adopter:
    """Takes what tasks show into the pool.

    Args:
        settings: Pool, salt, shares of the splits, limits, Label Studio.
        spec: The task of the project.
        fetch: Reads what Label Studio hands out, by its path there; see `Uploads`.
    """

    def __init__(self, settings: Settings, spec: TaskSpec, fetch: Callable[[str], bytes]) -> None:
        self._settings = settings
        self._spec = spec
        self._fetch = fetch

    @classmethod
    def of(cls, settings: Settings) -> Adopter:
        """Returns the adopter of a workspace."""
        hosts = NamedHosts(read_image_hosts(settings.image_hosts))
        uploads = Uploads(settings.label_studio, settings.label_studio_token, hosts)
        return cls(
            settings, task(settings), partial(uploads.read, max_bytes=settings.max_image_bytes)
        )

    def adopt(
        self,
        client: LabelStudio,
        ledger: Ledger,
        project: int,
        annotated: Sequence[TaskState] = (),
        *,
        full: bool = False,
    ) -> Adopted:
        """Adopts the images of tasks that belong to no radiograph.

        Args:
            client: Label Studio; asked once if there are no new tasks.
            ledger: Open ledger.
            project: The project.
            annotated: Tasks without radiograph that came to notice by their annotations.
            full: Look at every task again, also at those whose image was refused before.

        Raises:
            ServiceUnavailableError: Label Studio does not answer; the next call goes on.
            StorageError: The disk is full.
        """
        before = {} if full else _refused(ledger)
        seen = 0 if full else int(ledger.get_state(SEEN) or 0)
        listed = list(client.tasks(project, after=seen))
        links = ledger.task_links(project) if listed else {}
        found = {state.task_id: state for state in annotated if state.task_id not in before}
        found |= {state.task_id: state for state in listed if state.task_id not in links}
        waiting = [found[number] for number in sorted(found)]
        done = Adopted()
        for batch in self._batches(client, ledger, project, waiting, done):
            self._take(ledger, project, batch, done)
        if done.linked or done.refused or full:
            kept = {t: why for t, why in before.items() if t not in done.linked}
            _remember(ledger, {**kept, **done.refused})
        if done.left:
            ledger.set_state(SEEN, str(waiting[-done.left].task_id - 1))
        elif listed:
            ledger.set_state(SEEN, str(listed[-1].task_id))
        return done

    def _batches(
        self,
        client: LabelStudio,
        ledger: Ledger,
        project: int,
        waiting: Sequence[TaskState],
        done: Adopted,
    ) -> Iterator[dict[int, SourceItem | str]]:
        """Fetches what tasks show, in parts; tells `done` what cannot be had, and what is left."""
        deadline = time.monotonic() + BUDGET_S
        batch: dict[int, SourceItem | str] = {}
        held = 0
        for number, state in enumerate(waiting):
            if time.monotonic() > deadline:
                done.left = len(waiting) - number
                break
            try:
                batch[state.task_id], size = self._shown(ledger, project, state)
            except TASK_ERRORS as error:
                if isinstance(error, ServiceUnavailableError) and not client.health():
                    raise
                done.refused[state.task_id] = str(error)
                continue
            held += size
            if len(batch) >= BATCH or held >= BATCH_BYTES:
                yield batch
                batch, held = {}, 0
        if batch:
            yield batch

    def _shown(
        self, ledger: Ledger, project: int, state: TaskState
    ) -> tuple[SourceItem | str, int]:
        """Returns the radiograph that a task shows or the item that is to become one; its bytes."""
        address = state.data.get(self._spec.image_key)
        if not isinstance(address, str) or not address:
            raise InvalidInputError(f"The task has no {self._spec.image_key!r}.")
        home = self._settings.label_studio
        stored = stored_object(address, home, state.task_id)
        if stored is None:
            path = path_on_label_studio(address, home)
            if not is_upload(path):
                return self._in_pool(ledger, path), 0
            require_own_upload(path, project)
        else:
            path = resolving_path(stored, project)
        payload = self._fetch(path)
        patient = str(state.data.get(PATIENT_KEY) or "").strip()
        patient = patient or f"{SOURCE} {stored or path}"
        item = SourceItem(
            f"task {state.task_id}", patient=patient, load=partial(Delivered, payload)
        )
        return item, len(payload)

    def _in_pool(self, ledger: Ledger, path: str) -> str:
        file = local_file_of(path, self._settings.pool)
        known = ledger.radiograph(file.stem)
        if known is None or (self._settings.pool / known.path).resolve() != file:
            raise NotFoundError("The image is not a radiograph of the pool.")
        return known.id

    def _take(
        self, ledger: Ledger, project: int, batch: dict[int, SourceItem | str], done: Adopted
    ) -> None:
        """Imports one part and links its tasks."""
        require_same_salt(ledger, self._settings.salt)
        items = {f"task {number}": number for number in batch}
        report = import_items(
            [item for item in batch.values() if isinstance(item, SourceItem)],
            pool=pool(self._settings),
            ledger=ledger,
            source=SOURCE,
            salt=self._settings.salt,
            calibration_share=self._settings.calibration_share,
            test_share=self._settings.test_share,
            reference_splits=frozenset(),
            targets=(),
            workers=1,
        )
        done.refused |= {items[name]: reason for name, reason in report.refused}
        linked = {number: shown for number, shown in batch.items() if isinstance(shown, str)}
        linked |= {items[name]: known for name, known in report.radiograph_ids.items()}
        ledger.link_tasks(project, linked)
        done.linked |= linked
        log.info("Tasks adopted: %d, new radiographs: %d.", len(linked), report.new)


def not_adopted(ledger: Ledger) -> list[str]:
    """Returns what a person should know of images that were not adopted; one sentence each."""
    return [
        f"The image of Label Studio task {number} was not adopted: {why}"
        for number, why in sorted(_refused(ledger).items())
    ]


def _refused(ledger: Ledger) -> dict[int, str]:
    told = json.loads(ledger.get_state(REFUSED) or "{}")
    return {int(number): str(why) for number, why in told.items()}


def _remember(ledger: Ledger, refused: dict[int, str]) -> None:
    text = json.dumps({str(number): why for number, why in sorted(refused.items())})
    if text != ledger.get_state(REFUSED):
        ledger.set_state(REFUSED, text)

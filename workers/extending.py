"""Extends the working set: the next N radiographs, for the experts or out of a labelled source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from data.domain import REFERENCE_READER, Radiograph, Reading
from data.errors import InvalidInputError, NotFoundError
from data.ledger.ledger import Ledger
from workers.adjudication import adjudicators
from workers.assembly import dataset, label_studio, task
from workers.bootstrap import add_tasks, adopt_known_tasks, project_handle, without_task
from workers.choosing import at_random, least_sure
from workers.committing import commit_current
from workers.promotion import CHAMPION, request_rescore
from workers.rescoring import predictions_of
from workers.settings import Settings

if TYPE_CHECKING:
    from workers.committing import Committed

CANDIDATES = 20
"""Radiographs that the champion looks at for each one that is chosen."""


@dataclass(frozen=True, slots=True)
class Extension:
    """What an extension did.

    Attributes:
        radiograph_ids: The chosen ones, the most wanted first.
        left: Radiographs that could still be chosen.
        by: `random`, or the version of the model that chose.
    """

    radiograph_ids: tuple[str, ...]
    left: int
    by: str


def extend_for_experts(settings: Settings, ledger: Ledger, count: int) -> Extension:
    """Puts the next `count` radiographs before the experts as tasks in Label Studio.

    Safe to repeat after a kill: tasks that were made and not linked are found again.

    Raises:
        NotFoundError: Every radiograph is before the experts, or there is no project yet.
        ServiceUnavailableError: Label Studio does not answer.
    """
    spec, client, handle = task(settings), label_studio(settings), project_handle(ledger)
    adopt_known_tasks(client, ledger, spec, handle.id)
    candidates = without_task(ledger, handle.id)
    if not candidates:
        raise NotFoundError(
            "Every radiograph of the pool is before the experts or has a reference: import more. "
            "Only with CARPAL_WORKING_SET=chosen do they wait until they are asked for."
        )
    chosen, by = _choose(settings, ledger, candidates, count)
    add_tasks(client, ledger, spec, handle.id, chosen=chosen)
    champion = ledger.get_state(CHAMPION)
    if champion:
        request_rescore(settings, champion)
    return Extension(tuple(chosen), len(candidates) - len(chosen), by)


def extend_from_labelled(
    settings: Settings, ledger: Ledger, count: int
) -> tuple[Extension, Committed]:
    """Takes the next `count` radiographs that their source has labelled into the dataset.

    Their source's values become their reference, and a dataset version is committed (in review
    mode: proposed).

    Raises:
        NotFoundError: No radiograph is left whose source has labelled it.
        VersionError: The version cannot be committed; the next one that is holds them.
    """
    spec = task(settings)
    told = {k: v for k, v in ledger.source_values().items() if spec.gate.target in v}
    settled = {reading.radiograph_id for reading in ledger.readings()}
    candidates = [r for r in ledger.radiographs() if r.id in told and r.id not in settled]
    if not candidates:
        raise NotFoundError(
            "No radiograph is left that came with values and has not been read: import a "
            "labelled source first."
        )
    chosen, by = _choose(settings, ledger, candidates, count)
    now = datetime.now(UTC)
    ledger.record_readings([Reading(name, REFERENCE_READER, told[name], now) for name in chosen])
    trigger = f"extended by {len(chosen)} labelled radiographs"
    committed = commit_current(
        ledger, dataset(settings, spec), spec, trigger, adjudicators(settings)
    )
    return Extension(tuple(chosen), len(candidates) - len(chosen), by), committed


def extension_sentence(extension: Extension, committed: Committed | None) -> str:
    """Returns one sentence for a person.

    Args:
        extension: What was done.
        committed: The version or proposal that holds the radiographs; None: experts read them.
    """
    where = "are before the experts"
    if committed:
        where = f"are in the dataset: {committed.version.name}"
        if committed.branch:
            where = f"wait for a person on branch {committed.branch}"
    return (
        f"{len(extension.radiograph_ids)} radiographs, chosen by {extension.by}, {where}; "
        f"{extension.left} are left to choose from."
    )


def _choose(
    settings: Settings, ledger: Ledger, candidates: Sequence[Radiograph], count: int
) -> tuple[list[str], str]:
    if count < 1:
        raise InvalidInputError("At least one radiograph must be asked for.")
    champion = ledger.get_state(CHAMPION)
    if not champion:
        return [item.id for item in at_random(candidates, count)], "random"
    looked_at = at_random(candidates, count * CANDIDATES)
    predictions = predictions_of(settings, ledger, champion, [item.id for item in looked_at])
    return [item.id for item in least_sure(looked_at, predictions, count)], champion

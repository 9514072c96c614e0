"""The expert's desk: a radiograph with all that is known of it, its pictures, and what is like it.

Whoever shows a case asks here; nothing here knows HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Self

from data.domain import Radiograph, TaskSpec
from data.errors import NotFoundError
from data.ledger.ledger import Ledger
from workers import assembly
from workers.adjudication import adjudicators
from workers.case import Case, CaseSources, gather_case, radiograph_of_task
from workers.case_input import told_before
from workers.current_standards import CurrentStandards
from workers.explaining_model import ExplainingModel, load_explaining
from workers.film_pictures import FilmPictures
from workers.settings import Settings
from workers.similar import Features, Similar, SimilarCases
from workers.similar_index import index_folder, request_index
from workers.standards import primary_number

if TYPE_CHECKING:
    from data.versions.repository import DatasetRepository

REMEMBERED_VERSIONS = 2
"""Dataset versions whose rows are kept in memory: 12,000 rows take 20 MB."""


class Desk:
    """What the pages of cases show; may be shared by threads.

    Args:
        sources: Ledger, task, dataset versions, adjudicators.
        standards: The settled films.
        pictures: The films as pictures.
        model: Computes heat maps.
        similar: Finds similar films.
    """

    def __init__(
        self,
        sources: CaseSources,
        standards: CurrentStandards,
        pictures: FilmPictures,
        model: ExplainingModel,
        similar: SimilarCases,
    ) -> None:
        self._sources = sources
        self._standards = standards
        self._pictures = pictures
        self._model = model
        self._similar = similar

    @classmethod
    def of_workspace(
        cls, settings: Settings, spec: TaskSpec, ledger: Ledger, standards: CurrentStandards
    ) -> Self:
        """Makes the desk of a workspace; nothing is read or loaded before it is asked for."""
        deciding = adjudicators(settings)
        pictures = FilmPictures(assembly.pool(settings), settings.cache)
        model = ExplainingModel(lambda version: load_explaining(settings, version))

        def embed(radiograph: Radiograph, version: str) -> Features:
            film = pictures.film(radiograph)
            with model.use(version) as predictor:
                embedded: Features = predictor.embed_images([film], [radiograph.id])[0]
            return embedded

        return cls(
            CaseSources(ledger, spec, _KeptVersions(assembly.dataset(settings, spec)), deciding),
            standards,
            pictures,
            model,
            SimilarCases(
                index_folder(settings), embed, lambda version: request_index(settings, version)
            ),
        )

    def radiograph_of_task(self, task: int) -> str:
        """Returns the id of the radiograph that a task shows; NotFoundError if there is none."""
        return radiograph_of_task(self._sources.ledger, task)

    def case(self, radiograph_id: str, serving: str, *, independent: bool = False) -> Case:
        """Returns what is known of a radiograph; see `workers.case.gather_case`."""
        standards = self._standards.current()
        return gather_case(
            self._sources, standards, radiograph_id, serving, independent=independent
        )

    def similar(self, radiograph: Radiograph, serving: str) -> Similar:
        """Returns the settled films that the serving model finds most like a film."""
        return self._similar.of(radiograph, serving, self._standards.current())

    def tasks(self, project: int, radiograph_ids: Sequence[str]) -> Mapping[str, int]:
        """Returns radiograph -> task of those that have one."""
        return self._sources.ledger.tasks_showing(project, radiograph_ids) if project else {}

    def film(self, radiograph_id: str, *, as_stored: bool = False) -> bytes:
        """Returns a film as PNG, levelled unless it is wanted as it is stored.

        Raises:
            NotFoundError: There is no such radiograph.
            ImageError: Its file cannot be read, or is not what was imported.
        """
        return self._pictures.png(self._radiograph(radiograph_id), as_stored=as_stored)

    def thumbnail(self, radiograph_id: str) -> bytes:
        """Returns a film small, as PNG; errors as of `film`."""
        return self._pictures.thumbnail(self._radiograph(radiograph_id))

    def heat_map(self, radiograph_id: str, serving: str) -> bytes:
        """Returns where the serving model looked for the number, as PNG; may take seconds.

        Raises:
            NotFoundError: There is no such radiograph, no model, or no number to explain.
            CarpalError: See `workers.film_pictures.FilmPictures.heat_map`.
        """
        rows = self._sources.ledger.case(radiograph_id)
        if rows is None:
            raise _unknown(radiograph_id)
        target = primary_number(self._sources.spec)
        if not serving or target is None:
            raise NotFoundError("There is no model whose answer could be explained yet.")
        known = told_before(self._sources.spec, rows, serving)
        return self._pictures.heat_map(self._model, serving, rows.radiograph, target.name, known)

    def _radiograph(self, radiograph_id: str) -> Radiograph:
        found = self._sources.ledger.radiograph(radiograph_id)
        if found is None:
            raise _unknown(radiograph_id)
        return found


class _KeptVersions:
    """The rows of dataset versions, which never change."""

    def __init__(self, repository: DatasetRepository) -> None:
        self.rows = lru_cache(maxsize=REMEMBERED_VERSIONS)(repository.rows)


def _unknown(radiograph_id: str) -> NotFoundError:
    return NotFoundError(f"There is no radiograph {radiograph_id[:16]!r} in this workspace.")

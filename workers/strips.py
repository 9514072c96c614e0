"""Writes the reference cases that stand beside each open film into its Label Studio task.

Label Studio is asked what each task carries, and only what differs is written, the film that is
served next first: a run that was killed goes on where it stopped, and a second one writes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from urllib.parse import quote

from data.atomic import write_file
from data.domain import Prediction, Radiograph, TaskSpec
from data.errors import ImageError, NotFoundError
from data.images.decoding import read_grey
from data.images.standard import standard_jpeg
from data.pool import FOLDER, Pool
from labeling_config.client import LabelStudio
from labeling_config.codec import LOCAL_FILES, shows_standards
from labeling_config.layout import STANDARDS_KEY
from labeling_config.standards_html import ReferenceCase, standards_html
from workers.recorded import input_of
from workers.standards import Standard, Standards, primary_number

PICTURES = "standards"
"""Folder of the standards' pictures among the pool's images: Label Studio serves what lies there
to those who may see the project."""
ASK_EVERY = 50
"""Tasks between two questions whether to go on."""

log = logging.getLogger(__name__)


class StandardPictures:
    """Small pictures of the standards; each is made once, when a strip first shows it.

    Args:
        pool: The films, with the limits under which they are read.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._addresses: dict[str, str] = {}

    def address(self, film: Radiograph) -> str:
        """Returns where Label Studio serves the picture of a film; empty: it cannot be read.

        Raises:
            StorageError: The disk is full or the pool cannot be written.
        """
        if film.id not in self._addresses:
            self._addresses[film.id] = self._make(film)
        return self._addresses[film.id]

    def _make(self, film: Radiograph) -> str:
        path = f"{FOLDER}/{PICTURES}/{film.id[:2]}/{film.id}.jpg"
        file = self._pool.root / path
        if not file.exists():
            try:
                pixels = read_grey(self._pool.path(film), self._pool.limits)
            except ImageError as error:
                log.warning("Radiograph %s is no reference case: %s", film.id[:12], error)
                return ""
            write_file(file, standard_jpeg(pixels), sync=False)
        return f"{LOCAL_FILES}?d={quote(path)}"


class Strips:
    """Says what stands beside a film.

    Args:
        spec: The task.
        standards: The settled films.
        pictures: Of these.
        pages: Base URL of the pages of cases.
    """

    def __init__(
        self, spec: TaskSpec, standards: Standards, pictures: StandardPictures, pages: str
    ) -> None:
        self._spec = spec
        self._standards = standards
        self._pictures = pictures
        self._pages = pages
        self._target = primary_number(spec) if shows_standards(spec) else None

    def beside(self, task: int, film: Radiograph, said: Prediction) -> str | None:
        """Returns the HTML of the strip; None: the task has no place for one.

        Args:
            task: Number of the Label Studio task.
            film: The film.
            said: What the serving model says of it.
        """
        target = self._target
        if target is None or target.name not in said.values:
            return None
        choice = input_of(self._spec, said)
        value = float(said.values[target.name])
        near = self._standards.nearest(value, choice or None, film.patient)
        case_page = f"{self._pages}/task/{task}?readings=off"
        return standards_html(target, choice, self._cases(near), case_page)

    def _cases(self, near: tuple[Standard, ...]) -> list[ReferenceCase]:
        cases = []
        for one in near:
            picture = self._pictures.address(one.radiograph)
            if picture:
                cases.append(
                    ReferenceCase(
                        one.place, picture, one.value, one.readers, one.agreeing, one.reference
                    )
                )
        return cases


def write_strips(
    client: LabelStudio,
    project: int,
    strips: Strips,
    films: Mapping[int, tuple[Radiograph, Prediction]],
    wanted: Callable[[], bool],
) -> int | None:
    """Brings the strips of tasks up to date.

    Args:
        client: Label Studio.
        project: Id of the project.
        strips: Says what stands beside a film.
        films: Task -> its film and what the serving model says of it, in the order of serving.
        wanted: Says whether to go on: another model may have taken over since.

    Returns:
        Tasks changed; None: it was left unfinished.
    """
    there = {s.task_id: s.data for s in client.tasks(project) if s.task_id in films}
    changed = 0
    for number, (task, (film, said)) in enumerate(films.items()):
        if number % ASK_EVERY == 0 and not wanted():
            return None
        html = strips.beside(task, film, said)
        if html is None or task not in there or there[task].get(STANDARDS_KEY) == html:
            continue
        try:
            client.set_task_data(task, {**there[task], STANDARDS_KEY: html})
        except NotFoundError:
            continue  # Somebody has deleted the task since.
        changed += 1
    return changed

"""Predicts films that lie anywhere, into a table that a later run goes on from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import CarpalError, ImageError, InvalidInputError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits
from data.sources.film_file import FilmFile, read_film, recorded_values
from trainer.answers.prediction_table import ERROR, ID, MODEL, PATH, PredictionTable, Row
from workers.prediction_file import PredictionFile
from workers.prediction_inputs import Known, Wanted
from workers.prediction_model import table_of

if TYPE_CHECKING:
    from trainer.predictor import Predictor, Squares

BATCH = 64

Progress = Callable[[int, int], None]
Emit = Callable[[Sequence[Row]], None]


@dataclass(frozen=True, slots=True)
class Predicted:
    """What became of the films that were asked for.

    Attributes:
        rows: One per film, in their order.
        kept: How many of them stood in the file already.
        errors: How many of them say why there is no prediction.
    """

    rows: tuple[Row, ...]
    kept: int
    errors: int


def predict_wanted(
    predictor: Predictor,
    wanted: Sequence[Wanted],
    *,
    out: Path | None = None,
    emit: Emit | None = None,
    progress: Progress | None = None,
    batch: int = BATCH,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> Predicted:
    """Predicts films; those that cannot be read get a row that says why.

    Args:
        predictor: The model.
        wanted: The films.
        out: CSV file that takes each row as it comes, and holds exactly these films in their order
            at the end. Rows that it holds already, by the same model, of the same path, with the
            same known input and without an error, are kept and not computed again.
        emit: Told the rows as they come.
        progress: Told (done, all).
        batch: Films that are decoded and held in memory at a time.
        limits: Largest image that is decoded.

    Raises:
        InvalidInputError: `out` is another kind of file.
        StorageError: `out` cannot be written.
        ModelError: The model's answer is not finite.
    """
    table = table_of(predictor.card)
    if out is None:
        rows = _computed(predictor, table, wanted, range(len(wanted)), batch, limits)
        return _collected(rows, {}, len(wanted), emit, progress)
    with PredictionFile(out, table.columns) as file:

        def write(rows: Sequence[Row]) -> None:
            file.append(rows)
            if emit is not None:
                emit(rows)

        kept = _kept(file.earlier, predictor, table, wanted, limits)
        missing = [number for number in range(len(wanted)) if number not in kept]
        found = _collected(
            _computed(predictor, table, wanted, missing, batch, limits),
            kept,
            len(wanted),
            write,
            progress,
        )
        if [*file.earlier, *(found.rows[number] for number in missing)] != list(found.rows):
            file.replace(found.rows)
    return found


def _collected(
    parts: Iterator[list[tuple[int, Row]]],
    kept: Mapping[int, Row],
    every: int,
    emit: Emit | None,
    progress: Progress | None,
) -> Predicted:
    rows = dict(kept)
    if progress is not None:
        progress(len(rows), every)
    for part in parts:
        rows |= part
        if emit is not None:
            emit([row for _, row in part])
        if progress is not None:
            progress(len(rows), every)
    ordered = tuple(rows[number] for number in range(every))
    return Predicted(ordered, len(kept), sum(1 for row in ordered if row[ERROR]))


def _kept(
    earlier: Sequence[Row],
    predictor: Predictor,
    table: PredictionTable,
    wanted: Sequence[Wanted],
    limits: ImageLimits,
) -> dict[int, Row]:
    """Returns number of a film -> its row, where that says what would be computed again."""
    version, name = predictor.model_version, predictor.card.input
    rows = {(r[ID], r[PATH]): r for r in earlier if r[MODEL] == version and not r[ERROR]}
    kept = {}
    for number, film in enumerate(wanted):
        row = rows.get((film.id, film.shown))
        if row is None or film.problem:
            continue
        if name is not None:
            said = film.known if name in film.known else recorded_values(film.path, limits)
            if said.get(name) != table.told(row):
                continue
        kept[number] = row
    return kept


@dataclass(frozen=True, slots=True)
class _Ready:
    """A film as the network takes it."""

    squares: Squares
    known: Known


def _computed(
    predictor: Predictor,
    table: PredictionTable,
    wanted: Sequence[Wanted],
    numbers: Sequence[int],
    batch: int,
    limits: ImageLimits,
) -> Iterator[list[tuple[int, Row]]]:
    """Yields (number of a film, its row) in batches, in their order."""
    from trainer.fitting.cpu_threads import reading_threads

    parts = [numbers[start : start + batch] for start in range(0, len(numbers), batch)]
    with ThreadPoolExecutor(reading_threads()) as pool:

        def read(part: Sequence[int]) -> list[Future[_Ready | CarpalError]]:
            return [pool.submit(_ready, predictor, wanted[number], limits) for number in part]

        # While the network computes one batch, the threads read the next.
        waiting = read(parts[0]) if parts else []
        for after, part in enumerate(parts, 1):
            films = [future.result() for future in waiting]
            waiting = read(parts[after]) if after < len(parts) else []
            yield _rows(predictor, table, [(n, wanted[n]) for n in part], films)


def _rows(
    predictor: Predictor,
    table: PredictionTable,
    asked: Sequence[tuple[int, Wanted]],
    films: Sequence[_Ready | CarpalError],
) -> list[tuple[int, Row]]:
    ready = [film for film in films if isinstance(film, _Ready)]
    answers = iter(
        predictor.predict_prepared(
            [film.squares for film in ready], [""] * len(ready), [film.known for film in ready]
        )
    )
    rows = []
    for (number, film), read in zip(asked, films, strict=True):
        if isinstance(read, _Ready):
            row = table.row(film.id, film.shown, next(answers))
        else:
            row = table.refused(film.id, film.shown, predictor.model_version, str(read))
        rows.append((number, row))
    return rows


def _ready(predictor: Predictor, film: Wanted, limits: ImageLimits) -> _Ready | CarpalError:
    if film.problem:
        return InvalidInputError(film.problem)
    try:
        read = read_film(film.path, limits)
        return _Ready(predictor.prepared(read.pixels, read.id), _known(predictor, film, read))
    except ImageError as error:
        return error


def _known(predictor: Predictor, film: Wanted, read: FilmFile) -> Known:
    """Returns what the model is told: what somebody says, or else what the file says."""
    target = predictor.card.input_target
    if target is None:
        return {}
    said = film.known.get(target.name) or read.recorded.get(target.name, "")
    return {target.name: said} if said in target.choices else {}

"""Films that people and scripts send: read, predicted, and not kept.

A film that lies in the pool already gets the answer that Label Studio shows of it, and only that
one is in the ledger; of other films nothing is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from data.domain import Prediction, Radiograph
from data.errors import (
    ImageError,
    ServiceUnavailableError,
    UnmetOptionError,
)
from data.sources.film_file import FilmImage, image_of
from ml_backend.decoding_pool import Asked
from ml_backend.film_warnings import contradictions, is_unusual, unusual_sentence
from ml_backend.inference import answer_in_time
from ml_backend.model_ports import Known, Predictor
from ml_backend.services import Services
from workers.recorded import recorded_inputs

Source: TypeAlias = Literal["given", "recorded", "predicted", ""]


@dataclass(frozen=True, slots=True)
class SentFilm:
    """A film as it was sent.

    Attributes:
        payload: The file: an image or DICOM.
        given: Input target -> value that the sender knows of it, such as the sex.
        use_mask: Whether the sender insists on a hand mask (True) or on none (False).
    """

    payload: bytes
    given: Known = field(default_factory=dict)
    use_mask: bool | None = None


@dataclass(frozen=True, slots=True)
class FilmAnswer:
    """What is said of a film.

    Attributes:
        prediction: What the model says.
        source: Where the value of the task's input comes from: `given` by the sender, `recorded`
            in the file or the pool, or `predicted` by the model, which then reads it off the
            film; empty: the task has no input, or the model does not tell it.
        is_fed: The numbers were told with that value.
        patient: Pseudonym of the film's patient; empty: the film is not in the pool.
        kept: The prediction is in the ledger.
        warnings: One sentence each for the person who reads the answer.
    """

    prediction: Prediction
    source: Source
    is_fed: bool
    patient: str
    kept: bool
    warnings: tuple[str, ...]


def told_of(prediction: Prediction) -> Known:
    """Returns input target -> value that the model was told, not what it had to predict."""
    return {n: v for n, v in prediction.used.items() if n not in prediction.predicted_inputs}


def predict_films(services: Services, films: Sequence[SentFilm]) -> list[FilmAnswer]:
    """Predicts films with the model that serves, all with the same version.

    Raises:
        ServiceUnavailableError: There is no model, or as many requests compute as may.
        InvalidInputError: What is given is none of the choices.
        UnmetOptionError: The model cannot do as `use_mask` says.
        ImageError: A film cannot be read; of several, the sentence says which.
        LedgerError: The ledger cannot be read or written.
    """
    predictor = services.models.served.predictor
    if predictor is None:
        raise ServiceUnavailableError("There is no model yet; label radiographs to train one.")
    for film in films:
        _check(predictor, film)

    def place(number: int) -> str:
        return f"Film {number} of {len(films)}: " if len(films) > 1 else ""

    with services.models.reserve():
        asked = [
            _read(services, predictor, film, place(number)) for number, film in enumerate(films, 1)
        ]
        return _answers(services, predictor, asked)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A film that was read.

    Attributes:
        film: As it was sent.
        image: Not decoded yet.
        radiograph: What the ledger knows of it; None: it is not in the pool.
        recorded: Input target -> value in the file or, of a film of the pool, in the ledger.
        told: What the model is told.
        place: What an error of this film begins with; empty: it is the only one.
    """

    film: SentFilm
    image: FilmImage
    radiograph: Radiograph | None
    recorded: Known
    told: Known
    place: str

    @property
    def is_of_the_pool(self) -> bool:
        """The answer is the one that Label Studio shows, unless that was told another input."""
        return self.radiograph is not None and self.told.items() <= self.recorded.items()

    def is_answered_by(self, kept: Prediction) -> bool:
        """Says whether an earlier prediction was told what the sender gave, if that is told."""
        given = self.film.given.items() & self.told.items()
        return given <= told_of(kept).items()


def _check(predictor: Predictor, film: SentFilm) -> None:
    if film.use_mask is True and not predictor.needs_mask:
        raise UnmetOptionError(
            f"use_mask cannot be true: the model {predictor.model_version} uses no hand masks."
        )
    if film.use_mask is False and predictor.needs_mask:
        raise UnmetOptionError(
            f"use_mask cannot be false: the model {predictor.model_version} needs a hand mask."
        )


def _read(services: Services, predictor: Predictor, film: SentFilm, place: str) -> _Asked:
    with _naming(place):
        image = image_of(film.payload, services.limits)
    radiograph = services.ledger.radiograph(image.id)
    recorded = _recorded(services, image, radiograph)
    told = {**recorded, **film.given} if predictor.known_input else {}
    return _Asked(film, image, radiograph, recorded, told, place)


@contextmanager
def _naming(place: str) -> Iterator[None]:
    """Says in an error which film it is about."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{place}{error}") from error


def _recorded(services: Services, image: FilmImage, radiograph: Radiograph | None) -> Known:
    if radiograph is not None:
        return recorded_inputs(services.spec, radiograph)
    name = services.spec.input
    value = image.recorded.get(name or "", "")
    return {name: value} if name and value in services.spec.target(name).choices else {}


def _answers(services: Services, predictor: Predictor, asked: Sequence[_Asked]) -> list[FilmAnswer]:
    said: dict[int, Prediction] = {}
    new: set[int] = set()
    for number, film in enumerate(asked):
        if film.is_of_the_pool:
            kept = services.ledger.prediction(film.image.id, predictor.model_version)
            if kept is None:
                new.add(number)
            elif film.is_answered_by(kept):
                said[number] = kept
    in_ledger = said.keys() | new
    waiting = [number for number in range(len(asked)) if number not in said]
    said |= dict(zip(waiting, _computed(services, predictor, asked, waiting), strict=True))
    if new:
        services.ledger.add_predictions([said[number] for number in sorted(new)])
    return [
        _answer(services, predictor, film, said[number], kept=number in in_ledger)
        for number, film in enumerate(asked)
    ]


def _computed(
    services: Services, predictor: Predictor, asked: Sequence[_Asked], waiting: Sequence[int]
) -> list[Prediction]:
    films = [asked[number] for number in waiting]
    asking = [Asked(film.image.id, film.image.payload, film.told) for film in films]
    answers: list[Future[Prediction]] = []
    try:
        for one in asking:
            answers.append(services.models.submit(predictor, one))
        return [_waited_for(film, answer) for film, answer in zip(films, answers, strict=True)]
    finally:
        for answer in answers:
            answer.cancel()


def _waited_for(film: _Asked, answer: Future[Prediction]) -> Prediction:
    with _naming(film.place):
        return answer_in_time(answer)


def _answer(
    services: Services, predictor: Predictor, film: _Asked, prediction: Prediction, *, kept: bool
) -> FilmAnswer:
    name = services.spec.input
    source: Source = ""
    if name is not None and name in told_of(prediction):
        source = "given" if name in film.film.given else "recorded"
    elif name is not None and (name in prediction.used or name in prediction.values):
        source = "predicted"
    return FilmAnswer(
        prediction,
        source,
        name in prediction.used,
        film.radiograph.patient if film.radiograph else "",
        kept,
        tuple(_warnings(services, predictor, film, prediction)),
    )


def _warnings(
    services: Services, predictor: Predictor, film: _Asked, prediction: Prediction
) -> Iterator[str]:
    if is_unusual(prediction):
        yield unusual_sentence(prediction)
    name = services.spec.input
    if name is None:
        return
    if film.film.given and not predictor.known_input:
        yield f"The model {predictor.model_version} makes no use of a given {name}."
    yield from contradictions(name, film.film.given, film.recorded, film.told, prediction)

"""What the person has to know who reads what a model says of a film."""

from __future__ import annotations

from collections.abc import Iterator

from data.domain import Prediction
from ml_backend.model_ports import Known

UNUSUAL = 1.0
"""A film whose novelty is above this is unlike those learnt; see `Prediction.novelty`."""
DOUBTED = 0.9
"""A sex that was told is doubted aloud where the model gives another at least this probability."""


def is_unusual(prediction: Prediction) -> bool | None:
    """Says whether a film is unlike those learnt; None: it is not known."""
    return None if prediction.novelty is None else prediction.novelty > UNUSUAL


def unusual_sentence(prediction: Prediction) -> str:
    """Returns what is said of a film that is unlike those learnt."""
    return (
        f"The film is unlike those that the model has learnt from (novelty "
        f"{prediction.novelty:g}, above {UNUSUAL:g}): the answer may mean nothing."
    )


def contradictions(
    name: str, given: Known, recorded: Known, told: Known, prediction: Prediction
) -> Iterator[str]:
    """Yields where what is known of a film and what the film shows do not go together.

    Args:
        name: The task's input, such as the sex.
        given: By the sender of the film.
        recorded: In the file, or with the film of the pool.
        told: What the model was told of these.
        prediction: What it says.
    """
    said, noted = given.get(name), recorded.get(name)
    if said and noted and said != noted:
        yield f"The {name} was given as {said}, and {noted} is recorded with the film."
    fed, seen = told.get(name), str(prediction.values.get(name, ""))
    chance = prediction.probabilities.get(name, {}).get(seen, 0.0)
    if fed and seen and fed != seen and chance >= DOUBTED:
        yield f"The film looks {seen} to the model (probability {chance:.2f}), not {fed}."

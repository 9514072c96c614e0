"""The label stream serves the least sure first and keeps held-out splits a random sample."""

from __future__ import annotations

from data.domain import Prediction, Split
from workers.scoring import stream_scores


def prediction(name: str, confidence: float) -> Prediction:
    return Prediction(name, "v0001-aaaa", {"age_months": 1.0}, {}, {}, confidence)


def test_training_radiographs_are_served_by_confidence() -> None:
    predictions = {"a": prediction("a", 0.9), "b": prediction("b", 0.1)}

    scores = stream_scores(predictions, {"a": Split.TRAIN, "b": Split.TRAIN})

    assert scores == {"a": 0.9, "b": 0.1}


def test_held_out_radiographs_are_mixed_in_whatever_their_confidence() -> None:
    train = {f"t{i}": prediction(f"t{i}", i / 1000) for i in range(1000)}
    hard = {f"h{i}": prediction(f"h{i}", 0.0) for i in range(400)}
    splits = dict.fromkeys(train, Split.TRAIN) | dict.fromkeys(hard, Split.TEST)

    scores = stream_scores(train | hard, splits)

    served_early = sum(scores[name] < 0.5 for name in hard)
    assert 160 <= served_early <= 240  # half of 400, within four standard deviations


def test_the_order_of_held_out_radiographs_never_changes() -> None:
    train = {f"t{i}": prediction(f"t{i}", i / 10) for i in range(10)}
    splits = dict.fromkeys(train, Split.TRAIN) | {"h": Split.CALIBRATION}

    first = stream_scores(train | {"h": prediction("h", 0.2)}, splits)["h"]
    second = stream_scores(train | {"h": prediction("h", 0.8)}, splits)["h"]

    assert first == second


def test_without_training_radiographs_confidence_is_all_there_is() -> None:
    scores = stream_scores({"h": prediction("h", 0.3)}, {"h": Split.TEST})

    assert scores == {"h": 0.3}

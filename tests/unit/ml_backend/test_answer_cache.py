"""What was said of an image is remembered by image, model and what was told, and not for ever."""

from __future__ import annotations

import pytest

from ml_backend.answer_cache import AnswerCache
from ml_backend.model_ports import Known
from tests.unit.ml_backend.fakes import prediction


@pytest.mark.parametrize(
    ("image", "version", "known", "found"),
    [
        ("a", "v1", {"sex": "male"}, True),
        ("b", "v1", {"sex": "male"}, False),
        ("a", "v2", {"sex": "male"}, False),
        ("a", "v1", {"sex": "female"}, False),
        ("a", "v1", {}, False),
    ],
    ids=["the same", "another image", "another model", "another sex", "no sex"],
)
def test_a_prediction_is_found_by_image_model_and_what_was_told(
    image: str, version: str, known: Known, found: bool
) -> None:
    cache = AnswerCache()
    said = prediction("a", "v1")
    cache.put(said, {"sex": "male"})

    assert cache.get(image, version, known) == (said if found else None)


def test_what_was_asked_for_the_longest_time_ago_is_forgotten_first() -> None:
    cache = AnswerCache(most_kept=2)
    for name in ("a", "b"):
        cache.put(prediction(name, "v1"), {})
    cache.get("a", "v1", {})

    cache.put(prediction("c", "v1"), {})

    assert [name for name in "abc" if cache.get(name, "v1", {})] == ["a", "c"]

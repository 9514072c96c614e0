"""The model server follows the champion and never serves a worse surprise."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from data.domain import Prediction
from data.errors import ImageError, ModelError, ServiceUnavailableError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits, content_id
from ml_backend import inference
from ml_backend.batching import BusyError
from ml_backend.decoding_pool import Asked
from ml_backend.inference import MAX_COMPUTING, answer_in_time
from ml_backend.metrics import MODEL_LOADS, PREDICTION_CACHE, Counters
from ml_backend.model_ports import Known, Squares
from ml_backend.serving import ModelServer
from tests.unit.ml_backend.fakes import FakePredictor, FakeRegistry, picture, png


def server_of(
    registry: FakeRegistry,
    counters: Counters | None = None,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> ModelServer:
    return ModelServer(
        lambda: registry,
        registry.load,
        task="bone_age",
        cache=Path("cache"),
        counters=counters or Counters(),
        poll_s=0.005,
        limits=limits,
    )


def wait_until(condition: Callable[[], bool], limit_s: float = 5.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.002)


def test_without_a_champion_nothing_serves() -> None:
    server = server_of(FakeRegistry())

    server.look()

    assert server.served.predictor is None
    assert server.served.error == ""


def test_a_promotion_is_followed_by_the_thread() -> None:
    registry = FakeRegistry()
    server = server_of(registry)
    server.start()

    registry.add(FakePredictor("v1"))
    wait_until(lambda: server.served.model_version == "v1")
    registry.add(FakePredictor("v2"))
    wait_until(lambda: server.served.model_version == "v2")

    server.stop()


def test_the_champion_is_loaded_once() -> None:
    registry = FakeRegistry()
    registry.add(FakePredictor("v1"))
    server = server_of(registry)

    for _ in range(3):
        server.look()

    assert registry.fetches == 1


@pytest.mark.parametrize(
    ("predictor", "sentence"),
    [
        (FakePredictor("v2", task="pneumonia"), "was trained for 'pneumonia', not 'bone_age'"),
        (FakePredictor("v9"), "Model v2 calls itself v9"),
    ],
    ids=["another task", "another version"],
)
def test_a_champion_that_is_not_what_was_meant_leaves_the_old_one_serving(
    predictor: FakePredictor, sentence: str
) -> None:
    registry, counters = FakeRegistry(), Counters()
    registry.add(FakePredictor("v1"))
    server = server_of(registry, counters)
    server.look()
    registry.predictors["v2"] = predictor
    registry.champion_version = "v2"

    server.look()

    assert server.served.model_version == "v1"
    assert sentence in server.served.error
    assert counters.value(MODEL_LOADS, "failed") == 1


def test_a_model_that_cannot_answer_a_trial_image_never_serves() -> None:
    registry = FakeRegistry()
    broken = FakePredictor("v1")
    broken.error = ModelError("The head for 'sex' is missing.")
    registry.add(broken)
    server = server_of(registry)

    server.look()

    assert server.served.predictor is None
    assert server.served.error == "The head for 'sex' is missing."


@pytest.mark.parametrize("needs_mask", [True, False], ids=["needs masks", "needs none"])
def test_only_a_model_that_needs_hand_masks_may_refuse_the_trial_image(needs_mask: bool) -> None:
    registry = FakeRegistry()
    model = FakePredictor("v1")
    model.needs_mask, model.unreadable = needs_mask, {"trial"}
    registry.add(model)
    server = server_of(registry)

    server.look()

    assert server.served.predictor is (model if needs_mask else None)


def test_an_altered_champion_is_not_loaded_again_and_again() -> None:
    registry = FakeRegistry()
    registry.add(FakePredictor("v1"))
    registry.fetch_error = ModelError("The weights of v1 were altered.")
    server = server_of(registry)

    for _ in range(5):
        server.look()

    assert registry.fetches == 1
    assert "altered" in server.served.error


def test_going_back_to_the_serving_model_clears_the_error() -> None:
    registry = FakeRegistry()
    registry.add(FakePredictor("v1"))
    server = server_of(registry)
    server.look()
    registry.add(FakePredictor("v2", task="pneumonia"))
    server.look()

    registry.champion_version = "v1"
    server.look()

    assert (server.served.model_version, server.served.error) == ("v1", "")


def test_a_registry_that_is_down_leaves_the_model_serving() -> None:
    registry = FakeRegistry()
    registry.add(FakePredictor("v1"))
    server = server_of(registry)
    server.look()

    registry.error = ServiceUnavailableError("MLflow does not answer.")
    server.look()

    assert (server.served.model_version, server.served.error) == ("v1", "MLflow does not answer.")


def test_the_thread_survives_what_nobody_expected(caplog: pytest.LogCaptureFixture) -> None:
    registry = FakeRegistry()
    registry.error = RuntimeError("surprise")
    server = server_of(registry)
    server.start()
    wait_until(lambda: "see the log" in server.served.error)

    registry.error = None
    registry.add(FakePredictor("v1"))

    wait_until(lambda: server.served.model_version == "v1")
    server.stop()
    assert "surprise" in caplog.text


def test_a_champion_that_was_taken_away_serves_no_longer() -> None:
    registry = FakeRegistry()
    registry.add(FakePredictor("v1"))
    server = server_of(registry)
    server.look()

    registry.champion_version = None
    server.look()

    assert server.served.predictor is None


def test_a_request_ends_with_the_model_it_began_with() -> None:
    registry = FakeRegistry()
    registry.add(FakePredictor("v1", age_months=1.0))
    server = server_of(registry)
    server.look()
    began_with = server.served.predictor
    assert began_with is not None

    registry.add(FakePredictor("v2", age_months=2.0))
    server.look()
    answer = answer_in_time(server.submit(began_with, Asked("a", picture(1))))

    assert server.served.model_version == "v2"
    assert answer.model_version == "v1"
    server.stop()


def test_the_old_model_serves_while_the_new_one_loads() -> None:
    registry = FakeRegistry()
    registry.add(FakePredictor("v1"))
    loading, go_on = threading.Event(), threading.Event()

    def load(folder: Path) -> FakePredictor:
        if folder.name == "v2":
            loading.set()
            assert go_on.wait(5)
        return registry.load(folder)

    server = ModelServer(
        lambda: registry,
        load,
        task="bone_age",
        cache=Path("cache"),
        counters=Counters(),
        poll_s=0.005,
    )
    server.start()
    registry.add(FakePredictor("v2"))
    assert loading.wait(5)

    assert server.served.model_version == "v1"
    go_on.set()
    wait_until(lambda: server.served.model_version == "v2")
    server.stop()


class Counting(FakePredictor):
    """Notes how many batches are in it at the same time."""

    inside = 0
    most = 0

    def predict_prepared(
        self, films: Sequence[Squares], ids: Sequence[str], known: Sequence[Known] | None = None
    ) -> list[Prediction]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        said = super().predict_prepared(films, ids, known)
        self.inside -= 1
        return said


def test_one_batch_at_a_time_goes_through_the_model() -> None:
    server, model = server_of(FakeRegistry()), Counting("v1")
    threads = [
        threading.Thread(target=server.submit, args=(model, Asked(str(n), picture(n))))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.stop()

    assert model.most == 1
    assert sorted(name for batch in model.batches for name in batch) == list("01234567")


def test_a_place_is_refused_when_all_are_taken_and_given_back_after_a_failure() -> None:
    server = server_of(FakeRegistry())
    places = [server.reserve() for _ in range(MAX_COMPUTING)]
    for place in places:
        place.__enter__()

    with pytest.raises(BusyError), server.reserve():
        pass
    for place in places:
        place.__exit__(None, None, None)
    with pytest.raises(ValueError, match="broken"), server.reserve():
        raise ValueError("broken")
    with server.reserve():
        pass


def test_versions_need_a_registry_that_has_answered() -> None:
    def no_registry() -> FakeRegistry:
        raise ServiceUnavailableError("MLflow does not answer.")

    server = ModelServer(
        no_registry, FakeRegistry().load, task="t", cache=Path("c"), counters=Counters()
    )
    server.look()

    with pytest.raises(ServiceUnavailableError):
        server.versions()


@pytest.fixture
def serving() -> Iterator[tuple[ModelServer, FakePredictor, Counters]]:
    """A server whose model has answered the trial image, and nothing yet."""
    registry, counters = FakeRegistry(), Counters()
    model = FakePredictor("v1")
    registry.add(model)
    server = server_of(registry, counters)
    server.look()
    model.forget()
    yield server, model, counters
    server.stop()


Serving = tuple[ModelServer, FakePredictor, Counters]


def predict_image(server: ModelServer, payload: bytes, known: Known | None = None) -> Prediction:
    """Asks the model that serves for one image file and waits."""
    predictor = server.served.predictor
    assert predictor is not None
    with server.reserve():
        return answer_in_time(
            server.submit(predictor, Asked(content_id(payload), payload, known or {}))
        )


def test_an_image_file_is_predicted_under_its_hash_and_told_what_is_known(
    serving: Serving,
) -> None:
    server, model, _ = serving

    said = predict_image(server, png(1), {"sex": "male"})

    assert said.radiograph_id == content_id(png(1))
    assert model.told == {content_id(png(1)): {"sex": "male"}}


def test_an_image_that_is_sent_again_is_not_computed_again(serving: Serving) -> None:
    server, model, counters = serving

    first, second = predict_image(server, png(1)), predict_image(server, png(1))

    assert first is second
    assert model.batches == [[content_id(png(1))]]
    assert counters.value(PREDICTION_CACHE, "hit") == 1
    assert counters.value(PREDICTION_CACHE, "miss") == 1


def test_an_image_that_is_sent_again_with_another_sex_is_computed_again(serving: Serving) -> None:
    server, model, _ = serving

    for known in ({"sex": "male"}, {"sex": "female"}, {}):
        predict_image(server, png(1), known)

    assert model.batches == [[content_id(png(1))]] * 3


def test_a_new_model_is_asked_anew() -> None:
    registry = FakeRegistry()
    server = server_of(registry)
    said = []
    for version in ("v1", "v2"):
        registry.add(FakePredictor(version))
        server.look()
        said.append(predict_image(server, png(1)).model_version)

    assert said == ["v1", "v2"]
    server.stop()


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [(b"GIF89a", "not an image"), (png(1, size=101), "pixels")],
    ids=["no image", "too large"],
)
def test_an_image_that_cannot_be_read_is_refused_and_not_remembered(
    payload: bytes, sentence: str
) -> None:
    registry = FakeRegistry()
    registry.add(FakePredictor("v1"))
    server = server_of(registry, limits=ImageLimits(10**6, 10**4))
    server.look()

    for _ in range(2):
        with pytest.raises(ImageError, match=sentence):
            predict_image(server, payload)
    server.stop()


def test_an_answer_that_does_not_come_in_time_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inference, "PREDICT_LIMIT_S", 0.0)

    with pytest.raises(BusyError, match="in time"):
        answer_in_time(Future())


def test_films_that_are_asked_for_before_the_end_are_answered(serving: Serving) -> None:
    server, model, _ = serving
    answers = [server.submit(model, Asked(str(n), picture(1))) for n in range(20)]

    server.stop()

    assert [answer.result(0).radiograph_id for answer in answers] == [str(n) for n in range(20)]
    with pytest.raises(BusyError, match="being stopped"):
        server.submit(model, Asked("late", picture(1)))

"""Films of all requests are computed together, and each gets its own answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

import numpy as np
import pytest
from numpy.typing import NDArray

from data.domain import Prediction
from data.errors import ImageError, ModelError
from ml_backend.batching import Batcher, BusyError, Film, UnexpectedFilmError
from ml_backend.decoding_pool import Asked, DecodingPool
from ml_backend.model_ports import Known, Squares
from tests.support import eventually
from tests.unit.ml_backend.fakes import FakePredictor, picture

LIMIT_S = 10.0


class HeldPredictor(FakePredictor):
    """Computes nothing before it is let go; says when it has begun."""

    def __init__(self, version: str, together: int = 4) -> None:
        super().__init__(version)
        self.films_together = together
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def predict_prepared(
        self, films: Sequence[Squares], ids: Sequence[str], known: Sequence[Known] | None = None
    ) -> list[Prediction]:
        self.begun.set()
        assert self.go_on.wait(LIMIT_S)
        return super().predict_prepared(films, ids, known)


@pytest.fixture
def batcher() -> Iterator[Batcher]:
    made = Batcher()
    yield made
    made.close()


def put(batcher: Batcher, predictor: FakePredictor, name: str) -> Future[Prediction]:
    """Leaves a prepared film."""
    answer: Future[Prediction] = Future()
    answer.set_running_or_notify_cancel()
    batcher.expect()
    batcher.put(Film(predictor, (picture(1),), name, {}, answer))
    return answer


def test_a_lone_film_is_computed_at_once(batcher: Batcher) -> None:
    model = FakePredictor("v1")

    assert put(batcher, model, "a").result(LIMIT_S).radiograph_id == "a"
    assert model.batches == [["a"]]


def test_what_gathers_while_the_model_computes_makes_the_next_batches(batcher: Batcher) -> None:
    model = HeldPredictor("v1", together=4)
    first = put(batcher, model, "0")
    assert model.begun.wait(LIMIT_S)

    rest = [put(batcher, model, str(number)) for number in range(1, 10)]
    model.go_on.set()

    assert [one.result(LIMIT_S).radiograph_id for one in [first, *rest]] == list("0123456789")
    assert model.batches == [["0"], ["1", "2", "3", "4"], ["5", "6", "7", "8"], ["9"]]


def test_a_batch_waits_a_moment_for_a_film_that_is_being_prepared() -> None:
    batcher, model = Batcher(linger_s=LIMIT_S), FakePredictor("v1")
    batcher.expect()
    first = put(batcher, model, "a")
    answer: Future[Prediction] = Future()
    answer.set_running_or_notify_cancel()

    batcher.put(Film(model, (picture(2),), "b", {}, answer))

    assert first.result(LIMIT_S / 2).radiograph_id == "a"
    assert answer.result(LIMIT_S / 2).radiograph_id == "b"
    assert model.batches == [["a", "b"]]
    batcher.close()


def test_a_batch_does_not_wait_for_a_film_that_does_not_come() -> None:
    batcher, model = Batcher(linger_s=1000.0), FakePredictor("v1")
    batcher.expect()
    first = put(batcher, model, "a")

    batcher.give_up()

    assert first.result(LIMIT_S).radiograph_id == "a"
    batcher.close()


def test_models_never_share_a_batch_and_each_keeps_its_order(batcher: Batcher) -> None:
    old, new = HeldPredictor("v1"), FakePredictor("v2")
    put(batcher, old, "held")
    assert old.begun.wait(LIMIT_S)

    asked = [
        (put(batcher, one, name), one) for name, one in zip("abcd", [old, new] * 2, strict=True)
    ]
    old.go_on.set()

    for answer, model in asked:
        assert answer.result(LIMIT_S).model_version == model.model_version
    assert (old.batches, new.batches) == ([["held"], ["a", "c"]], [["b", "d"]])


def test_a_film_that_fails_costs_the_others_of_its_batch_nothing(batcher: Batcher) -> None:
    model = HeldPredictor("v1")
    model.failing = {"b"}
    put(batcher, model, "held")
    assert model.begun.wait(LIMIT_S)

    answers = {name: put(batcher, model, name) for name in "abc"}
    model.go_on.set()

    assert [answers[name].result(LIMIT_S).radiograph_id for name in "ac"] == ["a", "c"]
    with pytest.raises(ModelError, match="not finite"):
        answers["b"].result(LIMIT_S)


def test_what_nobody_expected_is_logged_and_the_thread_goes_on(
    batcher: Batcher, caplog: pytest.LogCaptureFixture
) -> None:
    model = FakePredictor("v1")
    model.error = RuntimeError("surprise")
    with pytest.raises(UnexpectedFilmError, match="see the log"):
        put(batcher, model, "a").result(LIMIT_S)

    model.error = None

    assert put(batcher, model, "b").result(LIMIT_S).radiograph_id == "b"
    assert "surprise" in caplog.text


def test_a_model_that_answers_for_too_few_films_answers_for_none_by_mistake(
    batcher: Batcher,
) -> None:
    class Short(HeldPredictor):
        def predict_prepared(
            self,
            films: Sequence[Squares],
            ids: Sequence[str],
            known: Sequence[Known] | None = None,
        ) -> list[Prediction]:
            said = super().predict_prepared(films, ids, known)
            return said[1:] if len(said) > 1 else said

    model = Short("v1")
    put(batcher, model, "held")
    assert model.begun.wait(LIMIT_S)
    answers = [put(batcher, model, name) for name in "ab"]
    model.go_on.set()

    assert [answer.result(LIMIT_S).radiograph_id for answer in answers] == ["a", "b"]


def test_more_films_than_may_wait_are_refused_until_some_are_answered() -> None:
    batcher, model = Batcher(most_waiting=2), HeldPredictor("v1")
    held = put(batcher, model, "held")
    assert model.begun.wait(LIMIT_S)
    answers = [put(batcher, model, name) for name in "ab"]

    with pytest.raises(BusyError, match="ask again") as refusal:
        batcher.expect()
    model.go_on.set()

    assert [one.result(LIMIT_S).radiograph_id for one in [held, *answers]] == ["held", "a", "b"]
    assert (refusal.value.http_status, refusal.value.retry_after_s) == (503, 1)
    assert put(batcher, model, "c").result(LIMIT_S).radiograph_id == "c"
    batcher.close()


def test_what_waits_at_the_end_is_answered_and_nothing_more_is_taken() -> None:
    batcher, model = Batcher(), HeldPredictor("v1", together=2)
    answers = [put(batcher, model, str(number)) for number in range(7)]
    closing = threading.Thread(target=batcher.close)
    closing.start()

    model.go_on.set()
    closing.join(LIMIT_S)

    assert [one.result(0).radiograph_id for one in answers] == list("0123456")
    with pytest.raises(BusyError, match="being stopped"):
        batcher.expect()


def test_a_batcher_that_was_never_asked_ends_at_once() -> None:
    Batcher().close()


class Slow(FakePredictor):
    """Prepares a film called `slow` only when it is let go; notes which it has prepared."""

    def __init__(self) -> None:
        super().__init__("v1")
        self.go_on = threading.Event()
        self.read: list[str] = []
        self.surprise: Exception | None = None

    def prepared(self, image: NDArray[np.uint8], radiograph_id: str) -> Squares:
        if radiograph_id == "slow":
            assert self.go_on.wait(LIMIT_S)
        if self.surprise is not None:
            raise self.surprise
        self.read.append(radiograph_id)
        return super().prepared(image, radiograph_id)


def test_a_film_is_prepared_while_the_model_computes_another(batcher: Batcher) -> None:
    pool, model, next_model = (
        DecodingPool(batcher, threads=1, use_processes=False),
        HeldPredictor("v1"),
        Slow(),
    )
    first = pool.submit(model, Asked("a", picture(1)))
    assert model.begun.wait(LIMIT_S)

    second = pool.submit(next_model, Asked("b", picture(2)))

    assert eventually(lambda: next_model.read == ["b"])
    assert not first.done()
    model.go_on.set()
    assert second.result(LIMIT_S).radiograph_id == "b"
    pool.close()


@pytest.mark.parametrize(
    ("error", "expected"),
    [(ImageError("Cut off."), ImageError), (ZeroDivisionError("surprise"), UnexpectedFilmError)],
    ids=["expected", "unexpected"],
)
def test_a_film_that_cannot_be_prepared_gives_its_place_back(
    error: Exception, expected: type[Exception]
) -> None:
    batcher, model = Batcher(most_waiting=1), Slow()
    pool = DecodingPool(batcher, use_processes=False)
    model.surprise = error
    for _ in range(3):
        with pytest.raises(expected):
            pool.submit(model, Asked("a", picture(1))).result(LIMIT_S)

    model.surprise = None

    assert pool.submit(model, Asked("b", picture(1))).result(LIMIT_S).radiograph_id == "b"
    pool.close()
    batcher.close()


def test_a_film_that_nobody_waits_for_any_more_is_not_read(batcher: Batcher) -> None:
    pool, model = DecodingPool(batcher, threads=1, use_processes=False), Slow()
    first = pool.submit(model, Asked("slow", picture(1)))
    second = pool.submit(model, Asked("b", picture(2)))

    assert second.cancel()
    model.go_on.set()

    assert first.result(LIMIT_S).radiograph_id == "slow"
    pool.close()
    assert model.read == ["slow"]


def test_a_pool_that_is_closed_takes_no_more_films_and_holds_no_place() -> None:
    batcher, model = Batcher(most_waiting=1), FakePredictor("v1")
    pool = DecodingPool(batcher, use_processes=False)
    pool.submit(model, Asked("a", picture(1))).result(LIMIT_S)
    pool.close()

    for _ in range(2):
        with pytest.raises(BusyError, match="being stopped"):
            pool.submit(model, Asked("b", picture(1)))
    batcher.close()


def test_many_requests_at_once_get_their_own_answers(batcher: Batcher) -> None:
    pool, models = (
        DecodingPool(batcher, threads=3, use_processes=False),
        [FakePredictor("v1"), FakePredictor("v2")],
    )
    wrong: list[str] = []

    def ask(client: int) -> None:
        model = models[client % 2]
        for number in range(25):
            name = f"{client}-{number}"
            said = pool.submit(model, Asked(name, picture(1))).result(LIMIT_S)
            if (said.radiograph_id, said.model_version) != (name, model.model_version):
                wrong.append(name)

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(8)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: not any(thread.is_alive() for thread in threads))

    assert wrong == []
    assert sum(len(batch) for model in models for batch in model.batches) == 200
    pool.close()

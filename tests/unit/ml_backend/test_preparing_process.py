"""Films are prepared in a process that may end, hang or be killed without costing the server."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from data import child_process
from data.errors import ImageError
from data.images.decoding import DEFAULT_LIMITS, content_id
from data.images.preparation import Preparation
from ml_backend import decoding_pool, preparing_process
from ml_backend.batching import Batcher
from ml_backend.decoding_pool import Asked, DecodingPool
from ml_backend.film_reading import FilmRequest, prepare_film
from ml_backend.preparing_process import PreparingProcess
from tests.unit.ml_backend.fakes import FakePredictor, picture, png

pytestmark = pytest.mark.long

LIMIT_S = 20.0
REQUEST = FilmRequest(content_id(png(1)), png(1), DEFAULT_LIMITS, (Preparation(16),))


@pytest.fixture
def process() -> Iterator[PreparingProcess]:
    made = PreparingProcess()
    made.be_ready()
    yield made
    made.close()


def test_a_process_prepares_what_this_one_would(process: PreparingProcess) -> None:
    (theirs,), (ours,) = process.prepare(REQUEST), prepare_film(REQUEST)

    assert (theirs == ours).all()


def test_a_film_that_cannot_be_read_is_refused_and_the_next_is_prepared(
    process: PreparingProcess,
) -> None:
    with pytest.raises(ImageError, match="not an image"):
        process.prepare(FilmRequest("", b"GIF", DEFAULT_LIMITS, (Preparation(16),)))

    assert len(process.prepare(REQUEST)) == 1


def test_what_nobody_expected_is_told_and_the_next_film_is_prepared(
    process: PreparingProcess,
) -> None:
    with pytest.raises(RuntimeError, match="Error"):
        process.prepare(FilmRequest("", None, DEFAULT_LIMITS, (Preparation(16),)))  # type: ignore[arg-type]

    assert len(process.prepare(REQUEST)) == 1


def test_a_process_that_was_ended_while_it_waited_is_started_again(
    process: PreparingProcess,
) -> None:
    first = process.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)

    assert len(process.prepare(REQUEST)) == 1
    assert process.pid != first


def test_a_film_that_ends_the_process_is_refused_and_the_next_is_prepared(
    process: PreparingProcess, tmp_path: Path
) -> None:
    fifo = tmp_path / "film.png"
    os.mkfifo(fifo)  # Reading it waits until somebody writes.
    pid = process.pid
    assert pid is not None
    killing = threading.Timer(0.2, os.kill, (pid, signal.SIGKILL))
    killing.start()

    with pytest.raises(ImageError, match="ended the process"):
        process.prepare(replace(REQUEST, source=fifo))

    assert len(process.prepare(REQUEST)) == 1


def test_a_film_that_hangs_is_given_up_and_the_next_is_prepared(
    process: PreparingProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fifo = tmp_path / "film.png"
    os.mkfifo(fifo)
    monkeypatch.setattr(preparing_process, "FILM_LIMIT_S", 0.2)
    with pytest.raises(ImageError, match=r"more than 0\.2 s"):
        process.prepare(replace(REQUEST, source=fifo))

    monkeypatch.setattr(preparing_process, "FILM_LIMIT_S", LIMIT_S)

    assert len(process.prepare(REQUEST)) == 1


def test_a_process_ends_when_nobody_asks_it_any_more(process: PreparingProcess) -> None:
    pid = process.pid
    process.close()

    assert process.pid is None
    assert not Path(f"/proc/{pid}").exists()


def test_a_pool_hands_files_to_its_processes_and_pixels_to_the_model(tmp_path: Path) -> None:
    batcher, model = Batcher(), FakePredictor("v1")
    pool = DecodingPool(batcher, threads=1)
    file = tmp_path / "film.png"
    file.write_bytes(png(1))
    pool.warm_up()

    for source in (file, png(1), picture(1)):
        pool.submit(model, Asked(content_id(png(1)), source)).result(LIMIT_S)

    squares = (FakePredictor.SIDE, FakePredictor.SIDE)
    assert model.shapes == [squares, squares, picture(1).shape]
    pool.close()
    batcher.close()


def test_where_no_process_can_be_started_the_pool_works_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(child_process, "START", "raise SystemExit(1) # {path} {module} {number}")
    batcher, model = Batcher(), FakePredictor("v1")
    pool = DecodingPool(batcher, threads=1)

    for _ in range(2):
        pool.submit(model, Asked(content_id(png(1)), png(1))).result(LIMIT_S)

    assert model.shapes == [picture(1).shape] * 2
    assert caplog.text.count("prepares films itself") == 1
    pool.close()
    batcher.close()


def test_a_process_that_could_not_be_started_is_tried_again_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(decoding_pool, "RETRY_S", 0.0)
    batcher, model = Batcher(), FakePredictor("v1")
    pool = DecodingPool(batcher, threads=1)
    with monkeypatch.context() as broken:
        broken.setattr(child_process, "START", "raise SystemExit(1) # {path} {module} {number}")
        pool.submit(model, Asked(content_id(png(1)), png(1))).result(LIMIT_S)

    pool.submit(model, Asked(content_id(png(1)), png(1))).result(LIMIT_S)

    # A second attempt that failed would have been logged, too.
    assert caplog.text.count("prepares films itself") == 1
    pool.close()
    batcher.close()

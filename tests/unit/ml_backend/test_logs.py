"""The log is one line per record and says who asked what, without secrets."""

from __future__ import annotations

import logging

import pytest

from ml_backend.logs import LINE_FORMAT, OneLineFormatter
from tests.unit.ml_backend.conftest import PASSWORD, Backend


def test_every_request_is_logged_without_query_and_credentials(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="carpal.access")

    backend.get("/versions?access_token=f00dfeed")

    assert "127.0.0.1 GET /versions 200" in caplog.text
    assert "f00dfeed" not in caplog.text
    assert PASSWORD not in caplog.text


def test_a_path_cannot_write_a_second_line_into_the_log(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setFormatter(OneLineFormatter(LINE_FORMAT))
    caplog.set_level("INFO", logger="carpal.access")

    backend.client.get("/x%0a2026-01-01 ERROR forged\u2028")

    (line,) = caplog.text.splitlines()
    assert "/x\\x0a2026-01-01 ERROR forged\\x2028" in line


def test_a_traceback_keeps_its_lines() -> None:
    try:
        raise ValueError("broken")
    except ValueError as error:
        record = logging.LogRecord("n", 40, "f", 1, "one\ntwo", (), (type(error), error, None))

    lines = OneLineFormatter("%(message)s").format(record).splitlines()

    assert lines[0] == "one\\x0atwo"
    assert lines[-1] == "ValueError: broken"

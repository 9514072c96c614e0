"""Whether a browser is signed in is Label Studio's to say."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from labeling_config import client_sessions
from labeling_config.client_sessions import Sessions

GOOD = ".eJxVjDs-abc_9:1vT2=:signature"


class Studio(ThreadingHTTPServer):
    """A Label Studio that knows one session, and notes what it is asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Studio

    def do_GET(self) -> None:
        cookie = self.headers.get("Cookie", "")
        self.server.asked.append((self.path, cookie))
        if cookie == f"sessionid={GOOD}":
            self.send_response(200)
        elif cookie == "sessionid=redirected":
            self.send_response(302)
            self.send_header("Location", "/user/login/")
        else:
            self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keeps quiet."""


@pytest.fixture
def studio() -> Iterator[Studio]:
    server = Studio()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_session_that_label_studio_knows_is_signed_in(studio: Studio) -> None:
    assert Sessions(studio.url).is_signed_in(GOOD)
    assert studio.asked == [("/api/current-user/whoami", f"sessionid={GOOD}")]


@pytest.mark.parametrize("cookie", ["unknown", "redirected"])
def test_another_session_is_not_and_is_asked_for_again(studio: Studio, cookie: str) -> None:
    sessions = Sessions(studio.url)

    assert not sessions.is_signed_in(cookie)
    assert not sessions.is_signed_in(cookie)
    assert len(studio.asked) == 2


@pytest.mark.parametrize(
    "cookie", ["", "a b", "a;b=c", "a\r\nX-Evil: 1", "ä", "a" * 5000], ids=repr
)
def test_what_is_no_session_is_not_sent_on(studio: Studio, cookie: str) -> None:
    assert not Sessions(studio.url).is_signed_in(cookie)
    assert studio.asked == []


def test_a_session_is_believed_for_a_while(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(studio.url)
    assert sessions.is_signed_in(GOOD)
    assert sessions.is_signed_in(GOOD)
    assert len(studio.asked) == 1

    now = client_sessions.time.monotonic()
    monkeypatch.setattr(client_sessions.time, "monotonic", lambda: now + 61.0)

    assert sessions.is_signed_in(GOOD)
    assert len(studio.asked) == 2


def test_nobody_is_signed_in_to_a_label_studio_that_does_not_answer(studio: Studio) -> None:
    url = studio.url
    studio.server_close()

    assert not Sessions(url, timeout_s=0.5).is_signed_in(GOOD)

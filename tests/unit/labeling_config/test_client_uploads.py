"""Uploads are read from Label Studio alone, within limits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from data.errors import AccessError, ImageError, NotFoundError, ServiceUnavailableError
from labeling_config import client_uploads as uploads
from labeling_config.client_uploads import Uploads

TOKEN = "f00dfeed" * 5


class Files(BaseHTTPRequestHandler):
    """A Label Studio that has a few uploads, and sends whoever asks for some somewhere else."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.headers.get("Authorization") != f"Token {TOKEN}":
            self._answer(401, b'{"detail": "Invalid token."}')
        elif self.path == "/data/upload/3/hand.png":
            self._answer(200, b"0123456789")
        elif self.path == "/data/upload/3/never.png":  # as 1.23.2 answers
            self._answer(500, b'{"detail": "\'NoneType\' object has no attribute"}')
        elif self.path == "/data/upload/3/elsewhere.png":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path == "/data/upload/3/here.png":
            self.send_response(307)
            self.send_header("Location", f"http://{self.headers['Host']}/secret")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path == "/data/upload/3/cut.png":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"0123456789")
        elif self.path == "/data/upload/3/endless.png":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"0" * 65536)
            except OSError:
                return
        else:
            self._answer(404, b'{"detail": "Not found."}')

    def log_message(self, format: str, *args: object) -> None:
        """Keeps quiet."""

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_upload_is_read_with_the_token(url: str) -> None:
    assert Uploads(url, TOKEN).read("/data/upload/3/hand.png", max_bytes=10) == b"0123456789"


@pytest.mark.parametrize(
    ("name", "token", "error"),
    [
        ("missing.png", TOKEN, NotFoundError),
        ("never.png", TOKEN, NotFoundError),
        ("hand.png", "wrong", AccessError),
        ("elsewhere.png", TOKEN, ServiceUnavailableError),
        ("cut.png", TOKEN, ServiceUnavailableError),
    ],
)
def test_what_is_not_the_file_is_an_error(
    url: str, name: str, token: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Uploads(url, token).read(f"/data/upload/3/{name}", max_bytes=1000)


@pytest.mark.parametrize("name", ["here.png", "elsewhere.png"])
def test_a_redirect_is_not_followed_even_to_this_machine(url: str, name: str) -> None:
    Files.asked.clear()

    with pytest.raises(ServiceUnavailableError):
        Uploads(url, TOKEN).read(f"/data/upload/3/{name}", max_bytes=1000)

    assert Files.asked == [f"/data/upload/3/{name}"]


@pytest.mark.parametrize(("name", "limit"), [("hand.png", 9), ("endless.png", 1_000_000)])
def test_a_file_that_is_too_large_is_given_up(url: str, name: str, limit: int) -> None:
    with pytest.raises(ImageError, match=f"larger than {limit} bytes"):
        Uploads(url, TOKEN).read(f"/data/upload/3/{name}", max_bytes=limit)


def test_a_file_that_takes_too_long_is_given_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LIMIT_S", -1.0)

    with pytest.raises(ServiceUnavailableError, match="took more than"):
        Uploads(url, TOKEN).read("/data/upload/3/endless.png", max_bytes=10**9)


def test_a_label_studio_that_is_down_is_an_error_without_the_token() -> None:
    with pytest.raises(ServiceUnavailableError) as caught:
        Uploads("http://127.0.0.1:9", TOKEN).read("/data/upload/3/hand.png", max_bytes=10)

    assert TOKEN not in str(caught.value)

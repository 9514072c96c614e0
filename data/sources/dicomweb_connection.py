"""One DICOMweb server: the only host that is asked, within limits, again where that may help.

Addresses of DICOMweb hold identifiers, and so do the error texts of HTTP libraries. None of them
leaves this module: what goes wrong is said with the server's address as the user gave it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter

from data.errors import (
    AccessError,
    CarpalError,
    FailedRequestError,
    InvalidInputError,
    ServiceUnavailableError,
)
from data.images.decoding import DEFAULT_LIMITS

T = TypeVar("T")
_NOWHERE = logging.NullHandler()
_LOGS_OF_PEOPLE = (
    "dicomweb_client",
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.util.retry",
)
"""They log addresses and headers of answers; both may name people."""
CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0
"""Longest silence; an archive may have to fetch an image from tape, but then it says 503."""
ANSWER_TIMEOUT_S = 600.0
"""Longest time for one whole answer, however it drips in."""
ENVELOPE_BYTES = 2**20
"""What an answer may hold besides the image."""
WORTH_ANOTHER_TRY = frozenset({408, 429, 500, 502, 503, 504})
LONGEST_PAUSE_S = 60.0
_BROKEN = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)


@dataclass(frozen=True, slots=True)
class DicomWebServer:
    """Where a DICOMweb service is and how it lets us in.

    Attributes:
        url: Of the service, such as `https://pacs.example.org/dicom-web`.
        user: Name for basic authentication; empty: none.
        password: Belongs to it.
        token: Sent as bearer token instead; empty: none.
        max_bytes: Largest image file.
        attempts: How often a request is sent before it counts as failed.
        pause_s: Seconds before the second attempt; doubled before each later one.
    """

    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    max_bytes: int = DEFAULT_LIMITS.max_bytes
    attempts: int = 5
    pause_s: float = 1.0

    def __post_init__(self) -> None:
        wrong = InvalidInputError(
            "The address of a DICOMweb service looks like https://pacs.example.org/dicom-web."
        )
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise wrong from error
        if parts.scheme not in ("http", "https") or not host or parts.query:
            raise wrong
        if parts.username or parts.password:
            raise InvalidInputError(
                "Name and password do not belong into the address, where others can read them: "
                "set CARPAL_DICOMWEB_USER and CARPAL_DICOMWEB_PASSWORD."
            )


class DicomWebConnection:
    """Asks one server.

    Attributes:
        server: Which one.
        session: Sends all requests; follows no redirect to another host.
    """

    def __init__(self, server: DicomWebServer) -> None:
        for name in _LOGS_OF_PEOPLE:
            logging.getLogger(name).propagate = False
            logging.getLogger(name).addHandler(_NOWHERE)
        self.server = server
        self.session = _OneHost(server)

    def close(self) -> None:
        """Closes what is open; the next request opens it again."""
        self.session.close()

    def ask(self, request: Callable[[], T]) -> T:
        """Runs a request, and again after errors that may pass; see `DicomWebServer.attempts`.

        Args:
            request: Sends one request with `session` and raises what the library raises.

        Raises:
            AccessError: The server does not let us in, or sends us elsewhere.
            FailedRequestError: It answers with an error status.
            ServiceUnavailableError: It does not answer, or not with what was asked for.
        """
        for attempt in range(1, self.server.attempts + 1):
            last = attempt == self.server.attempts
            pause_s = self.server.pause_s * 2 ** (attempt - 1)
            try:
                return request()
            except requests.HTTPError as error:
                status = error.response.status_code
                if last or status not in WORTH_ANOTHER_TRY:
                    raise self._failed(status) from None
                pause_s = _retry_after_s(error.response.headers) or pause_s
            except _BROKEN:
                if last:
                    raise ServiceUnavailableError(
                        f"The DICOMweb server at {self.server.url} does not answer, or breaks off; "
                        f"{attempt} attempts were made. The same command goes on from here."
                    ) from None
            except (requests.RequestException, ValueError):
                raise ServiceUnavailableError(
                    f"What answers at {self.server.url} does not speak DICOMweb: give the address "
                    "of the service itself, such as https://pacs.example.org/dicom-web."
                ) from None
            time.sleep(min(pause_s, LONGEST_PAUSE_S))
        raise AssertionError("attempts is at least 1")

    def fetch(self, path: str, accept: str) -> bytes:
        """Returns the only DICOM file of an answer.

        Args:
            path: Below the server's address.
            accept: Value of the Accept header.

        Raises:
            CarpalError: As `ask`.
        """

        def request() -> requests.Response:
            answer = self.session.get(
                f"{self.server.url.rstrip('/')}/{path}",
                headers={"Accept": accept},
                timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
            )
            answer.raise_for_status()
            return answer

        answer = self.ask(request)
        return only_part(answer.headers.get("Content-Type", ""), answer.content)

    def _failed(self, status: int) -> CarpalError:
        where = f"The DICOMweb server at {self.server.url}"
        if status == 401:
            return AccessError(
                f"{where} does not let us in (401): set CARPAL_DICOMWEB_USER and "
                "CARPAL_DICOMWEB_PASSWORD, or CARPAL_DICOMWEB_TOKEN."
            )
        said = {
            400: "does not understand the request (400)",
            403: "does not allow this account to read it (403)",
            404: "does not have what was asked for (404); is that its DICOMweb service?",
            410: "does not have it any more (410)",
        }
        sentence = f"{where} {said.get(status, f'answers {status}')}"
        return FailedRequestError(sentence if sentence.endswith("?") else f"{sentence}.", status)


class _OneHost(requests.Session):
    """Sends its credentials and its requests to one host alone, and reads within limits."""

    def __init__(self, server: DicomWebServer) -> None:
        super().__init__()
        self._server = server
        adapter = _BoundedAdapter(server)
        for scheme in ("http://", "https://"):
            self.mount(scheme, adapter)
        if server.token:
            self.headers["Authorization"] = f"Bearer {server.token}"
        # Also without a user: otherwise ~/.netrc is asked for one.
        self.auth = (server.user, server.password) if server.user else _as_it_is

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        # Both ways of writing are right, but Orthanc understands wildcards only in this one.
        address, mark, query = str(request.url).partition("?")
        for escaped, plain in (("%2A", "*"), ("%3F", "?"), ("+", "%20")):
            query = query.replace(escaped, plain)
        request.url = f"{address}{mark}{query}"
        return super().prepare_request(request)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is not None and _origin(urljoin(resp.url, target)) != _origin(self._server.url):
            resp.close()
            raise AccessError(
                f"The DICOMweb server at {self._server.url} sends us to another address, which is "
                "not followed: give that address yourself if you trust it."
            )
        return target


class _BoundedAdapter(HTTPAdapter):
    def __init__(self, server: DicomWebServer) -> None:
        super().__init__()
        self._max_bytes = server.max_bytes + ENVELOPE_BYTES

    def send(self, request: requests.PreparedRequest, *args: Any, **other: Any) -> Any:
        answer = super().send(request, *args, **other)
        answer.raw = _Bounded(answer.raw, self._max_bytes)
        return answer


class _Bounded:
    """An answer's body that ends with an error where it becomes too large or too slow."""

    def __init__(self, raw: Any, max_bytes: int) -> None:
        self._raw = raw
        self._max_bytes = max_bytes

    def stream(self, *args: Any, **other: Any) -> Iterator[bytes]:
        count, end = 0, time.monotonic() + ANSWER_TIMEOUT_S
        for part in self._raw.stream(*args, **other):
            count += len(part)
            if count > self._max_bytes:
                self._raw.close()
                raise FailedRequestError(
                    f"The answer has more than the {self._max_bytes} bytes that are read.", 200
                )
            if time.monotonic() > end:
                self._raw.close()
                raise requests.Timeout
            yield part

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


def only_part(content_type: str, body: bytes) -> bytes:
    """Returns the first part of a `multipart/related` answer (PS3.18 8.7.1), or the whole body.

    Raises:
        FailedRequestError: The answer holds no DICOM file.
    """
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/related" or not isinstance(boundary, str):
        if header.get_content_type() == "application/dicom":
            return body
        raise FailedRequestError("The server answers with something else than a DICOM file.", 200)
    delimiter = b"--" + boundary.encode()
    begin = body.find(b"\r\n\r\n", body.find(delimiter)) + 4
    end = body.find(b"\r\n" + delimiter, begin)
    if begin < 4 or end < 0:
        raise FailedRequestError("The server's answer is cut off.", 200)
    return body[begin:end]


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _retry_after_s(headers: Mapping[str, str]) -> float:
    text = headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0

"""HTTP to Label Studio: credentials, time limits, repetitions, errors.

Nothing but this module speaks HTTP to Label Studio. Every request has a time limit; only reading
is repeated, and only when the connection itself failed. An error is one sentence; no token and
no body of a request appears in one.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from data.errors import (
    AccessError,
    CarpalError,
    LabelStudioError,
    NotFoundError,
    ServiceUnavailableError,
)

RETRY_WAITS_S = (0.2, 0.8)
"""Seconds before each repetition of a read whose connection failed."""
TOKEN_MARGIN_S = 30.0
"""An access token is renewed when it has less than this left."""
MAX_DETAIL_CHARS = 300
"""Longest part of an answer that is quoted in an error."""


class Connection:
    """A connection to one Label Studio.

    Args:
        url: Base URL, such as `http://localhost:8080`.
        token: A legacy key (40 hexadecimal digits) or a personal access token.
        timeout_s: Limit of an ordinary request.
        session: Carries the requests; its own unless given.
    """

    def __init__(
        self,
        url: str,
        token: str,
        timeout_s: float = 10.0,
        session: requests.Session | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._session = session or requests.Session()
        # A proxy of the environment cannot reach this machine's own addresses.
        self._session.trust_env = not is_loopback(self.url)
        self._auth = _PersonalToken(self, token) if "." in token else _LegacyToken(token)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Any = None,
        timeout_s: float | None = None,
    ) -> Any:
        """Sends a request and returns the decoded answer; None for an empty one.

        Args:
            method: `GET`, `POST`, `PATCH` or `DELETE`.
            path: Below the base URL, with the leading slash.
            params: Query.
            body: Sent as JSON.
            timeout_s: Limit of this request in seconds, instead of the ordinary one.

        Raises:
            AccessError: The token is missing or wrong, or may not do this.
            NotFoundError: The thing that the path names does not exist.
            ServiceUnavailableError: Label Studio does not answer.
            LabelStudioError: It refuses the request or answers in an unknown form.
        """
        answer = self._send(method, path, params, body, timeout_s or self._timeout_s, self._auth)
        return self._decoded(answer, f"{method} {path}")

    def health(self) -> bool:
        """Returns whether Label Studio answers; says nothing about the token."""
        try:
            answer = self._once("GET", "/health", None, None, self._timeout_s, None)
        except ServiceUnavailableError:
            return False
        return answer.status_code == HTTPStatus.OK

    def close(self) -> None:
        """Closes the connections that are kept for the next request."""
        self._session.close()

    def access_token(self, refresh: str) -> str:
        """Exchanges a personal access token for an access token, which lives for minutes."""
        path = "/api/token/refresh/"
        answer = self._send("POST", path, None, {"refresh": refresh}, self._timeout_s, None)
        return str(self._decoded(answer, f"POST {path}")["access"])

    def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int] | None,
        body: Any,
        timeout_s: float,
        auth: AuthBase | None,
    ) -> requests.Response:
        waits = iter(RETRY_WAITS_S if method == "GET" else ())
        while True:
            try:
                answer = self._once(method, path, params, body, timeout_s, auth)
                break
            except _NotConnectedError as error:
                wait = next(waits, None)
                if wait is None:
                    raise ServiceUnavailableError(str(error)) from error.__cause__
                time.sleep(wait)
        if not 200 <= answer.status_code < 300:
            raise self._error(answer, f"{method} {path}")
        return answer

    def _once(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int] | None,
        body: Any,
        timeout_s: float,
        auth: AuthBase | None,
    ) -> requests.Response:
        try:
            return self._session.request(
                method,
                self.url + path,
                params=params,
                json=body,
                timeout=timeout_s,
                auth=auth,
                allow_redirects=False,  # a token never follows to another host
            )
        except requests.Timeout as error:
            raise ServiceUnavailableError(
                f"Label Studio at {self.url} did not answer {method} {path} within {timeout_s:g} s."
            ) from error
        except requests.ConnectionError as error:
            raise _NotConnectedError(
                f"Label Studio at {self.url} does not answer: {_reason(error)}."
            ) from error
        except requests.RequestException as error:
            raise ServiceUnavailableError(
                f"Label Studio at {self.url} cannot be asked: {error}."
            ) from error

    def _decoded(self, answer: requests.Response, what: str) -> Any:
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError as error:
            raise LabelStudioError(
                f"{self.url} answered {what} with something else than JSON; is it Label Studio?"
            ) from error

    def _error(self, answer: requests.Response, what: str) -> CarpalError:
        said = _detail(answer)
        if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return AccessError(f"Label Studio at {self.url} does not allow {what}: {said}")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return NotFoundError(f"Label Studio at {self.url} does not know {what}: {said}")
        return LabelStudioError(
            f"Label Studio at {self.url} refused {what} (status {answer.status_code}): {said}"
        )


class _NotConnectedError(ServiceUnavailableError):
    """The connection failed: nothing was done, a read may be repeated."""


class _LegacyToken(AuthBase):
    """Sets the header itself: requests would else prefer what `.netrc` says of the host."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Token {self._token}"
        return request


class _PersonalToken(AuthBase):
    """Exchanges the personal token for access tokens as they run out."""

    def __init__(self, connection: Connection, token: str) -> None:
        self._connection = connection
        self._token = token
        self._access = ""
        self._ends_at = 0.0
        self._lock = threading.Lock()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        with self._lock:
            if time.time() > self._ends_at - TOKEN_MARGIN_S:
                self._access = self._connection.access_token(self._token)
                self._ends_at = _end_of(self._access)
            request.headers["Authorization"] = f"Bearer {self._access}"
        return request


def _end_of(token: str) -> float:
    """Returns the time (seconds since 1970) at which a JSON web token ends; 0: unknown."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError):
        return 0.0


def is_loopback(url: str) -> bool:
    """Says whether an address leads to this machine itself."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _reason(error: requests.ConnectionError) -> str:
    """Returns the cause in words: 'connection refused' instead of three nested exceptions."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        inner = cause.args[0] if cause.args else None
        reason = getattr(inner, "reason", None) or (
            inner if isinstance(inner, BaseException) else None
        )
        cause = reason if isinstance(reason, BaseException) else cause.__context__
    return "the connection failed"


def _detail(answer: requests.Response) -> str:
    """Returns Label Studio's own words, as one line."""
    try:
        body = answer.json()
    except ValueError:
        return f"{answer.reason or 'no reason given'}."
    words: list[str] = []
    if isinstance(body, dict):
        errors = body.get("validation_errors")
        named = errors.items() if isinstance(errors, dict) else ()
        for field, texts in named:
            text = "; ".join(map(str, texts)) if isinstance(texts, list) else str(texts)
            words.append(text if field == "non_field_errors" else f"{field}: {text}")
        words = words or [str(body.get("detail") or body)]
    else:
        words = [str(body)]
    line = " ".join(" ".join(words).split())[:MAX_DETAIL_CHARS]
    return line if line.endswith(".") else f"{line}."

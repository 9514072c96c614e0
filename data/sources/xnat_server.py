"""One XNAT server over its REST interface: sign in, list, download.

Only the session of the `xnat` package is used: signing in, the keeping of cookies, downloads with
checksums. Its object model is not (`no_parse_model`), because that is Python code which is made
from the schemas that the server sends, and executed; the lists of the published REST interface
(wiki.xnat.org/xnat-api) say all that is needed. No real XNAT was at hand when this was written: it
was tested against `tests/service/xnat/fake_xnat.py`, which answers as that documentation says.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import lru_cache
from http import HTTPStatus
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlencode

import xnat
from xnat import exceptions as said
from xnat.session import BaseXNATSession, XNATSession

from data.errors import ImageError, InvalidInputError, ServiceUnavailableError
from data.sources.xnat_access import XnatAccess
from data.sources.xnat_errors import may_pass, reason, status_of, translated

Row: TypeAlias = Mapping[str, str]
"""One row of a list of XNAT; every value is text."""
Result = TypeVar("Result")

LONGEST_WAIT_S = 60.0
"""Between two repetitions of a request."""
TIMEOUT_S = 60.0
"""Longest silence of the server within one answer."""
SIGN_IN_TIMEOUT_S = 15.0
"""The same for each request of the signing in."""
DOWNLOAD_LIMIT_S = 600.0
"""Longest time for one answer, however it trickles."""
MAX_LIST_BYTES = 256 * 1024 * 1024
"""Longest list: about a million subjects."""
STALE_AFTER_S = 60.0
"""A session that was used since cannot have ended by itself (XNAT's default is 15 minutes)."""

_SIGNED_OUT = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})
"""How XNAT answers when a session has ended: it goes on with the rights of a guest."""

log = logging.getLogger("carpal.xnat")


class XnatServer:
    """A connection that signs in when it is first used, and again when the session has ended.

    Every method raises AccessError (account refused, or it may not read this), NotFoundError,
    ServiceUnavailableError (no answer after all repetitions) or InvalidInputError (an answer that
    is none of an XNAT); each sentence names the server, none a credential.
    """

    def __init__(self, access: XnatAccess) -> None:
        self.access = access
        self._session: XNATSession | None = None
        self._used_at = 0.0

    def rows(self, path: str, key: str, **query: str) -> list[Row]:
        """Returns a list of XNAT, such as the subjects of a project.

        Args:
            path: Below the server's address, quoted: `/data/projects/P/subjects`.
            key: Column that is never empty.
            query: Further parameters.
        """
        listed = self._json(path, **query).get("ResultSet")
        found = listed.get("Result") if isinstance(listed, dict) else None
        if not isinstance(found, list):
            raise self._strange(path)
        rows = [row for row in found if isinstance(row, dict) and row.get(key)]
        if len(rows) != len(found):
            raise self._strange(path)
        return [{str(key): str(value or "") for key, value in row.items()} for row in rows]

    def record(self, path: str) -> Mapping[str, Any]:
        """Returns one item of XNAT with its children, such as a subject with its demographics."""
        items = self._json(path).get("items")
        if not isinstance(items, list) or not items or not isinstance(items[0], dict):
            raise self._strange(path)
        return items[0]

    def download(self, path: str, max_bytes: int, digest: str = "") -> bytes:
        """Returns a file, which is given up as soon as it turns out too large or too slow.

        Args:
            path: As a list of files says it.
            max_bytes: Largest file that is read.
            digest: Its MD5 in hexadecimal digits, if XNAT told one.

        Raises:
            ImageError: The file is larger.
            InvalidInputError: The server answers, but not with this file.
        """
        try:
            return self._repeated(path, lambda session: _read(session, path, max_bytes, digest))
        except ServiceUnavailableError as error:
            if self._answers():
                raise InvalidInputError(str(error)) from error
            raise

    def close(self) -> None:
        """Signs out; a server that does not answer meanwhile is no error."""
        session, self._session = self._session, None
        if session is not None:
            try:
                session.disconnect()
            except (said.XNATError, OSError):
                BaseXNATSession.disconnect(session)

    def __enter__(self) -> XnatServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _json(self, path: str, **query: str) -> dict[str, Any]:
        address = f"{path}?{urlencode({'format': 'json', **query}, safe='*')}"
        body = self._repeated(path, lambda session: _read(session, address, MAX_LIST_BYTES))
        try:
            answer = json.loads(body)
        except ValueError as error:
            raise self._strange(path) from error
        if not isinstance(answer, dict):
            raise self._strange(path)
        return answer

    def _repeated(self, path: str, ask: Callable[[XNATSession], Result]) -> Result:
        wait, left = self.access.first_wait_s, self.access.retries
        while True:
            stale = self._session and time.monotonic() - self._used_at > STALE_AFTER_S
            try:
                answer = ask(self._signed_in())
                self._used_at = time.monotonic()
                return answer
            except (said.XNATError, OSError) as error:
                if stale and status_of(error) in _SIGNED_OUT:
                    self.close()
                    continue
                if left == 0 or not may_pass(error):
                    raise translated(error, self.access.base, path) from error
                log.info("XNAT is asked again for %s in %g s: %s", path, wait, reason(error))
            left -= 1
            time.sleep(wait)
            wait = min(4 * wait, LONGEST_WAIT_S)

    def _answers(self) -> bool:
        try:
            self._signed_in().heartbeat()
        except (said.XNATError, OSError):
            return False
        return True

    def _signed_in(self) -> XNATSession:
        if self._session is None:
            self._session = xnat.connect(
                self.access.base,
                user=self.access.user,
                password=self.access.password,
                netrc_file=os.devnull,
                # What it logs names the account; what matters is raised as well.
                logger=logging.Logger("xnat", logging.CRITICAL + 1),
                detect_redirect=False,  # the password goes to the given address and no other
                no_parse_model=True,
                default_timeout=TIMEOUT_S,
                pilot_timeout=SIGN_IN_TIMEOUT_S,
            )
            # Its thread would print a traceback when the server is away; sessions are renewed.
            self._session.keepalive = False
            self._used_at = time.monotonic()
        return self._session

    def _strange(self, path: str) -> InvalidInputError:
        return InvalidInputError(
            f"{self.access.base} answers {path} in another form than XNAT does; is it an XNAT?"
        )


@lru_cache(maxsize=4)
def _server_of(access: XnatAccess, process: int) -> XnatServer:
    server = XnatServer(access)
    atexit.register(server.close)
    return server


def shared_server(access: XnatAccess) -> XnatServer:
    """Returns this process's connection to a server; not for several threads at once."""
    return _server_of(access, os.getpid())


def _read(session: XNATSession, path: str, max_bytes: int, digest: str = "") -> bytes:
    deadline = time.monotonic() + DOWNLOAD_LIMIT_S
    parts = bytearray()
    md5 = digest if len(digest) == 32 else None
    with closing(
        session.download_generator(path, timeout=TIMEOUT_S, expected_md5_digest=md5)
    ) as chunks:
        for chunk in chunks:
            parts += chunk
            if len(parts) > max_bytes:
                raise ImageError(f"The file is larger than {max_bytes} bytes.")
            if time.monotonic() > deadline:
                raise TimeoutError(f"one answer took more than {DOWNLOAD_LIMIT_S:g} s")
    return bytes(parts)

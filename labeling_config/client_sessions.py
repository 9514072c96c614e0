"""Whether a browser is signed in to Label Studio, by the cookie that it sends."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from http import HTTPStatus

import requests

from labeling_config.client_connection import is_loopback

SESSION_COOKIE = "sessionid"
"""Label Studio's. Browsers send cookies to every port of a host, so our pages get it, too."""
KNOWN_FOR_S = 60.0
"""Who has signed out may still look for this long."""
MAX_KNOWN = 1000
_WHO_AM_I = "/api/current-user/whoami"
_COOKIE = re.compile(r"[A-Za-z0-9._:=-]{1,4096}", re.ASCII)


class Sessions:
    """Asks one Label Studio about the sessions of its users; several threads may.

    Args:
        url: Base URL of Label Studio.
        timeout_s: Longest wait for its answer.
    """

    def __init__(self, url: str, timeout_s: float = 3.0) -> None:
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._known: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def is_signed_in(self, cookie: str) -> bool:
        """Says whether a session cookie is that of a user who is signed in.

        Args:
            cookie: Value of `SESSION_COOKIE`. Only its hash is kept, and only for `KNOWN_FOR_S`.

        Returns:
            False also where Label Studio does not answer.
        """
        if _COOKIE.fullmatch(cookie) is None:
            return False
        key, now = hashlib.sha256(cookie.encode()).digest(), time.monotonic()
        with self._lock:
            if self._known.get(key, now) > now:
                return True
        if not self._asked(cookie):
            return False
        with self._lock:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[key] = now + KNOWN_FOR_S
        return True

    def _asked(self, cookie: str) -> bool:
        # A session of its own: a shared one would send the cookies of one user with the next's.
        with requests.Session() as session:
            session.trust_env = not is_loopback(self._url)
            try:
                answer = session.get(
                    self._url + _WHO_AM_I,
                    headers={"Cookie": f"{SESSION_COOKIE}={cookie}"},
                    allow_redirects=False,
                    timeout=self._timeout_s,
                )
            except requests.RequestException:
                return False
        return answer.status_code == HTTPStatus.OK

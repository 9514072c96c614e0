"""Reads images from hosts that the installation names, where Label Studio sends us on to them.

Such an address carries its own signature; nothing of ours goes with it, and it is in no error.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from data.errors import AccessError, NotFoundError, ServiceUnavailableError
from labeling_config.client_bodies import PLAIN, Allowance, read_body
from labeling_config.image_hosts import (
    Destination,
    ImageHost,
    Lookup,
    addresses_of,
    destination,
)

TIMEOUT_S = 10.0
"""Longest silence of such a host."""
MIN_TIMEOUT_S = 0.1
MAX_TRIES = 3
"""IP addresses of one host that are tried."""
REFUSED = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class NamedHosts:
    """The hosts beside Label Studio that images are read from.

    Args:
        hosts: The hosts.
        lookup: Finds their IP addresses.
        certificates: File with the authorities that are trusted; None: those of `certifi`.
    """

    def __init__(
        self,
        hosts: Sequence[ImageHost] = (),
        lookup: Lookup = addresses_of,
        certificates: str | None = None,
    ) -> None:
        self._hosts = tuple(hosts)
        self._lookup = lookup
        self._certificates = certificates

    def read(self, url: str, allowance: Allowance) -> bytes:
        """Returns the file at an address that Label Studio has named.

        Args:
            url: The address.
            allowance: What reading it may take.

        Raises:
            InvalidInputError: The address may not be followed.
            ImageError: The file is larger.
            AccessError: The host does not accept the signature.
            NotFoundError: There is no such file.
            ServiceUnavailableError: The host does not answer, too slowly, or sends on again.
        """
        to = destination(url, self._hosts, self._lookup)
        *others, last = to.ips[:MAX_TRIES]
        try:
            for ip in others:
                with suppress(requests.ConnectionError):
                    return self._read_from(to, ip, allowance)
            return self._read_from(to, last, allowance)
        except (requests.RequestException, HTTPError) as error:
            # Not `from error`, which holds the signed address.
            raise ServiceUnavailableError(
                f"{to.host} does not hand out the image ({type(error).__name__})."
            ) from None

    def _read_from(self, to: Destination, ip: str, allowance: Allowance) -> bytes:
        wait = min(TIMEOUT_S, max(MIN_TIMEOUT_S, allowance.ends_at - time.monotonic()))
        with (
            self._session(to, ip) as session,
            session.get(
                to.url, stream=True, allow_redirects=False, timeout=wait, headers=PLAIN
            ) as answer,
        ):
            _require_file(answer, to.host)
            return read_body(answer, allowance, to.host)

    def _session(self, to: Destination, ip: str) -> requests.Session:
        session = requests.Session()
        session.trust_env = False  # Neither a proxy, which would look the name up, nor a .netrc.
        session.verify = self._certificates or True
        for prefix in list(session.adapters):
            session.mount(prefix, _Straight(to, ip))
        return session


class _Straight(HTTPAdapter):
    """Connects to the address that was checked, not to what the name leads to a moment later."""

    def __init__(self, to: Destination, ip: str) -> None:
        self._to, self._ip = to, ip
        super().__init__()

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: bool | str, cert: Any = None
    ) -> Any:
        """Says where to connect to; the certificate must still be that of the name."""
        host, options = super().build_connection_pool_key_attributes(request, verify, cert)
        host |= {"host": self._ip, "port": self._to.port}
        if host["scheme"] == "http":
            return host, options
        return host, {
            **options,
            "server_hostname": self._to.host,
            "assert_hostname": self._to.host,
        }

    def add_headers(self, request: requests.PreparedRequest, **options: Any) -> None:
        """Names the host, which the connection alone does not know."""
        request.headers["Host"] = request.url.split("/")[2] if request.url else self._to.host


def _require_file(answer: requests.Response, host: str) -> None:
    if answer.is_redirect:
        raise ServiceUnavailableError(f"{host} sends on for the image, which is not followed.")
    if answer.status_code in REFUSED:
        raise AccessError(
            f"{host} does not hand out the image (status {answer.status_code}): check the "
            "credentials of the storage in Label Studio."
        )
    if answer.status_code == HTTPStatus.NOT_FOUND:
        raise NotFoundError(f"{host} has no such image.")
    if answer.status_code != HTTPStatus.OK:
        raise ServiceUnavailableError(
            f"{host} does not hand out the image (status {answer.status_code})."
        )

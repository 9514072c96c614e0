"""Reads images that Label Studio hands out: uploads, and objects of its cloud storages."""

from __future__ import annotations

from http import HTTPStatus

import requests
from urllib3.exceptions import HTTPError

from data.errors import CarpalError, NotFoundError, ServiceUnavailableError
from labeling_config.client_bodies import PLAIN, Allowance, read_body
from labeling_config.client_connection import Connection
from labeling_config.client_image_hosts import NamedHosts
from labeling_config.image_addresses import object_behind

LIMIT_S = 20.0
"""Longest time that one image may take, however it trickles."""


class Uploads(Connection):
    """The images of one Label Studio.

    Args:
        url: See `Connection`.
        token: See `Connection`.
        hosts: Where Label Studio may send us on to for an object of a cloud storage; None: nowhere.
    """

    def __init__(self, url: str, token: str, hosts: NamedHosts | None = None) -> None:
        super().__init__(url, token)
        self._hosts = hosts or NamedHosts()

    def read(self, path: str, max_bytes: int) -> bytes:
        """Returns a file, which is given up as soon as it turns out too large or too slow.

        Args:
            path: `/data/upload/<project>/<file>`, or as `image_addresses.resolving_path` says.
            max_bytes: Largest file that is read.

        Raises:
            ImageError: The file is larger.
            AccessError: The token is missing or wrong, or may not do this.
            NotFoundError: There is no such file.
            InvalidInputError: Label Studio sends on to a host that may not be asked.
            ServiceUnavailableError: Label Studio does not answer, or not with the file; for an
                upload a redirect counts as that, because it could lead anywhere.
        """
        allowance = Allowance.from_now(max_bytes, LIMIT_S)
        stored = object_behind(path)
        try:
            with self._session.get(
                self.url + path,
                auth=self._auth,
                headers=PLAIN,
                stream=True,
                allow_redirects=False,
                timeout=self._timeout_s,
            ) as answer:
                if stored is None or not answer.is_redirect:
                    if answer.status_code != HTTPStatus.OK:
                        raise self._refusal(answer, path, stored)
                    return read_body(answer, allowance, "Label Studio")
                elsewhere = answer.headers["Location"]
        except (requests.RequestException, HTTPError) as error:
            raise ServiceUnavailableError(
                f"Label Studio at {self.url} does not hand out the image."
            ) from error
        return self._hosts.read(elsewhere, allowance)

    def _refusal(self, answer: requests.Response, path: str, stored: str | None) -> CarpalError:
        if stored is not None and answer.status_code == HTTPStatus.NOT_FOUND:
            return NotFoundError(f"No storage of the project in Label Studio hands out {stored}.")
        if stored is None and answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
            # 1.23.2 does not answer 404; seen by asking for a file that never was.
            return NotFoundError(
                f"Label Studio at {self.url} has no upload {path} that it hands out."
            )
        return self._error(answer, f"GET {path}" if stored is None else f"GET {stored}")

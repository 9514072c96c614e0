"""Reads images that somebody uploaded into Label Studio."""

from __future__ import annotations

import time
from http import HTTPStatus

import requests

from data.errors import ImageError, NotFoundError, ServiceUnavailableError
from labeling_config.client_connection import Connection

CHUNK_BYTES = 64 * 1024
LIMIT_S = 20.0
"""Longest time that one upload may take, however it trickles."""


class Uploads(Connection):
    """The files below `/data/upload/` of one Label Studio; see `Connection` for its arguments."""

    def read(self, path: str, max_bytes: int) -> bytes:
        """Returns a file, which is given up as soon as it turns out too large or too slow.

        Args:
            path: `/data/upload/<project>/<file>`.
            max_bytes: Largest file that is read.

        Raises:
            ImageError: The file is larger.
            AccessError: The token is missing or wrong, or may not do this.
            NotFoundError: There is no such file.
            ServiceUnavailableError: Label Studio does not answer, or not with the file; a
                redirect counts as that, because it could lead anywhere.
        """
        deadline = time.monotonic() + LIMIT_S
        parts: list[bytes] = []
        size = 0
        try:
            with self._session.get(
                self.url + path,
                auth=self._auth,
                stream=True,
                allow_redirects=False,
                timeout=self._timeout_s,
            ) as answer:
                if answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
                    # 1.23.2 does not answer 404; seen by asking for a file that never was.
                    raise NotFoundError(
                        f"Label Studio at {self.url} has no upload {path} that it hands out."
                    )
                if not answer.ok or answer.is_redirect:
                    raise self._error(answer, f"GET {path}")
                for part in answer.iter_content(CHUNK_BYTES):
                    parts.append(part)
                    size += len(part)
                    if size > max_bytes:
                        raise ImageError(f"The upload is larger than {max_bytes} bytes.")
                    if time.monotonic() > deadline:
                        raise ServiceUnavailableError(
                            f"Label Studio took more than {LIMIT_S:g} s for an upload."
                        )
        except requests.RequestException as error:
            raise ServiceUnavailableError(
                f"Label Studio at {self.url} does not hand out the upload."
            ) from error
        return b"".join(parts)

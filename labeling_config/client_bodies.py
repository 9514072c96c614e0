"""Reads the body of an answer within limits of size and time."""

from __future__ import annotations

import time
from dataclasses import dataclass

import requests

from data.errors import ImageError, ServiceUnavailableError

CHUNK_BYTES = 64 * 1024
PLAIN = {"Accept-Encoding": "identity"}
"""Header that asks for a file as it is: a small answer that inflates is not wanted."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What reading one file may take.

    Attributes:
        max_bytes: Its largest size.
        seconds: Its longest time, from the question to the last byte.
        ends_at: When that is over, on the monotonic clock.
    """

    max_bytes: int
    seconds: float
    ends_at: float

    @classmethod
    def from_now(cls, max_bytes: int, seconds: float) -> Allowance:
        """Returns an allowance whose time begins now."""
        return cls(max_bytes, seconds, time.monotonic() + seconds)


def read_body(answer: requests.Response, allowance: Allowance, source: str) -> bytes:
    """Returns the body of a streamed answer, which is given up once it is too large or too slow.

    Args:
        answer: Its body is not read yet.
        allowance: What it may take, however it trickles.
        source: Who answers, for errors.

    Raises:
        ImageError: It is larger.
        ServiceUnavailableError: It takes longer.
        urllib3.exceptions.HTTPError: It breaks off.
    """
    too_large = ImageError(f"The image is larger than {allowance.max_bytes} bytes.")
    announced = answer.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced) > allowance.max_bytes:
        raise too_large
    parts: list[bytes] = []
    size = 0
    # Unlike iter_content, read1 comes back with what is there.
    while part := answer.raw.read1(CHUNK_BYTES, decode_content=False):
        parts.append(part)
        size += len(part)
        if size > allowance.max_bytes:
            raise too_large
        if time.monotonic() > allowance.ends_at:
            raise ServiceUnavailableError(
                f"{source} took more than {allowance.seconds:g} s for an image."
            )
    return b"".join(parts)

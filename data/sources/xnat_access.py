"""Where an XNAT is, and who asks there."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from data.errors import AccessError, InvalidInputError

FIRST_WAIT_S = 1.0
"""Wait before the first repetition of a request; each later one waits four times as long."""


@dataclass(frozen=True, slots=True)
class XnatAccess:
    """Where an XNAT is and who asks; can be sent to another process.

    Attributes:
        url: Base address, such as `https://xnat.example.org`.
        user: Account, or the alias of an alias token.
        password: Its password, or the token's secret.
        retries: How often a request that failed is repeated.
        first_wait_s: See `FIRST_WAIT_S`.

    Raises:
        InvalidInputError: The address is none of an HTTP server, or holds a password.
        AccessError: User or password are missing.
    """

    url: str
    user: str = field(repr=False)
    password: str = field(repr=False)
    retries: int = 3
    first_wait_s: float = FIRST_WAIT_S

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise InvalidInputError(f"The address of the XNAT is none: {error}.") from error
        if "@" in parts.netloc:
            raise InvalidInputError(
                "The address of an XNAT must not hold a user or password: set CARPAL_XNAT_USER "
                "and CARPAL_XNAT_PASSWORD."
            )
        if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
            raise InvalidInputError(
                f"{self.url!r} is not the address of an XNAT, such as https://xnat.example.org."
            )
        if not self.user or not self.password:
            raise AccessError(
                "XNAT needs an account: set CARPAL_XNAT_USER and CARPAL_XNAT_PASSWORD (the alias "
                "and secret of an alias token will do)."
            )

    @property
    def base(self) -> str:
        """The address without a slash at its end."""
        return self.url.rstrip("/")

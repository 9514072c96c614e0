"""What the errors of the `xnat` package and of its connection mean, in one sentence each."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from http import HTTPStatus

from xnat import exceptions as said

from data.errors import (
    AccessError,
    CarpalError,
    InvalidInputError,
    NotFoundError,
    ServiceUnavailableError,
)

DOWN = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""The server itself is in trouble, not the one thing that was asked for."""


def translated(error: Exception, url: str, path: str) -> CarpalError:
    """Returns what is raised instead of an error that no repetition has helped against.

    Args:
        error: Of the `xnat` package, or an OSError of the connection.
        url: The server as the user named it.
        path: What was asked for.
    """
    at, status = f"XNAT at {url}", status_of(error)
    if isinstance(error, said.XNATExpiredCredentialsError):
        return AccessError(f"{at} says that the password has expired: change it there.")
    if isinstance(error, said.XNATLoginFailedError):
        return AccessError(
            f"{at} does not accept user and password: check CARPAL_XNAT_USER and "
            "CARPAL_XNAT_PASSWORD."
        )
    if isinstance(error, said.XNATAuthError):
        return InvalidInputError(f"{url} does not answer as an XNAT does.")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return AccessError(f"{at} does not let this account read {path}.")
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(f"{at} has no {path}.")
    if status and status not in DOWN:
        return InvalidInputError(f"{at} answers {path} with status {status}.")
    if not status and type(error) is said.XNATValueError:  # of the package's check of the MD5
        return InvalidInputError(
            f"{at} delivers another {path} than its list says: {reason(error)}."
        )
    return ServiceUnavailableError(f"{at} does not answer {path}: {reason(error)}.")


def status_of(error: BaseException) -> int:
    """Returns the HTTP status of the answer that the error is about; 0: there was none."""
    return int(getattr(error, "status_code", 0))


def may_pass(error: Exception) -> bool:
    """Says whether the same request may succeed a little later."""
    if isinstance(error, said.XNATAuthError):
        return False
    if status_of(error):
        return status_of(error) in DOWN | {HTTPStatus.INTERNAL_SERVER_ERROR}
    return not any(
        isinstance(cause, ssl.SSLCertVerificationError)
        or (isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME)
        for cause in _causes(error)
    )


def reason(error: BaseException) -> str:
    """Returns the cause in words: 'connection refused' instead of three nested exceptions."""
    if status_of(error):
        return f"status {status_of(error)}"
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        first = cause.args[0] if cause.args else None
        inner = getattr(first, "reason", first)
        cause = inner if isinstance(inner, BaseException) else cause.__cause__ or cause.__context__

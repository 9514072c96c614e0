"""Reads JSON requests."""

from __future__ import annotations

import json
from typing import Any

from flask import request
from werkzeug.exceptions import UnsupportedMediaType

from data.errors import InvalidInputError

MAX_JSON_BYTES = 32 * 1024 * 1024
"""Largest request, some ten thousand tasks, where a route sets no other limit."""


def json_object() -> dict[str, Any]:
    """Returns the JSON object in the body of the request.

    The content type has to say JSON: a form on a foreign web page cannot say that, so it cannot
    use the password that a browser remembers.

    Raises:
        UnsupportedMediaType: The content type is another.
        InvalidInputError: The body is not a JSON object.
        RequestEntityTooLarge: It is larger than `MAX_JSON_BYTES`.
    """
    if not request.is_json:
        raise UnsupportedMediaType("Send JSON with the header 'Content-Type: application/json'.")
    try:
        body = json.loads(request.get_data())
    except (ValueError, RecursionError) as error:
        raise InvalidInputError("The body of the request is not readable as JSON.") from error
    if not isinstance(body, dict):
        raise InvalidInputError("The body of the request must be a JSON object.")
    return body


def text_or_none(body: dict[str, Any], key: str) -> str | None:
    """Returns a text of the body, or None if it is absent.

    Raises:
        InvalidInputError: It is something else.
    """
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise InvalidInputError(f"{key!r} must be text.")
    return value

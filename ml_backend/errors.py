"""Every refusal and failure as one RFC 9457 problem (`application/problem+json`).

A problem carries one clear sentence in `detail`. An unexpected exception becomes a 500 with an
incident id that leads to the traceback in the log; the traceback itself never leaves the log.
"""

from __future__ import annotations

import json
import logging
import uuid
from http import HTTPStatus

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from data.errors import CarpalError

PROBLEM_JSON = "application/problem+json"
MAX_REASON_CHARS = 200
"""Longest sentence that is put into a status line; a line of a response has to stay short."""

log = logging.getLogger(__name__)


def problem(status: int, detail: str, incident: str = "") -> Response:
    """Returns a problem document.

    Args:
        status: HTTP status code, 400 to 599.
        detail: One sentence for a person.
        incident: Id under which the log tells more; empty if there is no more to tell.
    """
    document: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if incident:
        document["instance"] = f"urn:uuid:{incident}"
    return Response(json.dumps(document), status=status, content_type=PROBLEM_JSON)


def register_error_handlers(app: Flask) -> None:
    """Makes every error of the application a problem document."""
    app.register_error_handler(CarpalError, _carpal_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected_error)


def say_in_status_line(response: Response) -> Response:
    """Puts the sentence of a problem into the status line of the answer.

    Label Studio shows people the status line of a failed `/setup`, and never the body.
    """
    if response.status_code >= 400 and response.mimetype == PROBLEM_JSON:
        sentence = str(json.loads(response.get_data()).get("detail", ""))
        printable = "".join(c if " " <= c <= "~" else "?" for c in sentence)
        response.status = f"{response.status_code} {printable[:MAX_REASON_CHARS]}"
    return response


def _carpal_error(error: CarpalError) -> Response:
    if error.http_status >= 500:
        log.error("%s %s: %s", request.method, request.path, error)
    return problem(error.http_status, str(error))


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    answer = problem(status, _sentence(status, error))
    for name, value in error.get_headers():
        if name.lower() in {"allow", "retry-after"}:
            answer.headers[name] = value
    return answer


def _sentence(status: int, error: HTTPException) -> str:
    if status == 404:
        return f"There is nothing at {request.path}."
    if status == 405:
        return f"{request.path} does not answer {request.method}."
    if status == 413:
        limit = request.max_content_length
        return f"The request is larger than the {limit} bytes that {request.path} accepts."
    return error.description or HTTPStatus(status).phrase


def _unexpected_error(error: Exception) -> Response:
    incident = str(uuid.uuid4())
    log.error("Incident %s: %s %s failed.", incident, request.method, request.path, exc_info=error)
    return problem(500, f"Something unexpected failed; the log has it as {incident}.", incident)

"""Every refusal and failure as one RFC 9457 problem (`application/problem+json`).

A problem carries one clear sentence in `detail`. A failure of ours (500, 507) carries an incident
id that leads to its cause in the log; a traceback never leaves the log. Below `/v2` the sentence
stands in `error` as well, where the Open Inference Protocol has it.
"""

from __future__ import annotations

import json
import logging
import uuid
from http import HTTPStatus

from flask import Flask, Response, has_request_context, request
from werkzeug.exceptions import HTTPException

from data.errors import CarpalError
from ml_backend.batching import BusyError

PROBLEM_JSON = "application/problem+json"
MAX_REASON_CHARS = 200
"""Longest sentence that is put into a status line; a line of a response has to stay short."""

INFERENCE_PATH = "/v2"
"""Everything below it speaks the Open Inference Protocol."""
OUR_FAILURES = frozenset({HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.INSUFFICIENT_STORAGE})

log = logging.getLogger(__name__)


def problem(status: int, detail: str, incident: str = "", **more: object) -> Response:
    """Returns a problem document.

    Args:
        status: HTTP status code, 400 to 599.
        detail: One sentence for a person.
        incident: Id under which the log tells more; empty if there is no more to tell.
        **more: Further members of the document.
    """
    document: dict[str, object] = {
        **more,
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if incident:
        document["instance"] = f"urn:uuid:{incident}"
    if has_request_context() and speaks_inference_protocol(request.path):
        document["error"] = detail
    return Response(json.dumps(document), status=status, content_type=PROBLEM_JSON)


def speaks_inference_protocol(path: str) -> bool:
    """Says whether a path belongs to the Open Inference Protocol."""
    return path == INFERENCE_PATH or path.startswith(f"{INFERENCE_PATH}/")


def register_error_handlers(app: Flask) -> None:
    """Makes every error of the application a problem document."""
    app.register_error_handler(CarpalError, problem_of)
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


def problem_of(error: CarpalError) -> Response:
    """Returns the problem document of an error, and logs it if it is a failure of ours."""
    if error.http_status in OUR_FAILURES:
        return problem(error.http_status, str(error), _incident(error))
    if error.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s %s: %s", request.method, _address(), error)
    answer = problem(error.http_status, str(error))
    if isinstance(error, BusyError):
        answer.headers["Retry-After"] = str(error.retry_after_s)
    return answer


def sentence_of(error: CarpalError) -> str:
    """Returns an error for a page: its sentence and, of a failure of ours, where the log has it."""
    if error.http_status not in OUR_FAILURES:
        return str(error)
    return f"{error} The log has it as {_incident(error)}."


def _http_error(error: HTTPException) -> Response:
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    incident = _incident(error) if status in OUR_FAILURES else ""
    answer = problem(status, _sentence(status, error), incident)
    for name, value in error.get_headers():
        if name.lower() in {"allow", "retry-after"}:
            answer.headers[name] = value
    return answer


def _sentence(status: int, error: HTTPException) -> str:
    if status == 404:
        return f"There is nothing at {_address()}."
    if status == 405:
        return f"{_address()} does not answer {request.method}."
    if status == 413:
        limit = request.max_content_length
        return f"The request is larger than the {limit} bytes that {_address()} accepts."
    return error.description or HTTPStatus(status).phrase


def _unexpected_error(error: Exception) -> Response:
    incident = _incident(error)
    return problem(500, f"Something unexpected failed; the log has it as {incident}.", incident)


def _incident(error: Exception) -> str:
    """Writes a failure to the log, and returns the id that it has there."""
    incident = str(uuid.uuid4())
    log.error("Incident %s: %s %s failed.", incident, request.method, _address(), exc_info=error)
    return incident


def _address() -> str:
    """Returns what was asked for, with the prefix that the workspace is served below."""
    return request.script_root + request.path

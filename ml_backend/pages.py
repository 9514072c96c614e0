"""Pages for people: they run no script and load nothing from elsewhere."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from flask import Response, make_response, render_template, request

from data.errors import CarpalError
from ml_backend.errors import problem_of, sentence_of
from ml_backend.services import Services

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'"
)

_OUR_ADDRESS = re.compile(r'\b(href|src)="/(?!/)')
"""How an address of ours begins in a template, and no text of others: their quotes are escaped."""


def html_page(template: str, services: Services, status: int = 200, **facts: Any) -> Response:
    """Renders a template that extends `base.html`."""
    text = render_template(
        template, spec=services.spec, label_studio=services.settings.label_studio, **facts
    )
    # The templates know nothing of the prefix that a workspace may be served below.
    text = _OUR_ADDRESS.sub(rf'\1="{request.script_root}/', text)
    answer = make_response(text, status)
    answer.headers["Content-Security-Policy"] = POLICY
    return answer


def refusal_page(services: Services, error: CarpalError) -> Response:
    """Returns a page for a browser that asks for one, else a problem document."""
    accepted = request.accept_mimetypes
    if accepted.best_match(["application/problem+json", "text/html"]) != "text/html":
        return problem_of(error)
    title = HTTPStatus(error.http_status).phrase
    return html_page(
        "refusal.html", services, error.http_status, title=title, sentence=sentence_of(error)
    )

"""`/openapi.json`: the HTTP surface as an OpenAPI 3.1 document, for people and programs.

The document is `openapi.yaml` beside this file, written by hand, with the release put in. It names
no host and holds no secret, so anybody may read it.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from flask import Blueprint, Response, jsonify, request

DOCUMENT = Path(__file__).with_name("openapi.yaml")


def openapi_routes() -> Blueprint:
    """Returns the route of the document."""
    routes = Blueprint("openapi", __name__)

    @routes.get("/openapi.json")
    def document() -> Response:
        return jsonify({**openapi_document(), "servers": [{"url": request.script_root or "/"}]})

    return routes


@lru_cache(maxsize=1)
def openapi_document() -> dict[str, Any]:
    """Returns the document."""
    read: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    read["info"]["version"] = version("carpal")
    return read

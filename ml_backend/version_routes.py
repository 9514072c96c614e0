"""`/versions/v0007`, what a dataset version holds, and `/versions/v0006..v0007`, what it changed.

The pages read git and change nothing.
"""

from __future__ import annotations

import io
from hashlib import sha256

from flask import Blueprint, Response, make_response

from data.atomic import write_file
from data.errors import CarpalError, NotFoundError
from data.pool import Pool
from data.versions.diff import VersionDiff, diff
from data.versions.diff_picture import diff_picture, picture_size
from data.versions.history import VersionHistory
from data.versions.inventory import inventory
from data.versions.markdown import SHORT_ID, size_text
from data.versions.names import resolve_version
from data.versions.pair import VersionPair, pick_versions
from ml_backend import wording
from ml_backend.pages import html_page, refusal_page
from ml_backend.services import Services
from ml_backend.status_plots import DRAWING
from workers.assembly import version_history

BETWEEN = ".."
"""What stands between the two versions of a diff; the older one may be left out."""
SHOWN_ROWS = 100
"""Rows of each kind on a page."""
PICTURES = "diffs"
"""Folder of the cache that holds the pictures."""


def version_routes(services: Services) -> Blueprint:
    """Returns the routes that show the dataset versions."""
    routes = Blueprint("versions", __name__)
    routes.register_error_handler(CarpalError, lambda error: refusal_page(services, error))

    @routes.get("/versions/<said>")
    def page(said: str) -> Response:
        history = version_history(services.settings, services.spec)
        if BETWEEN in said:
            return _diff_page(services, _pair(history, said))
        return _version_page(services, history, said)

    @routes.get("/versions/<said>/picture.png")
    def picture(said: str) -> Response:
        history = version_history(services.settings, services.spec)
        answer = make_response(_picture(services, _pair(history, said)))
        answer.content_type = "image/png"
        answer.headers["Cache-Control"] = "private, max-age=3600"
        return answer

    return routes


def _pair(history: VersionHistory, said: str) -> VersionPair:
    """Finds the versions of `v0006..v0007`; see `pick_versions`."""
    old, between, new = said.partition(BETWEEN)
    if not between or not new:
        raise NotFoundError(f"{said!r} is no pair of versions: it is written v0006..v0007.")
    return pick_versions(history, old, new)


def _version_page(services: Services, history: VersionHistory, said: str) -> Response:
    known = history.versions()
    name = resolve_version(said, known)
    place = known.index(name)
    return html_page(
        "version.html",
        services,
        found=inventory(history, name),
        size=size_text,
        before=known[place - 1] if place else "",
        after=known[place + 1] if place + 1 < len(known) else "",
    )


def _diff_page(services: Services, pair: VersionPair) -> Response:
    changed = _changed(services, pair)
    return html_page(
        "version_diff.html",
        services,
        pair=pair,
        changed=changed,
        picture=picture_size(changed),
        targets=services.spec.targets,
        words=wording,
        limit=SHOWN_ROWS,
        short=SHORT_ID,
        cases=services.desk is not None,
    )


def _changed(services: Services, pair: VersionPair) -> VersionDiff:
    return diff(pair.before, pair.after, services.spec)


def _picture(services: Services, pair: VersionPair) -> bytes:
    """Returns the picture of a diff as PNG; it is drawn once."""
    content = sha256(pair.before.text + b"\0" + pair.after.text).hexdigest()[:32]
    file = services.settings.cache / PICTURES / f"{content}.png"
    if file.exists():
        return file.read_bytes()
    find = Pool(services.settings.pool).find
    with DRAWING:
        figure = diff_picture(services.spec, pair, _changed(services, pair), find)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, drawn.getvalue(), sync=False)
    return drawn.getvalue()

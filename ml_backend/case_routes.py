"""The page of one case, and the pictures that it and other pages show.

A case is opened by the number of its Label Studio task, or by the id of its radiograph. The pages
need no script, load nothing from other hosts, and change nothing.
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from flask import Blueprint, Response, request

from data.errors import CarpalError, InvalidInputError, NotFoundError
from ml_backend import wording
from ml_backend.pages import POLICY, html_page, refusal_page
from ml_backend.ruler import ruler_of
from ml_backend.services import Services
from workers.desk import Desk
from workers.film_pictures import THUMBNAIL
from workers.standards import primary_number

FOR_EVER = "private, max-age=31536000, immutable"
"""A film's address names its content."""
FOR_A_DAY = "private, max-age=86400"
GREYS = ("levelled", "stored")
MAX_TASK_DIGITS = 9
_STATIC = Path(__file__).parent / "static"


def case_routes(services: Services, desk: Desk) -> Blueprint:
    """Returns the routes of the case page and its pictures."""
    routes = Blueprint("case", __name__)
    routes.register_error_handler(CarpalError, lambda error: refusal_page(services, error))

    @routes.get("/task/<task>")
    def case_of_task(task: str) -> Response:
        return _page(services, desk, desk.radiograph_of_task(_number(task)))

    @routes.get("/radiographs/<radiograph_id>")
    def case_of_film(radiograph_id: str) -> Response:
        return _page(services, desk, radiograph_id)

    @routes.get("/radiographs/<radiograph_id>.png")
    def film(radiograph_id: str) -> Response:
        size, grey = request.args.get("size"), request.args.get("grey", "levelled")
        _require_known(size, grey)
        tag = f"{radiograph_id}-{size or 'whole'}-{grey}"
        if tag in request.if_none_match:
            return _cached(Response(status=HTTPStatus.NOT_MODIFIED), tag, FOR_EVER)
        if size:
            return _cached(_png(desk.thumbnail(radiograph_id)), tag, FOR_EVER)
        with services.models.reserve():  # A film of full size takes as much as a prediction.
            picture = desk.film(radiograph_id, as_stored=grey == "stored")
        return _cached(_png(picture), tag, FOR_EVER)

    @routes.get("/task/<task>/heat-map.png")
    def heat_map_of_task(task: str) -> Response:
        return _heat_map(services, desk, desk.radiograph_of_task(_number(task)))

    @routes.get("/radiographs/<radiograph_id>/heat-map.png")
    def heat_map_of_film(radiograph_id: str) -> Response:
        return _heat_map(services, desk, radiograph_id)

    @routes.get("/viewer.js")
    def viewer() -> Response:
        return _file("viewer.js", "text/javascript")

    @routes.get("/icon.svg")
    def icon() -> Response:
        return _file("icon.svg", "image/svg+xml")

    return routes


def _page(services: Services, desk: Desk, radiograph_id: str) -> Response:
    serving = services.models.served.model_version
    # The labelling page leads here like this: what a reader submits is to be his or her own.
    independent = request.args.get("readings") == "off"
    case = desk.case(radiograph_id, serving, independent=independent)
    similar = desk.similar(case.radiograph, serving)
    target = primary_number(services.spec)
    likes = [one.standard.radiograph.id for one in similar.cases]
    answer = html_page(
        "case.html",
        services,
        case=case,
        target=target,
        ruler=ruler_of(case, target) if target else None,
        similar=similar,
        tasks={**case.tasks, **desk.tasks(case.project, likes)},
        serving=serving,
        heat_map=request.args.get("heat-map") == "on",
        words=wording,
    )
    answer.headers["Content-Security-Policy"] = f"{POLICY}; script-src 'self'"
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


def _heat_map(services: Services, desk: Desk, radiograph_id: str) -> Response:
    serving = services.models.served.model_version
    tag = f"{radiograph_id}-{serving}"
    if serving and tag in request.if_none_match:
        return _cached(Response(status=HTTPStatus.NOT_MODIFIED), tag, "private, no-cache")
    with services.models.reserve():
        picture = desk.heat_map(radiograph_id, serving)
    return _cached(_png(picture), tag, "private, no-cache")


def _number(task: str) -> int:
    if not (task.isascii() and task.isdecimal()) or len(task) > MAX_TASK_DIGITS:
        raise NotFoundError("A case is opened by the number of its task in Label Studio.")
    return int(task)


def _require_known(size: str | None, grey: str) -> None:
    if size not in (None, str(THUMBNAIL)) or grey not in GREYS or (size and grey != GREYS[0]):
        raise InvalidInputError(
            f"A film is shown whole, grey={' or '.join(GREYS)}, or small with size={THUMBNAIL}."
        )


def _png(picture: bytes) -> Response:
    return Response(picture, content_type="image/png")


def _cached(answer: Response, tag: str, how_long: str) -> Response:
    answer.set_etag(tag)
    answer.headers["Cache-Control"] = how_long
    return answer


def _file(name: str, content_type: str) -> Response:
    answer = Response((_STATIC / name).read_bytes(), content_type=content_type)
    answer.headers["Cache-Control"] = FOR_A_DAY
    return answer

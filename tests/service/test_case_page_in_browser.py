"""The case page in Chromium: on a wide screen, in the dark, on a phone, without scripts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from werkzeug.serving import make_server

from labeling_config.client_sessions import SESSION_COOKIE
from tests.support import eventually, missing
from tests.unit.ml_backend.conftest import SIGNED_IN, Backend, backend
from tests.unit.ml_backend.desk_cases import (
    MODEL,
    TASK,
    CaseDesk,
    case_desk,
    index_films,
)
from tests.unit.ml_backend.fakes import FakePredictor

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.browser

__all__ = ["backend"]
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
LOADED = "image => image.complete && image.naturalWidth > 0"
ALL_SEEN = """[...document.images].filter(i => i.offsetParent && i.loading != 'lazy')
              .every(i => i.complete)"""


@dataclass
class Visit:
    """A page of the browser, and all that it complained about and asked for."""

    page: playwright.Page
    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def watch(self) -> None:
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))

    def width_beyond_screen(self) -> int:
        """Pixels by which the page is wider than its window."""
        beyond = "document.documentElement.scrollWidth - window.innerWidth"
        return int(self.page.evaluate(beyond))


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as driver:
        try:
            opened = driver.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        except playwright.Error as error:
            missing(f"Chromium cannot be started: {error.message.splitlines()[0]}")
        yield opened
        opened.close()


@pytest.fixture
def desk(backend: Backend) -> Iterator[CaseDesk]:
    """A case about which everything is known that can be known."""
    made = case_desk(backend)
    films = [
        made.add_film(float(age), sex) for age in (80, 90, 110, 130) for sex in ("female", "male")
    ]
    for film, age in zip(films, (80, 80, 90, 90, 110, 110, 130, 130), strict=True):
        made.settle(film, float(age), "female" if films.index(film) % 2 == 0 else "male")
    index_films(backend, films)
    made.predict(112.0)
    made.predict(96.0, model_version="v0001-0123abcd", novelty=1.4)
    made.read(108.0)
    made.read(112.0, reader="a.very.long.name.of.a.reader@children.radiology.example.org", number=2)
    backend.serve(FakePredictor(MODEL))
    with made.ledger:
        yield made


@pytest.fixture
def address(desk: CaseDesk) -> Iterator[str]:
    """Where the backend answers, on this machine."""
    server = make_server("127.0.0.1", 0, desk.backend.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def visited(browser: playwright.Browser, address: str, **options: object) -> Visit:
    """Opens the case and waits until all that can be seen is there."""
    context = browser.new_context(**options)
    context.add_cookies([{"name": SESSION_COOKIE, "value": SIGNED_IN, "url": address}])
    visit = Visit(context.new_page())
    visit.watch()
    visit.page.goto(f"{address}/task/{TASK}")
    assert eventually(lambda: bool(visit.page.evaluate(ALL_SEEN)))
    return visit


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("width", "height"),
    [pytest.param(1440, 900, id="wide"), pytest.param(390, 844, id="phone")],
)
def test_the_page_fits_its_window_and_asks_nobody_else(
    browser: playwright.Browser, address: str, width: int, height: int, scheme: str
) -> None:
    visit = visited(
        browser, address, viewport={"width": width, "height": height}, color_scheme=scheme
    )

    assert visit.width_beyond_screen() <= 0
    assert visit.complaints == []
    assert visit.hosts == {address.removeprefix("http://")}
    assert visit.page.locator(".film").evaluate(LOADED)


def test_film_prediction_and_standards_are_seen_without_scrolling(
    browser: playwright.Browser, address: str
) -> None:
    page = visited(browser, address, viewport={"width": 1440, "height": 900}).page

    for name in (".stage", ".age", ".films.three img >> nth=0", ".films.three img >> nth=2"):
        box = page.locator(name).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 900, name


@pytest.mark.parametrize("scripts", [True, False], ids=["with-scripts", "without-scripts"])
def test_the_heat_map_is_asked_for_only_when_it_is_switched_on(
    browser: playwright.Browser, address: str, desk: CaseDesk, scripts: bool
) -> None:
    page = visited(browser, address, java_script_enabled=scripts).page
    assert desk.pictures.drawn == []
    assert not page.locator(".heat").is_visible()

    with page.expect_response("**/heat-map.png") as answered:
        page.click("#heat")

    assert answered.value.ok
    playwright.expect(page.locator(".heat")).to_be_visible()
    page.click("#heat")
    playwright.expect(page.locator(".heat")).to_be_hidden()


def test_without_scripts_the_film_can_be_brightened_enlarged_and_shown_as_stored(
    browser: playwright.Browser, address: str
) -> None:
    page = visited(browser, address, java_script_enabled=False).page
    film = page.locator(".film")
    before = film.bounding_box()

    page.click("label[for=bright]")
    assert "brightness(1.7)" in film.evaluate("e => getComputedStyle(e).filter")
    page.click("label[for=stored]")
    assert page.locator(".as-stored").is_visible()
    assert not page.locator(".sliders").is_visible()
    page.click("label[for=zoom]")

    after = film.bounding_box()
    assert before is not None
    assert after is not None
    assert after["width"] > 1.5 * before["width"]


def test_sliders_set_brightness_and_a_button_sets_it_back(
    browser: playwright.Browser, address: str
) -> None:
    page = visited(browser, address).page
    film = page.locator(".film")

    page.locator("input[name=brightness]").fill("150")
    assert "brightness(1.5)" in film.evaluate("e => getComputedStyle(e).filter")
    page.click("label[for=negative]")

    assert "brightness(1) contrast(1) invert(1)" in film.evaluate("e => getComputedStyle(e).filter")


def test_a_film_that_is_gone_says_so_and_the_rest_of_the_page_stands(
    browser: playwright.Browser, address: str, desk: CaseDesk
) -> None:
    (desk.backend.settings.pool / desk.film.path).unlink()

    page = visited(browser, address).page

    assert page.locator(".film").evaluate("image => image.naturalWidth") == 0
    assert "cannot be shown" in (page.locator(".film").get_attribute("alt") or "")
    assert page.get_by_text("112 months").first.is_visible()

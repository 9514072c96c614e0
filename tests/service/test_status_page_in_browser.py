"""The status page and the pages of versions in Chromium: wide, dark, phone, without scripts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from data.ledger.ledger import Ledger
from data.runs import Run, RunState
from labeling_config.client_sessions import SESSION_COOKIE
from ml_backend.app import create_app
from tests.service.dataset_workspace import AUTHOR, commit, open_repository, some_labels
from tests.service.test_case_page_in_browser import Visit, browser, desk
from tests.support import eventually
from tests.unit.data.dataset_cases import SPEC
from tests.unit.ml_backend.conftest import SIGNED_IN, backend
from tests.unit.ml_backend.desk_cases import CaseDesk
from tests.unit.workers.loop_ledger import NOON, LoopLedger, fill
from workers.loop_figures import TrainingProgress
from workers.overview import LoopOverview, overview
from workers.queue_state import Queues, QueueState, WorkerState
from workers.settings import Settings

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = [pytest.mark.service, pytest.mark.browser]

__all__ = ["backend", "browser", "desk"]
DIFF = "/versions/v0001..v0002"
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two dataset versions."""
    folder = tmp_path_factory.mktemp("status")
    labels = some_labels(folder, 5)
    repository = open_repository(folder)
    commit(repository, labels[:4])
    commit(repository, [replace(labels[0], values={"age_months": 137.0}), *labels[1:]])
    return folder


@pytest.fixture(scope="module")
def view(home: Path) -> LoopOverview:
    """A loop about which everything is known: it trains, and its last training failed."""
    settings = replace(Settings.load({"CARPAL_HOME": str(home)}), redis_port=1)
    with Ledger.open(settings.ledger) as ledger:
        fill(LoopLedger(ledger, settings.ledger))
        reason = "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB. " * 3
        ledger.add_run(Run("r0004", "labels", NOON, RunState.FAILED, error=reason))
        seen = overview(settings, ledger, NOON)
    progress = TrainingProgress("r0005", "running: train, epoch 3 of 9", 3, 9, 65.0, 2.0)
    queues = Queues(
        (QueueState("light", 0), QueueState("heavy", 1, 30.0, "rescore v0002-bbbbbbbb")),
        (WorkerState("0123456789abcdef", ("heavy",), "train r0005", 65.0, 2.0),),
    )
    return replace(seen, queues=queues, figures=replace(seen.figures, progress=progress))


@pytest.fixture
def address(desk: CaseDesk, home: Path, view: LoopOverview) -> Iterator[str]:
    """Where the backend answers, on this machine."""
    backend = desk.backend
    settings = replace(backend.settings, home=home, git_author=AUTHOR)
    services = replace(backend.services, settings=settings, spec=SPEC, overview=lambda: view)
    server = make_server("127.0.0.1", 0, create_app(services=services), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def signed_in(browser: playwright.Browser, address: str, **options: object) -> playwright.Page:
    """Returns a page of a browser that is signed in to Label Studio."""
    context = browser.new_context(**options)
    context.add_cookies([{"name": SESSION_COOKIE, "value": SIGNED_IN, "url": address}])
    return context.new_page()


def visited(browser: playwright.Browser, address: str, path: str, **options: object) -> Visit:
    """Opens a page; the status page again until its plots are drawn."""
    visit = Visit(signed_in(browser, address, **options))
    visit.watch()

    def complete() -> bool:
        visit.page.goto(address + path)
        return path != "/" or visit.page.locator("figure svg").count() == 3

    assert eventually(complete)
    return visit


@pytest.mark.parametrize("path", ["/", "/versions/v0002", DIFF])
@pytest.mark.parametrize(
    ("window", "scheme"),
    [pytest.param(WIDE, "light", id="wide"), pytest.param(PHONE, "dark", id="phone-dark")],
)
def test_a_page_fits_its_window_complains_of_nothing_and_asks_nobody_else(
    browser: playwright.Browser, address: str, path: str, window: dict[str, int], scheme: str
) -> None:
    visit = visited(browser, address, path, viewport=window, color_scheme=scheme)

    assert visit.width_beyond_screen() <= 0
    assert visit.complaints == []
    assert visit.hosts == {address.removeprefix("http://")}


def test_what_needs_attention_is_seen_first(browser: playwright.Browser, address: str) -> None:
    page = visited(browser, address, "/", viewport=PHONE).page

    first = page.locator("main h2").first
    box = first.bounding_box()
    assert first.inner_text() == "Needs attention"
    assert box is not None
    assert box["y"] < 300


def test_the_plots_take_the_ink_of_the_page(browser: playwright.Browser, address: str) -> None:
    inks = []
    for scheme in ("light", "dark"):
        page = visited(browser, address, "/", viewport=WIDE, color_scheme=scheme).page
        text = page.locator("figure svg text").first
        inks.append(text.evaluate("one => getComputedStyle(one).fill"))
        assert inks[-1] == page.evaluate("getComputedStyle(document.body).color")

    assert inks[0] != inks[1]


def test_the_plots_have_names_for_screen_readers(browser: playwright.Browser, address: str) -> None:
    page = visited(browser, address, "/", viewport=WIDE).page

    for name in (
        "Labels per day and reader",
        "Error on the frozen test split over labels (months)",
    ):
        assert page.get_by_role("img", name=name).count() == 1


def test_from_the_status_page_to_what_a_version_changed_without_scripts(
    browser: playwright.Browser, address: str
) -> None:
    page = visited(browser, address, "/", viewport=WIDE, java_script_enabled=False).page

    page.get_by_role("link", name="changes", exact=True).last.click()

    assert page.url.endswith(DIFF)
    assert page.locator("h1").inner_text() == "v0001 → v0002"
    picture = page.locator(".picture")
    box = picture.bounding_box()
    assert box is not None
    assert box["width"] > 1000
    assert page.request.get(f"{address}{picture.get_attribute('src')}").ok

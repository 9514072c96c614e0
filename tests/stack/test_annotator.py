"""The annotator's job in Chromium, from sign-in to the next radiograph."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from carpal.reader_accounts import add_reader, disable_reader
from tests.stack.conftest import FIRST_LABELS, LATER_LABELS, Workbench
from tests.stack.test_loop import labels_csv, succeeded
from tests.support import missing
from workers.promotion import CHAMPION
from workers.rescoring import open_tasks, strips_key

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = [pytest.mark.stack, pytest.mark.browser, pytest.mark.xdist_group("stack")]

CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


WIDTH, HEIGHT = 1440, 900


@pytest.fixture(scope="module")
def page() -> Iterator[playwright.Page]:
    with playwright.sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(
                executable_path="/usr/bin/chromium", args=CHROMIUM_FLAGS
            )
        except playwright.Error as error:
            missing(f"Chromium cannot be started: {error.message.splitlines()[0]}")
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


def sign_in(
    page: playwright.Page, workbench: Workbench, email: str = "", password: str = ""
) -> None:
    settings = workbench.settings
    page.goto(f"{settings.label_studio}/user/login/")
    if "/user/login" not in page.url:  # An earlier test has signed in.
        return
    page.fill("input[name=email]", email or settings.label_studio_email)
    page.fill("input[name=password]", password or settings.label_studio_password)
    page.click("button[type=submit]")
    page.wait_for_url(re.compile("/projects|/$"))


def next_film(page: playwright.Page, workbench: Workbench) -> None:
    """Opens the film that is served next, once reference cases stand beside all of them."""
    ledger = workbench.ledger

    def written() -> bool:
        done = ledger.get_state(strips_key(ledger.get_state(CHAMPION) or ""))
        return int(done or 0) >= max(open_tasks(ledger, workbench.project))

    workbench.wait(written, "reference cases stand beside the films")
    page.goto(f"{workbench.settings.label_studio}/projects/{workbench.project}/data?labeling=1")
    shown_age(page)


def shown_age(page: playwright.Page) -> str:
    """Returns the pre-filled age, once the page has filled it in."""
    field = page.locator("input[name=age_months]").first
    field.wait_for()
    playwright.expect(field).not_to_have_value("")
    return field.input_value()


def test_a_corrected_age_reaches_the_dataset_and_the_next_model(
    page: playwright.Page, workbench: Workbench
) -> None:
    ensure_champion(workbench)
    known = {r.annotation for r in workbench.ledger.readings()}
    runs = len(workbench.ledger.runs())

    sign_in(page, workbench)
    page.goto(f"{workbench.settings.label_studio}/projects/{workbench.project}/data?labeling=1")
    new_age = "123" if shown_age(page) != "123" else "132"
    page.locator("input[name=age_months]").first.fill(new_age)
    page.keyboard.press("Tab")
    page.click("[data-testid=bottombar-submit-button]")
    workbench.wait(
        lambda: any(r.annotation not in known for r in workbench.ledger.readings()),
        "the submitted label is in the ledger",
    )
    reading = next(r for r in workbench.ledger.readings() if r.annotation not in known)
    assert reading.values["age_months"] == float(new_age)
    assert reading.origin == "prediction-changed"

    workbench.reader.label_stream(LATER_LABELS - 1, lambda: None)
    run = succeeded(workbench, f"r{runs + 1:04d}")
    row = next(r for r in labels_csv(workbench, run.version) if r["id"] == reading.radiograph_id)
    assert float(row["age_months"]) == float(new_age)

    page.goto(f"{workbench.settings.label_studio}/projects/{workbench.project}/data?labeling=1")
    shown_age(page)
    expected = workbench.ledger.get_state(CHAMPION) or ""
    page.get_by_text(expected, exact=False).first.wait_for()


def ensure_champion(workbench: Workbench) -> None:
    """Given a workbench with a model, also when this file runs alone."""
    if workbench.ledger.get_state(CHAMPION):
        return
    tasks = list(open_tasks(workbench.ledger, workbench.project).items())[:FIRST_LABELS]
    workbench.reader.label_tasks(tasks, lambda: None)
    succeeded(workbench, "r0001")


def test_film_reference_cases_and_number_fit_on_one_screen(
    page: playwright.Page, workbench: Workbench
) -> None:
    ensure_champion(workbench)
    sign_in(page, workbench)

    next_film(page, workbench)

    for part in ("input[name=age_months]", ".lsf-image", ".carpal-reasons"):
        box = page.locator(part).first.bounding_box()
        assert box is not None, part
        assert box["x"] >= 0 and box["x"] + box["width"] <= WIDTH, part
        assert box["y"] >= 0 and box["y"] + box["height"] <= HEIGHT - 50, part  # Submit's bar
    pictures = page.locator(".standard img")
    assert 1 <= pictures.count() <= 3
    for number in range(pictures.count()):
        pictures.nth(number).scroll_into_view_if_needed()
        assert pictures.nth(number).evaluate("image => image.naturalWidth") > 100
    assert "reference" in page.locator(".carpal-strip").inner_text()
    assert "90\u00a0% interval" in page.locator(".carpal-panel").inner_text()


def test_a_standard_that_is_pressed_stands_as_large_as_the_film(page: playwright.Page) -> None:
    picture = page.locator(".standard img").first
    small = picture.bounding_box()

    picture.click()
    large = picture.bounding_box()
    picture.click()

    assert small is not None
    assert large is not None
    assert large["height"] > HEIGHT - 200
    assert picture.bounding_box() == small


def test_sex_and_months_change_by_the_keys_that_the_page_names(page: playwright.Page) -> None:
    age = page.locator("input[name=age_months]").first
    page.evaluate("document.activeElement.blur()")
    before = age.input_value()

    was_male = page.locator("input[name=male]").is_checked()

    for name in ("female", "male") if was_male else ("male", "female"):
        page.keyboard.press(name[0])
        playwright.expect(page.locator(f"input[name={name}]")).to_be_checked()
    page.keyboard.press("=")

    playwright.expect(age).to_have_value(str(int(before) + 1))


def test_a_film_that_cannot_be_read_is_submitted_without_an_age(
    page: playwright.Page, workbench: Workbench
) -> None:
    ensure_champion(workbench)
    sign_in(page, workbench)
    next_film(page, workbench)
    known = {r.annotation for r in workbench.ledger.readings()}
    page.evaluate("document.activeElement.blur()")

    page.keyboard.press("3")
    playwright.expect(page.locator("input[name=age_months]")).to_be_hidden()
    page.keyboard.press("Control+Enter")

    workbench.wait(
        lambda: any(r.annotation not in known for r in workbench.ledger.readings()),
        "the reason is in the ledger",
    )
    (reading,) = (r for r in workbench.ledger.readings() if r.annotation not in known)
    assert (reading.unreadable, reading.values) == ("exposure", {})
    assert reading.radiograph_id not in open_tasks(workbench.ledger, workbench.project).values()


def test_a_reader_made_on_the_command_line_signs_in_and_labels(
    page: playwright.Page, workbench: Workbench
) -> None:
    ensure_champion(workbench)
    email = "dr.berg@example.org"
    add_reader(workbench.settings, email, "a quiet word", "Anna Berg")
    context = page.context.browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    own = context.new_page()
    own.set_default_timeout(60_000)

    sign_in(own, workbench, email, "a quiet word")
    next_film(own, workbench)
    age = own.locator("input[name=age_months]").first
    film = own.locator(".lsf-image img")
    assert film.evaluate("image => image.naturalWidth") > 100
    age.fill("77")
    own.keyboard.press("Tab")
    own.keyboard.press("Control+Enter")

    def readings() -> list[float | str]:
        made = (r for r in workbench.ledger.readings() if r.reader == email)
        return [reading.values["age_months"] for reading in made]

    workbench.wait(lambda: readings() == [77.0], "the reader's label is in the ledger")
    assert disable_reader(workbench.settings, email)
    own.goto(f"{workbench.settings.label_studio}/projects")
    own.wait_for_url(re.compile("/user/login"))
    context.close()

"""The annotator's job in Chromium, from sign-in to the next radiograph."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.stack.conftest import FIRST_LABELS, LATER_LABELS, Workbench
from tests.stack.test_loop import labels_csv, succeeded
from tests.support import missing
from workers.promotion import CHAMPION
from workers.rescoring import open_tasks

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = [pytest.mark.stack, pytest.mark.browser, pytest.mark.xdist_group("stack")]

CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def page() -> Iterator[playwright.Page]:
    with playwright.sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(
                executable_path="/usr/bin/chromium", args=CHROMIUM_FLAGS
            )
        except playwright.Error as error:
            missing(f"Chromium cannot be started: {error.message.splitlines()[0]}")
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


def sign_in(page: playwright.Page, workbench: Workbench) -> None:
    settings = workbench.settings
    page.goto(f"{settings.label_studio}/user/login/")
    page.fill("input[name=email]", settings.label_studio_email)
    page.fill("input[name=password]", settings.label_studio_password)
    page.click("button[type=submit]")
    page.wait_for_url(re.compile("/projects|/$"))


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

"""The page that the expert sees, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from data.domain import TaskSpec
from data.images.decoding import encode_png
from data.phantoms.drawing import draw_hand
from labeling_config.client import ProjectHandle
from labeling_config.codec import annotation_to_reading
from tests.service.label_studio.studio_cases import Studio, serve, with_tasks, write
from tests.support import eventually

pytestmark = pytest.mark.service


@pytest.fixture
def page(studio: Studio, chromium: str) -> Iterator[Page]:
    """A page of an expert who has signed in, on a laptop's screen."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(60_000)
        page.goto(f"{studio.settings.label_studio}/user/login/")
        page.fill("input[name=email]", studio.settings.label_studio_email)
        page.fill("input[name=password]", studio.settings.label_studio_password)
        page.click("button[type=submit]")
        page.wait_for_url(re.compile(r"/$|/projects"))
        yield page
        browser.close()


def with_films(studio: Studio, handle: ProjectHandle, count: int) -> list[tuple[int, str]]:
    tasks = with_tasks(studio, handle, count)
    folder = studio.settings.pool / "images" / "ab"
    folder.mkdir(parents=True, exist_ok=True)
    for number, (_, name) in enumerate(tasks):
        film = draw_hand(60.0 + 30 * number, "female", seed=number, size=512)
        (folder / f"{name}.png").write_bytes(encode_png(film))
    return tasks


@pytest.mark.browser
def test_the_expert_reads_corrects_and_submits_without_scrolling(
    studio: Studio, handle: ProjectHandle, spec: TaskSpec, page: Page
) -> None:
    (first, one), (second, two) = with_films(studio, handle, 2)
    serve(studio, handle, "v0001-aaaaaaaa", {one: 0.8, two: 0.3})
    write(studio, handle, [(first, one), (second, two)])

    page.goto(f"{studio.settings.label_studio}/projects/{handle.id}/data?labeling=1")
    age = page.locator("input[name=age_months]")
    expect(age).to_have_value("100")
    expect(page.locator("input[name=female]")).to_be_checked()
    for text in (
        "Model: 100 months (8 y 4 m)",
        "90 % interval: 88–112 months",
        "7 y 4 m – 9 y 4 m",
        "Reference cases come with the first model.",
        "Model version v0001-aaaaaaaa",
    ):
        expect(page.get_by_text(text)).to_be_visible()
    expect(page.locator("input[name=age_months_model]")).to_have_count(0)
    expect(page.locator("[data-testid=htx-textbox-delete-button]").first).to_be_hidden()

    film = page.locator("canvas").first.bounding_box()
    field = age.bounding_box()
    submit = page.locator("[data-testid=bottombar-submit-button]").bounding_box()
    assert film is not None
    assert field is not None
    assert submit is not None
    assert film["height"] >= 600
    assert film["x"] + film["width"] < field["x"], "the field stands beside the film"
    for box in (film, field, submit):
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 900

    page.keyboard.press("m")
    expect(page.locator("input[name=male]")).to_be_checked()
    age.fill("123")
    page.keyboard.press("Tab")
    page.click("[data-testid=bottombar-submit-button]")

    assert eventually(lambda: bool(list(studio.client.annotated_tasks(handle.id))))
    (state,) = studio.client.annotated_tasks(handle.id)
    reading = annotation_to_reading(
        spec, state.annotations[0], project=handle.id, radiograph_id=two, reader="x"
    )
    assert state.task_id == second, "the less certain film comes first"
    assert dict(reading.values) == {"age_months": 123.0, "sex": "male"}
    assert reading.origin == "prediction-changed"


@pytest.mark.browser
@pytest.mark.parametrize(
    "shape", [(3000, 300), (300, 3000), (64, 64)], ids=["very tall", "very wide", "tiny"]
)
def test_the_number_stands_beside_a_film_of_any_shape(
    studio: Studio, handle: ProjectHandle, page: Page, shape: tuple[int, int]
) -> None:
    ((_, name),) = with_films(studio, handle, 1)
    noise = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    (studio.settings.pool / "images" / "ab" / f"{name}.png").write_bytes(encode_png(noise))

    page.goto(f"{studio.settings.label_studio}/projects/{handle.id}/data?labeling=1")
    expect(page.locator(".lsf-image canvas").first).to_be_visible()

    film, field = (
        page.locator(found).first.bounding_box()
        for found in (".lsf-image", "input[name=age_months]")
    )
    assert film is not None
    assert field is not None
    assert film["x"] + film["width"] < field["x"]
    assert field["y"] + field["height"] < 300


@pytest.mark.browser
def test_a_reason_puts_a_film_aside_without_an_age_and_can_be_taken_back(
    studio: Studio, handle: ProjectHandle, spec: TaskSpec, page: Page
) -> None:
    ((task, name),) = with_films(studio, handle, 1)
    serve(studio, handle, "v0001-aaaaaaaa", {name: 0.3})
    write(studio, handle, [(task, name)])
    page.goto(f"{studio.settings.label_studio}/projects/{handle.id}/data?labeling=1")
    age = page.locator("input[name=age_months]")
    expect(age).to_have_value("100")

    page.keyboard.press("2")
    expect(age).to_be_hidden()
    expect(page.get_by_text("No age is asked for")).to_be_visible()
    page.keyboard.press("2")
    expect(age).to_be_visible()
    page.keyboard.press("4")
    page.keyboard.press("Control+Enter")

    assert eventually(lambda: bool(list(studio.client.annotated_tasks(handle.id))))
    (state,) = studio.client.annotated_tasks(handle.id)
    reading = annotation_to_reading(
        spec, state.annotations[0], project=handle.id, radiograph_id=name, reader="x"
    )
    assert (reading.unreadable, reading.values, reading.withdrawn) == ("part missing", {}, False)
    assert studio.client.next_task(handle.id) is None


@pytest.mark.browser
def test_after_a_submit_one_tab_leads_to_the_next_number(
    studio: Studio, handle: ProjectHandle, page: Page
) -> None:
    films = with_films(studio, handle, 2)
    serve(studio, handle, "v0001-aaaaaaaa", {name: 0.3 for _, name in films})
    write(studio, handle, films)
    page.goto(f"{studio.settings.label_studio}/projects/{handle.id}/data?labeling=1")
    age = page.locator("input[name=age_months]")
    expect(age).to_have_value("100")

    age.fill("88")
    page.keyboard.press("Tab")
    page.keyboard.press("Control+Enter")
    expect(age).to_have_value("100")  # that of the next film
    page.keyboard.press("Tab")
    page.keyboard.type("77")

    expect(age).to_have_value("77")


@pytest.mark.browser
def test_without_a_model_the_fields_are_empty_and_nothing_else_can_be_typed(
    studio: Studio, handle: ProjectHandle, page: Page
) -> None:
    studio.client.request("DELETE", f"/api/ml/{handle.backend_id}")
    with_films(studio, handle, 1)

    page.goto(f"{studio.settings.label_studio}/projects/{handle.id}/data?labeling=1")

    expect(page.locator("input[name=age_months]")).to_have_value("")
    expect(page.locator("input[name=male]")).not_to_be_checked()
    expect(page.locator("input[name=age_months_model]")).to_be_hidden()
    expect(page.locator("[data-testid=bottombar-submit-button]")).to_be_disabled()

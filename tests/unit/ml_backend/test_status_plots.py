"""Plots for both colour schemes and for screen readers, drawn once and off the request path."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import date, timedelta
from xml.etree import ElementTree

import pytest

from data.domain import Target
from data.ledger.figures import ReaderDay
from ml_backend.plot_shelf import Drawing, PlotShelf
from ml_backend.status_plots import Plot, coverage_plot, error_plot, labels_plot, svg_of
from tests.support import eventually
from tests.unit.workers.test_loop_figures import run, version
from workers.loop_figures import BudgetPoint, model_figures

TODAY = date(2026, 3, 20)
AGE = Target("age_months", "number", "months", 0.0, 240.0, tolerance=6.0)
POINTS = (BudgetPoint(50, 14.0, (11.0, 17.0), "v1"), BudgetPoint(90, 9.5, (8.0, 11.0), "v2"))


def days(*labels: int, reader: str = "anna@example.org") -> list[ReaderDay]:
    return [ReaderDay(TODAY - timedelta(days=n), reader, count) for n, count in enumerate(labels)]


def plots() -> list[Plot]:
    models = model_figures([run(1), run(2)], [version(1, 50), version(2, 90)], [], "v0002-aaaaaaaa")
    return [
        labels_plot(days(3, 1) + days(2, reader="ben"), ["anna@example.org", "ben"], TODAY),
        error_plot(POINTS, AGE, "v2"),
        coverage_plot(models),
    ]


@pytest.mark.long
@pytest.mark.parametrize("plot", plots(), ids=lambda plot: plot.name)
def test_a_plot_takes_every_colour_from_the_page_and_is_told_in_words(plot: Plot) -> None:
    text = svg_of(plot)

    ElementTree.fromstring(text.replace("<svg", '<svg xmlns:xlink="x"', 1))
    assert re.findall(r"#[0-9a-fA-F]{6}\b", text) == []
    assert "var(--series-" in text
    assert f'aria-labelledby="{plot.name}-title {plot.name}-desc"' in text
    assert f'<title id="{plot.name}-title">{plot.title}</title>' in text
    assert "<metadata" not in text
    assert "http" not in text


@pytest.mark.long
def test_ids_of_two_plots_of_one_page_differ() -> None:
    ids = [set(re.findall(r'\bid="([^"]+)"', svg_of(plot))) for plot in plots()[:2]]

    assert ids[0]
    assert ids[0].isdisjoint(ids[1])


def test_labels_are_counted_within_the_days_shown_and_the_rest_is_left_out() -> None:
    long_ago = ReaderDay(TODAY - timedelta(days=60), "anna@example.org", 500)

    plot = labels_plot([long_ago, *days(3, 4)], ["anna@example.org"], TODAY)

    assert plot.description == "Labels per day of the last 28 days. anna@example.org: 7."


def test_readers_beyond_the_colours_are_drawn_together() -> None:
    names = [f"reader-{n}" for n in range(6)]
    told = [one for name in names for one in days(2, reader=name)]

    plot = labels_plot(told, names, TODAY)

    assert plot.description.endswith("reader-0: 2, reader-1: 2, reader-2: 2, others: 6.")


def test_the_error_plot_is_told_with_its_figures() -> None:
    plot = error_plot(POINTS, AGE, "v2")

    assert plot.description == (
        "Mean absolute error (months) over labels: 50 labels 14.00; 90 labels 9.50."
    )


def fake_plot(name: str = "one") -> Plot:
    return Plot(name, "Title", "Words", lambda axes: None)


def finished(shelf: PlotShelf, key: str, plot: Plot) -> Callable[[], bool]:
    return lambda: bool(shelf.get({key: plot}, wait_s=0))


def test_a_plot_is_drawn_once_for_what_it_shows() -> None:
    drawn: list[str] = []
    shelf = PlotShelf(lambda plot: drawn.append(plot.name) or "<svg/>")

    for key in ("a", "a", "b"):
        assert shelf.get({key: fake_plot()}, wait_s=10) == {"one": Drawing("<svg/>", True)}

    assert drawn == ["one", "one"]


def test_a_request_does_not_wait_for_a_plot_that_takes_long() -> None:
    go_on = threading.Event()
    shelf = PlotShelf(lambda plot: str(go_on.wait(10)))
    try:
        assert shelf.get({"a": fake_plot()}, wait_s=0) == {}
    finally:
        go_on.set()

    assert eventually(finished(shelf, "a", fake_plot()))


def test_the_plot_before_stands_in_for_one_that_is_being_drawn() -> None:
    go_on = threading.Event()
    drawn: list[Plot] = []

    def draw(plot: Plot) -> str:
        drawn.append(plot)
        if len(drawn) > 1:
            go_on.wait(10)
        return f"<svg>{len(drawn)}</svg>"

    shelf = PlotShelf(draw)
    shelf.get({"a": fake_plot()}, wait_s=10)
    try:
        assert shelf.get({"b": fake_plot()}, wait_s=0) == {"one": Drawing("<svg>1</svg>", False)}
    finally:
        go_on.set()

    assert shelf.get({"b": fake_plot()}, wait_s=10) == {"one": Drawing("<svg>2</svg>", True)}


def test_a_plot_that_cannot_be_drawn_is_logged_left_out_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tries: list[int] = []

    def draw(plot: Plot) -> str:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("No font.")
        return "<svg/>"

    shelf = PlotShelf(draw)

    assert shelf.get({"a": fake_plot()}, wait_s=10) == {}
    assert "No font." in caplog.text
    assert shelf.get({"a": fake_plot()}, wait_s=10) == {"one": Drawing("<svg/>", True)}

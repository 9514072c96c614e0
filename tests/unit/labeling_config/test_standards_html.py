"""The strip says of each case where it lies, its age both ways, and who agreed."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from data.domain import Target
from labeling_config.standards_html import ReferenceCase, standards_html

AGE = Target("age_months", "number", "months", minimum=0.0, maximum=240.0, tolerance=6.0)
PAGE = "http://localhost:9090/task/41"
NBSP = "\u00a0"


class Words(HTMLParser):
    """Gathers what is read and which pictures are shown."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.pictures: list[str | None] = []
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.words.append(data.replace(NBSP, " "))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.pictures.append(dict(attrs)["src"])


def case(place: str = "same", value: float = 106.0, **facts: int | bool) -> ReferenceCase:
    told = {"readers": 3, "agreeing": 3, "reference": False, **facts}
    return ReferenceCase(
        place,
        f"/data/local-files/?d=images/{place}.jpg",
        value,
        int(told["readers"]),
        int(told["agreeing"]),
        bool(told["reference"]),
    )


def test_a_strip_shows_the_younger_the_alike_and_the_older_case() -> None:
    shown = Words(
        standards_html(
            AGE, "female", [case("younger", 96.0), case("same", 106.0), case("older", 120.0)], PAGE
        )
    )

    assert shown.words == [
        "Heat map and more",
        "Reference cases, female",
        *("96 months (8 y 0 m)", "Just younger: 3 of 3 readers"),
        *("106 months (8 y 10 m)", "Same age: 3 of 3 readers"),
        *("120 months (10 y 0 m)", "Just older: 3 of 3 readers"),
    ]
    assert shown.pictures == [
        f"/data/local-files/?d=images/{place}.jpg" for place in ("younger", "same", "older")
    ]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"readers": 3, "agreeing": 2}, "2 of 3 readers"),
        ({"readers": 1, "agreeing": 1}, "1 of 1 reader"),
        ({"readers": 0, "agreeing": 0, "reference": True}, "reference"),
        ({"readers": 2, "agreeing": 2, "reference": True}, "reference, 2 of 2 readers"),
    ],
    ids=["one apart", "adjudicator alone", "reference", "reference that was read"],
)
def test_a_case_says_who_agreed(facts: dict[str, int | bool], said: str) -> None:
    assert Words(standards_html(AGE, "", [case(**facts)], PAGE)).words[-1] == f"Same age: {said}"


def test_a_strip_without_cases_says_so() -> None:
    assert Words(standards_html(AGE, "male", [], PAGE)).words == [
        "Heat map and more",
        "Reference cases, male",
        "None is settled yet near this value.",
    ]


def test_a_number_that_is_no_age_has_no_years() -> None:
    depth = Target("depth", "number", "cm", minimum=0.0, maximum=9.0, tolerance=0.5)

    words = Words(standards_html(depth, "", [case("older", 2.5)], PAGE)).words

    assert words[1:] == ["Reference cases", "2.5 cm", "Just above: 3 of 3 readers"]


def test_what_could_be_read_as_a_tag_is_text() -> None:
    shown = standards_html(AGE, "<b>&", [], 'http://h/"><b>')

    assert "".join(Words(shown).words).startswith("Heat map and moreReference cases, <b>&")
    assert 'href="http://h/&quot;&gt;&lt;b&gt;"' in shown

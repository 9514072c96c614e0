"""The reference cases beside a film, as the HTML that its Label Studio task carries.

How it looks is decided by the styles in `config.xml`: a new look needs no change of any task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from data.domain import Target
from labeling_config.model_notes import amount

BEFORE_THE_FIRST_MODEL = "<p>Reference cases come with the first model.</p>"
"""What a task carries until a model has said where its film belongs."""
NAMES = {"younger": "Just younger", "same": "Same age", "older": "Just older"}
OTHER_NAMES = {"younger": "Just below", "same": "Alike", "older": "Just above"}
"""The same where the number is no age."""


@dataclass(frozen=True, slots=True)
class ReferenceCase:
    """A film whose value is settled.

    Attributes:
        place: `younger`, `same` or `older` than the film beside which it stands.
        picture: Address of its picture on Label Studio.
        value: In the unit of the target.
        readers: Experts who have read it.
        agreeing: Of these, how many lie within tolerance of the value.
        reference: The value is its source's reference standard.
    """

    place: str
    picture: str
    value: float
    readers: int
    agreeing: int
    reference: bool


def standards_html(
    target: Target, choice: str, cases: Sequence[ReferenceCase], case_page: str
) -> str:
    """Returns what stands beside a film.

    Args:
        target: The number that the cases are ordered by.
        choice: What all cases have in common, such as the sex; empty: nothing.
        cases: The youngest first; may be empty.
        case_page: Address of the page that shows the film with its heat map.
    """
    heading = escape(f"Reference cases, {choice}" if choice else "Reference cases")
    # It is left open: a reader comes back to an unsubmitted form.
    link = f'<a href="{escape(case_page)}" target="_blank" rel="noopener">Heat map and more</a>'
    heading = f"<h4>{link}{heading}</h4>"
    if not cases:
        return f"{heading}<p>None is settled yet near this value.</p>"
    shown = "".join(_case_html(target, case) for case in cases)
    # One line: a blank one would end the block for Markdown.
    return f'{heading}<div class="standards">{shown}</div>'


def _case_html(target: Target, case: ReferenceCase) -> str:
    names = NAMES if target.unit == "months" else OTHER_NAMES
    return (
        f'<details class="standard standard-{case.place}" name="standard"><summary>'
        f'<img src="{escape(case.picture)}" alt="{names[case.place]}">'
        f"<b>{escape(amount(target, case.value))}</b>"
        f"<span>{names[case.place]}: {_said_by(case)}</span></summary></details>"
    )


def _said_by(case: ReferenceCase) -> str:
    readers = f"{case.agreeing} of {case.readers} reader{'s' if case.readers != 1 else ''}"
    if case.reference:
        return f"reference, {readers}" if case.readers else "reference"
    return readers

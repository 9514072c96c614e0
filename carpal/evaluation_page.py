"""What `carpal evaluate` prints for a person."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trainer.evaluation import report_page
from workers.evaluating import Judgement


def show(found: Judgement, console: Console | None = None) -> None:
    """Prints the figures, the comparison and the stresses, and where the report is."""
    console = console or Console()
    subject, evaluation = found.subject, found.evaluation
    told = f", told {subject.known_input}" if subject.known_input else ""
    console.print(
        f"{subject.model_version} on the {subject.split} split of {subject.dataset_version}: "
        f"{len(subject.truths)} labelled cases{told}",
        style="bold",
        markup=False,
        highlight=False,
    )
    if evaluation.missing:
        console.print(f"{evaluation.missing} of them could not be predicted.", highlight=False)
    for name, score in evaluation.numbers.items():
        unit = subject.spec.target(name).unit
        console.print(_table(name, ("", ""), report_page.number_rows(score, unit)))
        if score.bands:
            console.print(_table("", report_page.BAND_HEAD, report_page.band_rows(score)))
    for name, choice in evaluation.choices.items():
        console.print(_table(name, ("", ""), report_page.choice_rows(choice)))
    if subject.comparison is not None:
        title = f"against {subject.against} (below 0: {subject.model_version} is better)"
        rows = report_page.difference_rows(subject.comparison)
        console.print(_table(title, report_page.DIFFERENCE_HEAD, rows))
    if subject.stress is not None:
        rows = report_page.stress_rows(subject.stress)
        console.print(_table("altered films", report_page.stress_head(subject.stress), rows))
    console.print(f"Report: {found.report}", markup=False, highlight=False, soft_wrap=True)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(
        box=SIMPLE_HEAD,
        title=escape(title) or None,
        title_justify="left",
        show_header=any(head),
    )
    for i, name in enumerate(head):
        table.add_column(escape(name), justify="left" if i == 0 or not any(head) else "right")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table

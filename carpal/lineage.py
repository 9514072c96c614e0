"""`carpal explain`: a prediction's lineage for a person."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from data.domain import Prediction, Value
from workers.explaining import Lineage


def show(lineage: Lineage, console: Console) -> None:
    """Prints what stands behind a prediction, one line for each link of the chain."""
    facts = Table.grid(padding=(0, 2))
    for name, text in _facts(lineage):
        facts.add_row(name, text)
    console.print(facts, markup=False, highlight=False)


def _facts(lineage: Lineage) -> list[tuple[str, str]]:
    film, run, version = lineage.radiograph, lineage.run, lineage.version
    facts = [
        ("Prediction", f"{lineage.prediction_id}: {_said(lineage.prediction)}"),
        (
            "Radiograph",
            f"{film.id} ({film.split}, from {film.source}, {film.imported_at:%Y-%m-%d})",
        ),
        ("Model", lineage.prediction.model_version),
    ]
    facts += [("", f"{at:%Y-%m-%d %H:%M} {what}: {why}") for at, what, why in lineage.decisions]
    facts.append(("Training", f"{run.id}, by {run.trigger}" if run else "the ledger knows of none"))
    if version is None:
        facts.append(("Dataset", "the ledger knows of no version that it learnt from"))
    else:
        parts = ", ".join(f"{count} {split}" for split, count in lineage.learnt_from.items())
        readers = ", ".join(f"{reader} {count}" for reader, count in lineage.readers.items())
        facts.append(("Dataset", f"{version.name}, commit {version.commit[:12]} ({parts})"))
        facts.append(("Readers", readers))
    of_row = ", ".join(f"{name} {cell}" for name, cell in lineage.row.items() if cell)
    facts.append(("Its own row", of_row or "it was not labelled in that version"))
    for reader, at, values in lineage.readings:
        facts.append(("Read by", f"{reader}, {at:%Y-%m-%d %H:%M}: {_values(values)}"))
    return facts


def _said(prediction: Prediction) -> str:
    text = _values(prediction.values)
    for name, (low, high) in prediction.intervals.items():
        text += f"; {name} {low:.1f} to {high:.1f} with {prediction.coverage:.0%}"
    return text


def _values(values: Mapping[str, Value]) -> str:
    return ", ".join(
        f"{name} {value if isinstance(value, str) else format(value, '.4g')}"
        for name, value in values.items()
    )

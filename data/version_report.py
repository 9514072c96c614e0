"""`DATASET.md`: what a dataset version holds, for people who open the repository."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise

from data.domain import Split, Target, TaskSpec
from data.version_text import Row, VersionFacts, patients_by_split

NOT_STATED = "not stated"


def dataset_report(spec: TaskSpec, rows: Sequence[Row], facts: VersionFacts) -> str:
    """Writes `DATASET.md`.

    Args:
        spec: The task; its choices and the bands of its gate decide the tables.
        rows: Rows of `labels.csv`.
        facts: The rest.
    """
    sections = [
        f"# {spec.title}: dataset {facts.name}\n",
        f"{facts.name}: {facts.changes}. Committed {facts.committed_at:%Y-%m-%d %H:%M} UTC, "
        f"because: {' '.join(facts.trigger.split())}. Ledger event {facts.ledger_head[0]}, "
        f"hash `{facts.ledger_head[1]}`.\n",
        "## Size\n",
        f"{len(rows)} labelled radiographs, {_size(facts.image_bytes)} of images.\n",
        "## Splits\n",
        _split_table(rows, [t for t in spec.targets if t.kind == "choice"]),
        *_band_section(spec, rows),
        "## Readers\n",
        _reader_table(rows),
        "## Proof of the splits\n",
        _split_proof(rows, facts.splits_csv),
    ]
    return "\n".join(sections)


def band_of(value: float, edges: Sequence[float]) -> int | None:
    """Returns the number of the band that holds a value; None below the first or above the last.

    A band holds its lower edge and not its upper one; the last band holds both.
    """
    if value == edges[-1]:
        return len(edges) - 2
    return next((i for i, (low, high) in enumerate(pairwise(edges)) if low <= value < high), None)


def _split_table(rows: Sequence[Row], choices: Sequence[Target]) -> str:
    columns = [(t.name, choice) for t in choices for choice in (*t.choices, "")]
    columns = [(n, c) for n, c in columns if c or any(not row.get(n) for row in rows)]
    head = ["split", "patients", "radiographs", *(f"{n}: {c or NOT_STATED}" for n, c in columns)]
    patients = patients_by_split(rows)
    lines = []
    for split in Split:
        inside = [row for row in rows if row["split"] == split.value]
        counts = [sum(row.get(name, "") == choice for row in inside) for name, choice in columns]
        lines.append([split.value, len(patients[split]), len(inside), *counts])
    totals = [sum(int(line[i]) for line in lines) for i in range(1, len(head))]
    return _table(head, [*lines, ["all", *totals]])


def _band_section(spec: TaskSpec, rows: Sequence[Row]) -> list[str]:
    target = spec.target(spec.gate.target)
    edges = spec.gate.band_edges
    if target.kind != "number" or len(edges) < 2:
        return []
    by = spec.gate.band_by
    groups = [*spec.target(by).choices, ""] if by else [""]
    counts = Counter(
        (band_of(float(row[target.name]), edges), row.get(by, "") if by else "")
        for row in rows
        if row.get(target.name)
    )
    names = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
    bands: list[tuple[int | None, str]] = [*enumerate(names), (None, "outside")]
    lines = [[name, *(counts[band, group] for group in groups)] for band, name in bands]
    if by and not any(line[-1] for line in lines):
        groups, lines = groups[:-1], [line[:-1] for line in lines]
    if not any(lines[-1][1:]):
        lines.pop()
    head = [f"{target.name} ({target.unit})" if target.unit else target.name]
    head += [group or NOT_STATED for group in groups] if by else ["radiographs"]
    title = f"## {target.name} by {by}\n" if by else f"## {target.name}\n"
    return [title, _table(head, lines)]


def _reader_table(rows: Iterable[Mapping[str, str]]) -> str:
    counts = Counter(reader for row in rows for reader in row["readers"].split(";"))
    return _table(["reader", "radiographs"], sorted(counts.items()))


def _split_proof(rows: Sequence[Row], splits_csv: str) -> str:
    patients = patients_by_split(rows)
    lines = [
        [f"{one.value} and {other.value}", len(patients[one] & patients[other])]
        for one, other in combinations(Split, 2)
    ]
    digest = hashlib.sha256(splits_csv.encode()).hexdigest()
    return (
        "Each patient is in one split, by a salted hash of the patient's identifier at import, "
        "and stays there.\n\n"
        + _table(["splits", "patients in both"], lines)
        + f"\nSHA-256 of `splits.csv`: `{digest}`\n"
    )


def _table(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    marks = ["---", *(["---:"] * (len(head) - 1))]
    every = (head, marks, *lines)
    return "".join("| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in every)


def _cell(content: object) -> str:
    return str(content).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"

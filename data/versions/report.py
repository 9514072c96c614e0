"""`DATASET.md`: what a dataset version holds, for people who open the repository.

Made from the columns of `labels.csv`, so that it costs a fraction of a second at 100,000 rows.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations, compress, pairwise

from data.domain import Split, TaskSpec
from data.readers.agreement import LabelNoise
from data.versions.changes_report import change_sections
from data.versions.diff import VersionDiff
from data.versions.markdown import markdown_table, size_text
from data.versions.noise_report import noise_section
from data.versions.picture import NOT_STATED, picture_name
from data.versions.table import LabelTable
from data.versions.text import VersionFacts


def dataset_report(
    spec: TaskSpec,
    table: LabelTable,
    facts: VersionFacts,
    noise: LabelNoise | None = None,
    changed: VersionDiff | None = None,
    near_duplicates: int | None = None,
) -> str:
    """Writes `DATASET.md`.

    Args:
        spec: The task; its choices and the bands of its gate decide the tables.
        table: `labels.csv`.
        facts: The rest.
        noise: How far readers agree; None: it was not looked at.
        changed: Against the version before, or against nothing; None: only the counts are told.
        near_duplicates: Pairs of radiographs that look alike; None: they were not looked for.
    """
    patients = patients_of(table)
    sections = [
        f"# {spec.title}: dataset {facts.name}\n",
        f"{facts.name}: {facts.changes}. Committed {facts.committed_at:%Y-%m-%d %H:%M} UTC, "
        f"because: {' '.join(facts.trigger.split())}. Ledger event {facts.ledger_head[0]}, "
        f"hash `{facts.ledger_head[1]}`.\n",
        "## Size\n",
        _size(table, facts, near_duplicates),
        "## Splits\n",
        _split_table(spec, table, patients),
        "## Sources\n",
        _source_table(table),
        *_distribution(spec, table),
        *change_sections(changed),
        "## Readers\n",
        _reader_table(table),
        *noise_section(spec, noise),
        "## Proof of the splits\n",
        _split_proof(patients, facts.splits_csv),
    ]
    return "\n".join(sections)


def band_of(value: float, edges: Sequence[float]) -> int | None:
    """Returns the number of the band that holds a value; None below the first or above the last.

    A band holds its lower edge and not its upper one; the last band holds both.
    """
    if value == edges[-1]:
        return len(edges) - 2
    return next((i for i, (low, high) in enumerate(pairwise(edges)) if low <= value < high), None)


def patients_of(table: LabelTable) -> dict[Split, set[str]]:
    """Returns the patients of each split."""
    patients, splits = table.column("patient"), table.column("split")
    found: dict[Split, set[str]] = {}
    for split in Split:
        name = split.value
        found[split] = set(compress(patients, [cell == name for cell in splits]))
    return found


def reader_counts(table: LabelTable) -> dict[str, int]:
    """Returns reader -> radiographs that this reader has read, sorted by reader."""
    counts: Counter[str] = Counter()
    for readers, count in Counter(table.column("readers")).items():
        for reader in filter(None, readers.split(";")):
            counts[reader] += count
    return dict(sorted(counts.items()))


def _size(table: LabelTable, facts: VersionFacts, near_duplicates: int | None) -> str:
    text = f"{len(table)} labelled radiographs, {size_text(facts.image_bytes)} of images."
    dates = table.column("labelled_at")
    if dates:
        text += f" Labelled from {min(dates)[:10]} to {max(dates)[:10]}."
    if near_duplicates == 0:
        text += " No two radiographs of the pool look alike."
    elif near_duplicates is not None:
        pairs = "pair" if near_duplicates == 1 else "pairs"
        text += (
            f" The pool holds {near_duplicates} {pairs} of radiographs that look alike; the two of "
            "a pair are in one split."
        )
    return text + "\n"


def _split_table(
    spec: TaskSpec, table: LabelTable, patients: Mapping[Split, Collection[str]]
) -> str:
    columns: list[tuple[str, str]] = []
    counts: Counter[tuple[str, str, str]] = Counter()
    splits = table.column("split")
    for target in spec.targets:
        if target.kind == "choice":
            found = Counter(zip(splits, table.column(target.name), strict=True))
            counts.update({(s, target.name, choice): n for (s, choice), n in found.items()})
            missing = any(choice == "" for _, choice in found)
            columns += [(target.name, c) for c in (*target.choices, *([""] if missing else []))]
    head = ["split", "patients", "radiographs", *(f"{n}: {c or NOT_STATED}" for n, c in columns)]
    rows = Counter(splits)
    lines = [
        [s.value, len(patients[s]), rows[s.value], *(counts[s.value, n, c] for n, c in columns)]
        for s in Split
    ]
    totals = [sum(int(line[i]) for line in lines) for i in range(1, len(head))]
    return markdown_table(head, [*lines, ["all", *totals]])


def _source_table(table: LabelTable) -> str:
    counts = Counter(zip(table.column("source"), table.column("split"), strict=True))
    return markdown_table(
        ["source", "radiographs", *(split.value for split in Split)],
        [
            [source, sum(row), *row]
            for source in sorted({source for source, _ in counts})
            for row in [[counts[source, split.value] for split in Split]]
        ],
    )


def _distribution(spec: TaskSpec, table: LabelTable) -> list[str]:
    target, by = spec.target(spec.gate.target), spec.gate.band_by
    number = target.kind == "number"
    title = f"{target.name} by {by}" if number and by else target.name
    picture = f"![{title}]({picture_name(spec)})\n"
    return [f"## {title}\n", picture, *([_band_table(spec, table)] if number else [])]


def _band_table(spec: TaskSpec, table: LabelTable) -> str:
    target, by, edges = spec.target(spec.gate.target), spec.gate.band_by, spec.gate.band_edges
    if len(edges) < 2:
        return ""
    cells = table.column(target.name)
    groups = table.column(by) if by else [""] * len(cells)
    counts: Counter[tuple[int | None, str]] = Counter()
    for (cell, group), count in Counter(zip(cells, groups, strict=True)).items():
        if cell:
            counts[band_of(float(cell), edges), group] += count
    names = [*(spec.target(by).choices if by else ()), ""]
    if by and not any(group == "" for _, group in counts):
        names.pop()
    bands: list[tuple[int | None, str]] = [
        *enumerate(f"{low:g} to {high:g}" for low, high in pairwise(edges))
    ]
    if any(band is None for band, _ in counts):
        bands.append((None, "outside"))
    head = [f"{target.name} ({target.unit})" if target.unit else target.name]
    head += [name or NOT_STATED for name in names] if by else ["radiographs"]
    return markdown_table(head, [[text, *(counts[b, name] for name in names)] for b, text in bands])


def _reader_table(table: LabelTable) -> str:
    return markdown_table(["reader", "radiographs"], list(reader_counts(table).items()))


def _split_proof(patients: Mapping[Split, set[str]], splits_csv: bytes) -> str:
    lines = [
        [f"{one.value} and {other.value}", len(patients[one] & patients[other])]
        for one, other in combinations(Split, 2)
    ]
    digest = hashlib.sha256(splits_csv).hexdigest()
    return (
        "Each patient is in one split, by a salted hash of the patient's identifier at import, "
        "and stays there.\n\n"
        + markdown_table(["splits", "patients in both"], lines)
        + f"\nSHA-256 of `splits.csv`: `{digest}`\n"
    )

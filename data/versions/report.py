"""`DATASET.md`: what a dataset version holds, for people who open the repository.

Made from the tally of `labels.csv`, so that it costs the same at any number of rows.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise

from data.domain import Split, TaskSpec
from data.readers.agreement import LabelNoise
from data.versions.changes_report import change_sections
from data.versions.diff import VersionDiff
from data.versions.markdown import markdown_table, size_text
from data.versions.noise_report import noise_section
from data.versions.picture import NOT_STATED, picture_name
from data.versions.tally import DAY, Tally
from data.versions.text import VersionFacts


def dataset_report(
    spec: TaskSpec,
    tally: Tally,
    facts: VersionFacts,
    noise: LabelNoise | None = None,
    changed: VersionDiff | None = None,
    near_duplicates: int | None = None,
    unreadable: Mapping[str, int] | None = None,
) -> str:
    """Writes `DATASET.md`.

    Args:
        spec: The task; its choices and the bands of its gate decide the tables.
        tally: What the rows of `labels.csv` come to.
        facts: The rest.
        noise: How far readers agree; None: it was not looked at.
        changed: Against the version before, or against nothing; None: only the counts are told.
        near_duplicates: Pairs of radiographs that look alike; None: they were not looked for.
        unreadable: Reason -> radiographs that cannot be read and so have no label.
    """
    sections = [
        f"# {spec.title}: dataset {facts.name}\n",
        f"{facts.name}: {facts.changes}. Committed {facts.committed_at:%Y-%m-%d %H:%M} UTC, "
        f"because: {' '.join(facts.trigger.split())}. Ledger event {facts.ledger_head[0]}, "
        f"hash `{facts.ledger_head[1]}`.\n",
        "## Size\n",
        _size(tally, facts, near_duplicates),
        *_unreadable(unreadable or {}),
        "## Splits\n",
        _split_table(spec, tally),
        "## Sources\n",
        _source_table(tally),
        *_distribution(spec, tally),
        *change_sections(changed),
        "## Readers\n",
        _reader_table(tally),
        *noise_section(spec, noise),
        "## Proof of the splits\n",
        _split_proof(tally, facts.splits_csv),
    ]
    return "\n".join(sections)


def band_of(value: float, edges: Sequence[float]) -> int | None:
    """Returns the number of the band that holds a value; None below the first or above the last.

    A band holds its lower edge and not its upper one; the last band holds both.
    """
    if value == edges[-1]:
        return len(edges) - 2
    return next((i for i, (low, high) in enumerate(pairwise(edges)) if low <= value < high), None)


def reader_counts(rows: Mapping[tuple[str, ...], int]) -> dict[str, int]:
    """Returns reader -> radiographs that this reader has read, sorted by reader.

    Args:
        rows: Cell of the column `readers` -> rows that have it.
    """
    counts: Counter[str] = Counter()
    for (readers,), count in rows.items():
        for reader in filter(None, readers.split(";")):
            counts[reader] += count
    return dict(sorted(counts.items()))


def _size(tally: Tally, facts: VersionFacts, near_duplicates: int | None) -> str:
    text = f"{tally.rows} labelled radiographs, {size_text(facts.image_bytes)} of images."
    days = [day for (day,) in tally.counts[DAY,]]
    if days:
        text += f" Labelled from {min(days)} to {max(days)}."
    if near_duplicates == 0:
        text += " No two radiographs of the pool look alike."
    elif near_duplicates is not None:
        pairs = "pair" if near_duplicates == 1 else "pairs"
        text += (
            f" The pool holds {near_duplicates} {pairs} of radiographs that look alike; the two of "
            "a pair are in one split."
        )
    return text + "\n"


def _unreadable(reasons: Mapping[str, int]) -> list[str]:
    if not reasons:
        return []
    count = sum(reasons.values())
    told = ", ".join(f"{reason} {reasons[reason]}" for reason in sorted(reasons))
    films = (
        "radiograph cannot be read and is" if count == 1 else "radiographs cannot be read and are"
    )
    return [f"{count} {films} not in `labels.csv`: {told}.\n"]


def _split_table(spec: TaskSpec, tally: Tally) -> str:
    columns: list[tuple[str, str]] = []
    counts: Counter[tuple[str, str, str]] = Counter()
    for target in spec.targets:
        if target.kind == "choice":
            found = tally.counts["split", target.name]
            counts.update({(s, target.name, choice): n for (s, choice), n in found.items()})
            missing = any(choice == "" for _, choice in found)
            columns += [(target.name, c) for c in (*target.choices, *([""] if missing else []))]
    head = ["split", "patients", "radiographs", *(f"{n}: {c or NOT_STATED}" for n, c in columns)]
    patients, rows = tally.in_split, tally.counts["split",]
    lines = [
        [s, patients[s], rows[s,], *(counts[s, n, c] for n, c in columns)]
        for s in (split.value for split in Split)
    ]
    totals = [sum(int(line[i]) for line in lines) for i in range(1, len(head))]
    return markdown_table(head, [*lines, ["all", *totals]])


def _source_table(tally: Tally) -> str:
    counts = tally.counts["source", "split"]
    return markdown_table(
        ["source", "radiographs", *(split.value for split in Split)],
        [
            [source, sum(row), *row]
            for source in sorted({source for source, _ in counts})
            for row in [[counts[source, split.value] for split in Split]]
        ],
    )


def _distribution(spec: TaskSpec, tally: Tally) -> list[str]:
    target, by = spec.target(spec.gate.target), spec.gate.band_by
    number = target.kind == "number"
    title = f"{target.name} by {by}" if number and by else target.name
    picture = f"![{title}]({picture_name(spec)})\n"
    return [f"## {title}\n", picture, *([_band_table(spec, tally)] if number else [])]


def _band_table(spec: TaskSpec, tally: Tally) -> str:
    target, by, edges = spec.target(spec.gate.target), spec.gate.band_by, spec.gate.band_edges
    if len(edges) < 2:
        return ""
    counts: Counter[tuple[int | None, str]] = Counter()
    for (cell, *groups), count in tally.counts[(target.name, by) if by else (target.name,)].items():
        if cell:
            counts[band_of(float(cell), edges), "".join(groups)] += count
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


def _reader_table(tally: Tally) -> str:
    return markdown_table(
        ["reader", "radiographs"], [*reader_counts(tally.counts["readers",]).items()]
    )


def _split_proof(tally: Tally, splits_csv: bytes) -> str:
    lines = [
        [f"{one.value} and {other.value}", tally.in_both[one.value, other.value]]
        for one, other in combinations(Split, 2)
    ]
    digest = hashlib.sha256(splits_csv).hexdigest()
    return (
        "Each patient is in one split, by a salted hash of the patient's identifier at import, "
        "and stays there.\n\n"
        + markdown_table(["splits", "patients in both"], lines)
        + f"\nSHA-256 of `splits.csv`: `{digest}`\n"
    )

"""The part of `DATASET.md` that says how noisy the labels are."""

from __future__ import annotations

from collections.abc import Iterable

from data.domain import TaskSpec
from data.readers.agreement import ChoiceAgreement, LabelNoise, NumberAgreement
from data.readers.agreement_statistics import Difference
from data.versions.markdown import markdown_table


def noise_section(spec: TaskSpec, noise: LabelNoise | None) -> list[str]:
    """Writes what several readers of the same radiographs show; nothing if nobody looked."""
    if noise is None:
        return []
    if not noise.radiographs:
        return ["## Label noise\n", "One reader each: no estimate.\n"]
    disputes = "radiograph is" if noise.unsettled == 1 else "radiographs are"
    text = (
        f"{noise.radiographs} of {noise.labelled} radiographs were read by two or more of "
        f"{len(noise.readers)} readers (references and adjudicators do not count). "
        f"{noise.unsettled} {disputes} in dispute: readings differ by more than the tolerance, and "
        "no adjudicator has settled it.\n"
    )
    return [
        "## Label noise\n",
        text,
        *(part for number in noise.numbers for part in _number(spec, number)),
        *(part for choice in noise.choices for part in _choice(choice)),
    ]


def _number(spec: TaskSpec, found: NumberAgreement) -> list[str]:
    target = spec.target(found.target)
    unit = f" {target.unit}" if target.unit else ""
    lines = [
        ["radiographs, readings", f"{found.radiographs}, {found.readings}"],
        [
            f"pairs of readings within {target.tolerance or 0:g}{unit}",
            _share(found.within_tolerance),
        ],
        ["standard error of measurement", f"{found.sem:.2f}{unit}"],
        ["SD of the difference of two readings", f"{found.sd_difference:.2f}{unit}"],
        ["two readings differ by less than, in 95 %", f"{found.limit:.2f}{unit}"],
    ]
    return [
        f"### {target.name}\n",
        markdown_table(["", "readers of the same radiograph"], lines),
        _differences(
            "reader", f"bias against the others{unit and f' ({target.unit})'}", found.readers
        ),
    ]


def _differences(name: str, bias: str, differences: Iterable[Difference]) -> str:
    return markdown_table(
        [name, "radiographs", bias, "95 % interval", "95 % limits of agreement"],
        [
            [
                found.reader,
                found.radiographs,
                f"{found.mean:+.2f}",
                _span(found.low, found.high),
                _span(found.limit_low, found.limit_high),
            ]
            for found in differences
        ],
    )


def _choice(found: ChoiceAgreement) -> list[str]:
    lines = [
        ["radiographs, readings", f"{found.radiographs}, {found.readings}"],
        ["pairs of readings that say the same", _share(found.agreement)],
        *([["Cohen's kappa", f"{found.kappa:.2f}"]] if found.kappa is not None else []),
        ["Krippendorff's alpha", "–" if found.alpha is None else f"{found.alpha:.2f}"],
    ]
    return [f"### {found.target}\n", markdown_table(["", "readers of the same radiograph"], lines)]


def _share(share: float) -> str:
    return f"{100 * share:.1f} %"


def _span(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{low:+.2f} to {high:+.2f}"

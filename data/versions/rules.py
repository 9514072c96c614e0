"""A name for the rules that make labels out of readings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection

from data.domain import TaskSpec
from data.readers.consensus import reader_keys

FORMAT = 2
"""Raised when `consensus.py` or the text of `labels.csv` changes what the same readings give."""


def rules_of(spec: TaskSpec, adjudicators: Collection[str] = ()) -> str:
    """Returns a hash, 16 hexadecimal digits, of all that decides what readings come to.

    A version whose rules are the same as now is right for every radiograph that nobody has read
    since; under other rules any row may be another one.
    """
    targets = [
        [t.name, t.kind, t.choices, t.tolerance, t.minimum, t.maximum, t.applies_when]
        for t in spec.targets
    ]
    facts = [FORMAT, targets, sorted(reader_keys(adjudicators))]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]

"""The table of answers, in a form that MLflow's server and MLServer can both send.

MLflow's server writes the records of the table as JSON, which has no not-a-number. MLServer sends
each column as a tensor: a column of numbers may lack some (not a number, sent as null), a column
of texts may lack none (empty text).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd


class AnswerTable(pd.DataFrame):  # type: ignore[misc]  # pandas tells no types.
    """Answers to films: what is not known is not a number or empty, and None in `to_dict`."""

    def to_dict(self, *args: Any, **options: Any) -> Any:
        """Returns what `DataFrame.to_dict` does, with None for what is not known."""
        known = self.notna() & (self != "")
        return self.astype(object).where(known, None).to_dict(*args, **options)


def answer_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> AnswerTable:
    """Makes a table of rows in which None stands for what is not known.

    Args:
        rows: With every column each.
        columns: Column -> MLflow's type: `double`, `string` or `boolean`.

    Returns:
        Doubles as float64; strings and booleans as objects, for no type of NumPy's has a third
        value.
    """
    return AnswerTable(
        {name: _column(kind, [row[name] for row in rows]) for name, kind in columns.items()}
    )


def _column(kind: str, values: Sequence[Any]) -> pd.Series:
    if kind == "double":
        return pd.Series(values, dtype=np.float64)
    unknown = "" if kind == "string" else math.nan
    return pd.Series([unknown if value is None else value for value in values], dtype=object)

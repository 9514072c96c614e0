"""CSV tables as people and archives write them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from data.errors import InvalidInputError


def read_table(path: Path) -> list[dict[str, str]]:
    """Reads a CSV file (comma or semicolon); column names in small letters, cells stripped."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        header = text.partition("\n")[0]
        lines = list(csv.reader(io.StringIO(text), delimiter=";" if ";" in header else ","))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError(f"{path} cannot be read as a UTF-8 table: {error}.") from error
    columns = [name.strip().lower() for name in lines[0]] if lines else []
    return [
        dict(zip(columns, (cell.strip() for cell in cells), strict=False)) for cells in lines[1:]
    ]

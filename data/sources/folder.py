"""Any folder of images, with or without a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from data.domain import Target
from data.errors import InvalidInputError, NotFoundError
from data.sources.files import images_below
from data.sources.item import SourceItem, refused
from data.sources.tables import read_table
from data.values import parse_value


def read_folder(
    folder: Path, table: Path | None = None, targets: Sequence[Target] = ()
) -> Iterator[SourceItem]:
    """Yields every image below a folder, in alphabetical order.

    Each image is a patient of its own unless the table says otherwise: images of one person must
    be told by the table, or they may end up in different splits.

    Args:
        folder: Looked through at any depth; hidden files and folders are left out.
        table: CSV file with a column `file` (path below `folder`) and, as far as known, `patient`
            and a column for each target; without it, `folder/labels.csv` if it has `file`.
        targets: The targets whose columns are read; empty cells mean unknown.

    Raises:
        NotFoundError: The folder or the table does not exist.
        InvalidInputError: The given table has no column `file`.
    """
    rows = _folder_rows(folder, table)
    for path in images_below(folder):
        name = path.relative_to(folder).as_posix()
        row = rows.pop(name, {})
        patient = row.get("patient") or name.removesuffix(path.suffix)
        try:
            values = {t.name: parse_value(t, row[t.name]) for t in targets if row.get(t.name)}
        except InvalidInputError as error:
            yield refused(name, str(error))
        else:
            yield SourceItem(name, path, patient, values)
    for name in rows:
        yield refused(name, f"{name} is in the table, but there is no such image.")


def _folder_rows(folder: Path, table: Path | None) -> dict[str, dict[str, str]]:
    path = table or folder / "labels.csv"
    if not path.exists():
        if table is None:
            return {}
        raise NotFoundError(f"There is no table {table}.")
    rows = read_table(path)
    if table is not None and any("file" not in row for row in rows):
        raise InvalidInputError(f"{table} needs a column `file` with a path in every row.")
    return {Path(row["file"]).as_posix(): row for row in rows if row.get("file")}

from __future__ import annotations

import codecs
import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InvalidInputError, NotFoundError
from data.sources import tables
from data.sources.tables import Table, read_table

ROWS = [{"id": "1", "alter": "12"}, {"id": "2", "alter": "7"}]


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(folder: Path, content: str | bytes) -> Table:
    return read_table(written(folder, content))


def problems(table: Table) -> dict[str, str]:
    return {row.place: row.problem for row in table.rows if row.problem}


@pytest.mark.parametrize(
    "content",
    [
        "id,Alter\n1,12\n2,7\n",
        "id;Alter\r\n1;12\r\n2;7",
        " id \tAlter\n1\t 12 \n\n\t\n2\t7\n",
        '"id","Alter"\r"1","12"\r"2","7"\r',
        "\ufeffid,Alter\n1,12\n2,7\n",
        codecs.BOM_UTF16_LE + "id;Alter\n1;12\n2;7\n".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "id,Alter\n1,12\n2,7\n".encode("utf-16-be"),
    ],
    ids=["comma", "semicolon", "tab, blanks", "quotes, CR", "mark", "UTF-16 LE", "UTF-16 BE"],
)
def test_the_same_table_is_read_in_every_form(tmp_path: Path, content: str | bytes) -> None:
    table = read(tmp_path, content)

    assert table.columns == ("id", "Alter")
    assert [dict(row.cells) for row in table.rows] == ROWS


def test_a_table_in_windows_1252_is_read(tmp_path: Path) -> None:
    table = read(tmp_path, "Größe;id\n3,5 €;1\n".encode("cp1252"))

    assert table.columns == ("Größe", "id")
    assert table.rows[0].cell(table.column("größe")) == "3,5 €"
    assert table.decimal_comma


def test_rows_are_placed_by_their_line_even_behind_cells_of_several_lines(tmp_path: Path) -> None:
    table = read(tmp_path, 'id,note\n1,"two\nlines"\n\n2,b\n')

    assert [row.place for row in table.rows] == ["table.csv, line 2", "table.csv, line 5"]


def test_columns_are_found_in_any_spelling_and_the_first_wish_wins(tmp_path: Path) -> None:
    table = read(tmp_path, "Image_ID,Bone Age (months),bone-age\n1,2,3\n")

    assert table.column("image id") == "image id"
    assert table.column("age", "bone_age", "Image ID") == "bone age"
    assert table.rows[0].cell(table.column("BONE AGE (Months)")) == "2"
    assert table.column("none") == ""


def test_a_missing_column_is_one_sentence_that_lists_those_there_are(tmp_path: Path) -> None:
    table = read(tmp_path, "id,alter\n1,2\n")

    with pytest.raises(InvalidInputError) as error:
        table.required("the patient", "patient_ID")

    assert str(error.value) == (
        "table.csv has no column patient_ID (the patient); its columns are id, alter."
    )


def test_a_column_that_is_there_twice_is_refused_only_if_it_is_used(tmp_path: Path) -> None:
    table = read(tmp_path, "id,note,note\n1,a,b\n")

    assert table.column("id") == "id"
    with pytest.raises(InvalidInputError, match="column note twice"):
        table.column("note")


def test_a_table_without_header_has_numbers_for_columns(tmp_path: Path) -> None:
    table = read(tmp_path, "JPEGimages/ASIF/ASIF00/4087.jpg,F,8.83\nb.jpg,M,1\n")

    assert table.columns == ("1", "2", "3")
    assert [row.cell("1") for row in table.rows] == ["JPEGimages/ASIF/ASIF00/4087.jpg", "b.jpg"]
    assert table.rows[0].place == "table.csv, line 1"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("2,b,c", "the row has 3 cells, but there are 2 columns."),
        ('"2,b', "cannot be read (unexpected end of data; is a quote left open?)."),
        ('"2"x,b', "cannot be read ("),
        ("2,b\0", "the row holds NUL bytes."),
        (f'2,"{"x" * 200_000}"', "field larger than field limit"),
    ],
    ids=["ragged", "open quote", "text behind a quote", "NUL", "huge cell"],
)
def test_a_bad_row_has_a_problem_and_the_rest_is_read(
    tmp_path: Path, bad: str, reason: str
) -> None:
    table = read(tmp_path, f"id,alter\n1,a\n{bad}\n3,c\n")

    (problem,) = problems(table).items()
    assert problem[0] == "table.csv, line 3"
    assert reason in problem[1]
    assert [row.cell("id") for row in table.rows if not row.problem] == ["1", "3"]


def test_missing_cells_are_empty_and_empty_cells_too_many_are_none(tmp_path: Path) -> None:
    table = read(tmp_path, "id,alter,note\n1\n2,b,c,,\n")

    assert problems(table) == {}
    assert table.rows[0].cell("alter") == ""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty or has no header"),
        (b"\n1,2\n", "is empty or has no header"),
        (b"PK\x03\x04rest", r"is a workbook \(xlsx\): save the sheet as CSV"),
        (b"\xd0\xcf\x11\xe0rest", r"is a workbook \(xls\)"),
        (b"\xff\xd8\xff\xe0\x81\x8d\x8f\x90", "is no text table"),
        ("id,age\n".encode("utf-16-le"), "is no text table"),
        (codecs.BOM_UTF16_LE + b"i\x00d", "is no text table"),
    ],
    ids=["empty", "no header", "xlsx", "xls", "an image", "UTF-16 without mark", "cut UTF-16"],
)
def test_what_is_no_table_is_said_to_be_what_it_is(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        read(tmp_path, content)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")

    for path in (tmp_path, tmp_path / "pipe.csv", Path("/dev/zero")):
        with pytest.raises(InvalidInputError, match="is no file"):
            read_table(path)
    with pytest.raises(NotFoundError, match="There is no table"):
        read_table(tmp_path / "none.csv")


def test_a_table_whose_name_is_too_long_is_said_to_be_unreadable() -> None:
    with pytest.raises(InvalidInputError, match=r"cannot be read: File name too long\.$"):
        read_table(Path("a" * 300))


def test_a_table_that_is_too_large_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_TABLE_BYTES", 4)

    with pytest.raises(InvalidInputError, match="larger than"):
        read(tmp_path, "id,alter\n")


@given(st.binary(max_size=200) | st.text('ab",;\n\r\t\0 \ufeff1é', max_size=80).map(str.encode))
def test_any_bytes_are_a_table_or_one_sentence(content: bytes) -> None:
    with TemporaryDirectory() as folder, suppress(InvalidInputError):
        table = read(Path(folder), content)

        assert table.columns
        assert all(row.problem or any(row.cells.values()) for row in table.rows)

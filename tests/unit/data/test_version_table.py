from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import VersionError
from data.versions.splice import find_lines, splice
from data.versions.table import LabelTable
from data.versions.text import write_table
from tests.unit.data.dataset_cases import radiograph_id

COLUMNS = ("id", "patient", "readers")


def a_line(number: int, reader: str = "ada@example.org") -> bytes:
    row = {"id": radiograph_id(number), "patient": f"p{number}", "readers": reader}
    return write_table(COLUMNS, [row]).encode().split(b"\n", 1)[1]


def a_table(*numbers: int, reader: str = "ada@example.org") -> LabelTable:
    head = write_table(COLUMNS, []).encode()
    return LabelTable.parse(head + b"".join(a_line(n, reader) for n in sorted(numbers)))


def test_a_table_gives_its_columns_in_the_order_of_its_rows() -> None:
    table = a_table(3, 1, 2)

    assert len(table) == 3
    assert list(table.column("id")) == [radiograph_id(n) for n in (1, 2, 3)]
    assert list(table.column("patient")) == ["p1", "p2", "p3"]


def test_a_table_without_a_row_has_empty_columns() -> None:
    table = a_table()

    assert (len(table), list(table.column("id")), table.rows()) == (0, [], [])
    assert table.find(radiograph_id(1)) is None


def test_text_and_bytes_are_the_same_table() -> None:
    text = a_table(1, 2).text.decode()

    assert LabelTable.parse(text).rows() == a_table(1, 2).rows()


@pytest.mark.parametrize("reader", ["ada@example.org", 'a"b@example.org', "a,b@example.org"])
def test_quoted_cells_are_read_as_they_were_written(reader: str) -> None:
    table = a_table(1, 2, 3, reader=reader)

    assert list(table.column("readers")) == [reader] * 3
    assert table.find(radiograph_id(2)) == table.rows()[1]


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_every_row_is_found_by_its_radiograph_and_no_other(count: int) -> None:
    table = a_table(*range(0, 2 * count, 2))

    for number in range(2 * count):
        row = table.find(radiograph_id(number))
        assert (row is not None) == (number % 2 == 0)
        assert row is None or row["patient"] == f"p{number}"


def test_a_column_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        a_table(1).column("sex")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"id,patient\n1,p", "cut off"),
        (b"id,patient\n1,p,q\n", "cells"),
        (b"id,patient\n1\n", "cells"),
        (b"\xff\n", "UTF-8"),
        (b"id,pa\rtient\n1,p\n", "is no row"),
        (b"id,patient\n\xff,p\n", "UTF-8"),
        (b'id,patient\n"1",p\rq\n', "is no row"),
    ],
    ids=lambda value: str(value),
)
def test_what_is_no_table_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(VersionError, match=reason):
        LabelTable.parse(text).column("id")


# Putting lines in


@pytest.mark.parametrize("there", [10, 500])
def test_lines_are_put_in_replaced_and_taken_out(there: int) -> None:
    old = a_table(*range(there))
    changes = {
        radiograph_id(3): a_line(3, "bob@example.org"),
        radiograph_id(5): None,
        radiograph_id(there): a_line(there),
        radiograph_id(there + 7): None,
    }

    new = LabelTable.parse(splice(old, changes))

    assert len(new) == there
    assert list(new.column("id")) == sorted(new.column("id"))
    assert new.find(radiograph_id(5)) is None
    row = new.find(radiograph_id(3))
    assert row is not None
    assert row["readers"] == "bob@example.org"


@given(
    before=st.sets(st.integers(0, 400), max_size=300),
    after=st.sets(st.integers(0, 400), max_size=300),
    few=st.booleans(),
)
def test_spliced_and_written_anew_are_the_same_bytes(
    before: set[int], after: set[int], few: bool
) -> None:
    numbers = sorted(before ^ after)[: 3 if few else None]
    wanted = before - set(numbers) | (after & set(numbers))
    changes = {radiograph_id(n): a_line(n) if n in wanted else None for n in numbers}

    assert splice(a_table(*before), changes) == a_table(*wanted).text


@pytest.mark.parametrize("asked", [3, 200])
def test_lines_are_found_however_many_are_asked_for(asked: int) -> None:
    table = a_table(*range(0, 400, 2))
    numbers = random.Random(1).sample(range(400), asked)

    found = find_lines(table, {radiograph_id(n) for n in numbers})

    assert found == {radiograph_id(n): a_line(n) for n in numbers if n % 2 == 0}

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from carpal import cli
from carpal.filling import Source, fill_pool
from carpal.free_ports import free_port
from carpal.import_files import imports_file
from carpal.import_options import names_in
from data.domain import Split
from data.errors import AccessError, InvalidInputError, StorageError
from data.ledger.ledger import Ledger
from data.sources.item import Delivered, SourceItem
from data.sources.phantoms import read_phantoms
from tests.support import eventually
from tests.unit.data.sources.layouts import write_image, write_images
from workers.settings import Settings


class Ended:
    """How a command line ended."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err


Run = Callable[..., Ended]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CARPAL_HOME", str(tmp_path / "workspace"))
    monkeypatch.setenv("CARPAL_SALT", "the same splits each time")
    monkeypatch.setenv("CARPAL_LABEL_STUDIO_PORT", str(free_port()))
    return tmp_path / "workspace"


@pytest.fixture
def carpal(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `carpal import ...` in this process; no Label Studio is looked for."""
    monkeypatch.setattr("carpal.filling.show_to_experts", lambda settings, console: None)

    def run(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["carpal", "import", *map(str, arguments)])
        capsys.readouterr()
        status = 0
        try:
            cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
        said = capsys.readouterr()
        return Ended(status, said.out, said.err)

    return run


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Three films and a table that speaks of them."""
    folder = write_images(tmp_path / "films", "a.png", "b.png", "c.png")
    (folder / "labels.csv").write_text(
        "file,patient,age_months,sex\na.png,1,120,M\nb.png,1,130,M\nc.png,2,24,F\n"
    )
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def refused_files(home: Path) -> list[Path]:
    return sorted((home / "imports").glob("*-refused.csv"))


def splits(home: Path) -> dict[str, Split]:
    """Returns patient's pseudonym -> split."""
    with Ledger.open(f"sqlite:///{home / 'ledger.db'}") as ledger:
        return {one.patient: one.split for one in ledger.radiographs()}


def test_a_good_import_ends_with_status_0_and_leaves_no_list(
    carpal: Run, home: Path, films: Path
) -> None:
    ended = carpal("folder", films)

    assert ended.status == 0
    assert "3 new radiographs, 0 known already, 0 refused." in ended.out
    assert "The source says age_months of 3, sex of 3." in ended.out
    assert refused_files(home) == []
    assert len(splits(home)) == 2


def test_what_is_refused_is_listed_with_reasons_and_ends_with_status_1(
    carpal: Run, home: Path, films: Path
) -> None:
    (films / "d.png").write_bytes(b"no image")
    (films / "labels.csv").write_text(
        "file,patient,age_months\na.png,1,120\nb.png,1,12 y\nc.png,2,\nd.png,3,1\n../x.png,4,1\n"
    )

    ended = carpal("folder", films)

    assert ended.status == 1
    assert "2 new radiographs, 0 known already, 3 refused." in ended.out
    (path,) = refused_files(home)
    assert f"Refused, each with its reason: {path}" in ended.out
    assert path.name.startswith("folder-20")
    reasons = {row["name"]: row["reason"] for row in rows(path)}
    assert set(reasons) == {"b.png", "d.png", "../x.png"}
    assert "labels.csv, line 3: age_months is '12 y'" in reasons["b.png"]
    assert "leaves the folder" in reasons["../x.png"]


def test_names_that_are_no_utf8_are_printed_listed_and_reported(
    carpal: Run, home: Path, films: Path
) -> None:
    (films / os.fsdecode(b"\xff\n.png")).write_bytes(b"")

    ended = carpal("folder", films, "--json")

    report = json.loads(ended.out)
    assert ended.status == 1
    assert report["new"] == 3
    assert [name for name, _ in report["refused"]] == ["\\xff\\n.png"]
    assert [row["name"] for row in rows(refused_files(home)[0])] == ["\\xff\\n.png"]
    assert "\\xff\\n.png" in ended.err


def test_the_list_can_be_written_elsewhere_and_replaces_that_of_the_last_import(
    carpal: Run, home: Path, films: Path, tmp_path: Path
) -> None:
    (films / "labels.csv").write_text("file,sex\na.png,?\nb.png,M\nc.png,M\n")
    chosen = tmp_path / "refused.csv"

    first = carpal("folder", films, "--refused", chosen)
    assert [row["name"] for row in rows(chosen)] == ["a.png"]
    (films / "labels.csv").write_text("file,sex\na.png,F\nb.png,M\nc.png,M\n")
    second = carpal("folder", films, "--refused", chosen)

    assert (first.status, second.status) == (1, 0)
    assert not chosen.exists()
    assert refused_files(home) == []


def test_the_report_is_printed_though_label_studio_refuses_us(
    carpal: Run, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(settings: object, console: object) -> None:
        raise AccessError("Label Studio refuses the token.")

    monkeypatch.setattr("carpal.filling.show_to_experts", refuse)

    ended = carpal("folder", films, "--json")

    assert (ended.status, json.loads(ended.out)["new"]) == (1, 3)
    assert "carpal: Label Studio refuses the token." in ended.err


@pytest.mark.parametrize(
    ("source", "begins"),
    [("rsna", "rsna-2"), ("../../etc/x", "-etc-x-2"), ("masks-Müller & co", "masks-Müller-co-2")],
)
def test_no_name_of_a_source_leads_a_list_out_of_the_workspace(
    tmp_path: Path, source: str, begins: str
) -> None:
    path = imports_file(tmp_path, source, "refused")

    assert path.parent == tmp_path / "imports"
    assert path.name.startswith(begins)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "cannot be read"), (b"\xff\xfe1", "cannot be read"), (b"\n# 12\n", "names no patient")],
    ids=["no file", "UTF-16", "remarks alone"],
)
def test_a_list_of_names_without_names_is_refused(
    tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    if content is not None:
        (tmp_path / "patients.txt").write_bytes(content)

    with pytest.raises(InvalidInputError, match=sentence):
        names_in(tmp_path / "patients.txt", "patient")


def test_a_list_of_names_is_read_without_repeats_and_remarks(tmp_path: Path) -> None:
    (tmp_path / "patients.txt").write_text("\ufeff12\n\n# first ward\n 13 \n12\n", "utf-8")

    assert names_in(tmp_path / "patients.txt", "patient") == ("12", "13")


def test_another_salt_imports_nothing(
    carpal: Run, home: Path, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carpal("phantoms", 1)
    monkeypatch.setenv("CARPAL_SALT", "other splits this time")

    ended = carpal("folder", films)

    assert ended.status == 1
    assert "This workspace was begun with another salt" in ended.err
    assert len(splits(home)) == 1


def test_another_file_is_never_replaced_by_the_list(carpal: Run, films: Path) -> None:
    before = (films / "labels.csv").read_text()

    ended = carpal("folder", films, "--refused", films / "labels.csv")

    assert ended.status == 1
    assert "is no list of refused items: choose another name" in ended.err
    assert (films / "labels.csv").read_text() == before


def test_a_repeated_import_tells_nothing_new_even_if_it_is_forced(carpal: Run, films: Path) -> None:
    carpal("folder", films)

    for options in ((), ("--force",)):
        report = json.loads(carpal("folder", films, "--json", *options).out)
        assert (report["new"], report["known"], report["refused"]) == (0, 3, [])


def test_values_that_the_task_does_not_ask_for_are_left_out_and_it_says_so(
    carpal: Run, home: Path, tmp_path: Path
) -> None:
    write_images(tmp_path / "chest", "PNEUMONIA/person1_virus_1.jpeg", "NORMAL/IM-0001-0001.jpeg")

    ended = carpal("chest", tmp_path / "chest")

    assert ended.status == 0
    assert "It also says cause and diagnosis, which this workspace's task does not ask" in ended.out
    assert len(splits(home)) == 2


def test_an_atlas_is_imported_with_the_mean_of_its_readings(carpal: Run, tmp_path: Path) -> None:
    write_images(tmp_path / "dha", "ASIF/ASIF08/5262.jpg")
    table = tmp_path / "readings.csv"
    table.write_text("Nr,first,second\n5262,100,104\n")

    ended = carpal(
        "dha", tmp_path / "dha", "--table", table, "--file-column", "Nr", "--reading-column",
        "first", "--reading-column", "second", "--unit", "months",
    )  # fmt: skip

    assert ended.status == 0
    assert "The source says age_months of 1, sex of 1." in ended.out


def test_columns_words_and_units_of_any_table_can_be_named(
    carpal: Run, films: Path, tmp_path: Path
) -> None:
    table = tmp_path / "export.csv"
    table.write_text("Bild;Fall;Alter;Geschlecht\na.png;1;8,5;W\nb.png;1;9;W\nc.png;2;3;m\n")

    ended = carpal(
        "folder", films, "--table", table, "--file-column", "Bild", "--patient-column", "Fall",
        "--column", "age_months=Alter", "--column", "sex=Geschlecht", "--value", "sex:W=female",
        "--unit", "years",
    )  # fmt: skip

    assert ended.status == 0
    assert "The source says age_months of 3, sex of 3." in ended.out


@pytest.mark.parametrize(
    ("options", "status", "sentence"),
    [
        (("--column", "age_months=Alter"), 1, "its columns are file, patient, age_months, sex"),
        (("--column", "age=sex"), 1, "no target 'age'; its targets are age_months, sex"),
        (("--value", "sex:w=girl"), 1, "'w' cannot mean 'girl'"),
        (("--file-column", "Bild"), 1, "no column Bild"),
        (("--table", "none.csv"), 1, "There is no table none.csv."),
        (("--refused", "none/refused.csv"), 1, "There is no folder none"),
        (("--refused", f"{300 * 'a'}/refused.csv"), 1, "cannot be written: File name too long."),
        (("--column", "age_months"), 2, "must be TARGET=COLUMN"),
        (("--value", "sex=female"), 2, "must be TARGET:WORD=CHOICE"),
        (("--unit", "days"), 2, "months"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_option_is_one_sentence(
    carpal: Run, films: Path, options: tuple[str, ...], status: int, sentence: str
) -> None:
    ended = carpal("folder", films, *options)

    assert ended.status == status
    assert sentence in " ".join(ended.err.replace("│", " ").split())
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("layout", ["rsna", "dha", "chest", "table"])
def test_a_folder_of_another_layout_is_one_sentence(
    carpal: Run, tmp_path: Path, layout: str
) -> None:
    write_image(tmp_path / "x" / "1.png")
    table = tmp_path / "x" / "table.csv"
    table.write_text("who,what\nada,nothing\n")

    ended = carpal(layout, table if layout == "table" else tmp_path / "x")

    assert ended.status == 1
    assert ended.err.startswith("carpal: ")
    assert len(ended.err.splitlines()) == 1


def test_splits_of_a_publisher_are_kept_for_new_patients(
    carpal: Run, home: Path, tmp_path: Path
) -> None:
    numbers = range(1, 13)
    write_images(tmp_path / "hands", *(f"{number}.png" for number in numbers))
    (tmp_path / "annotation.csv").write_text(
        "image_ID,dir,patient_ID,sex,bone_age\n"
        + "".join(f"{number}.png,hands,{number},F,{number}\n" for number in numbers)
    )
    words = ("train", "val", "test")
    (tmp_path / "splits.csv").write_text(
        "patient_ID,split\n" + "".join(f"{number},{words[number % 3]}\n" for number in numbers)
    )

    ended = carpal("table", tmp_path / "annotation.csv", "--splits", tmp_path / "splits.csv")

    assert ended.status == 0
    assert sorted(splits(home).values()) == sorted([*Split] * 4)


def test_an_import_without_the_splits_of_a_publisher_splits_by_the_salt(
    carpal: Run, home: Path, films: Path
) -> None:
    carpal("folder", films)
    before = splits(home)
    (films / "splits.csv").write_text("patient_ID,split\n1,test\n2,test\n")
    (films / "annotation.csv").write_text(
        "image_ID,patient_ID,sex,bone_age\na.png,1,M,1\nb.png,1,M,1\nc.png,2,F,1\n"
    )

    ended = carpal("table", films / "annotation.csv", "--splits", films / "splits.csv", "--force")

    assert ended.status == 0
    assert splits(home) == before
    assert set(before.values()) == {Split.TRAIN}
    assert "it stays in the train split, though its publisher has it in test" in ended.out


def full_disk() -> Delivered:
    raise StorageError("The disk is full.")


def test_the_list_of_refused_is_there_even_if_the_import_fails(tmp_workspace: Settings) -> None:
    items = [
        SourceItem("a.png", problem="It is no film."),
        SourceItem("b.png", patient="1", load=full_disk),
    ]

    with pytest.raises(StorageError):
        fill_pool(tmp_workspace, Source("folder", iter(items)), Console(quiet=True))

    (path,) = refused_files(tmp_workspace.home)
    assert rows(path) == [{"name": "a.png", "reason": "It is no film."}]


@pytest.mark.long
def test_ctrl_c_keeps_what_was_imported_and_the_same_command_goes_on(home: Path) -> None:
    argv = [sys.executable, "-m", "carpal", "import", "phantoms", "500", "--json"]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert eventually(lambda: len(list(home.glob("pool/.drafts/*"))) > 20, limit_s=60)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "What was imported is kept; the same command goes on from there." in said
    assert "Traceback" not in said
    kept = len(splits(home))
    assert 0 < kept < 500


def test_a_phantom_that_is_known_is_not_drawn_again(tmp_workspace: Settings) -> None:
    first = fill_pool(
        tmp_workspace, Source("phantoms", read_phantoms(3, 1, 64)), Console(quiet=True)
    )
    again = fill_pool(
        tmp_workspace, Source("phantoms", read_phantoms(5, 1, 64)), Console(quiet=True)
    )

    assert (first.new, again.new, again.known) == (3, 2, 3)

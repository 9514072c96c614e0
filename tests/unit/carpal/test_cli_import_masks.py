from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from carpal import cli, cli_import_masks
from carpal.free_ports import free_port
from data.images.decoding import encode_png
from tests.unit.data.hand_cases import expose, hand_mask

Run = Callable[..., tuple[int, str, str]]

assert cli_import_masks  # The import of the module registers the command.


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CARPAL_HOME", str(tmp_path / "workspace"))
    monkeypatch.setenv("CARPAL_LABEL_STUDIO_PORT", str(free_port()))
    return tmp_path / "workspace"


@pytest.fixture
def carpal(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `carpal import ...` in this process; returns its status and what it printed."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["carpal", "import", *map(str, arguments)])
        capsys.readouterr()
        status = 0
        try:
            cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Three films of hands, and a folder with their masks and one more."""
    (tmp_path / "films").mkdir()
    (tmp_path / "masks").mkdir()
    for number in range(4):
        mask = hand_mask(80, 60, left=0.1 + number * 0.05)
        hand = encode_png(mask.astype(np.uint8) * np.uint8(255))
        (tmp_path / "masks" / f"{number}.png").write_bytes(hand)
        if number < 3:
            film = encode_png(expose(mask, tissue=100 + number))
            (tmp_path / "films" / f"{number}.png").write_bytes(film)
    return tmp_path / "masks"


def test_masks_are_brought_in_for_the_radiographs_of_a_source(
    carpal: Run, home: Path, masks: Path
) -> None:
    carpal("folder", masks.parent / "films")

    status, out, _ = carpal("masks", masks, "--source", "folder")

    assert status == 0
    assert "3 radiographs have a mask of these: 3 new, 0 known already, 0 replaced." in out
    assert "1 masks belong to no radiograph that was imported from folder" in out
    assert len(list((home / "masks").rglob("*.png"))) == 3


def test_a_repeated_import_of_masks_changes_nothing(carpal: Run, masks: Path) -> None:
    carpal("folder", masks.parent / "films")
    carpal("masks", masks, "--source", "folder")

    status, out, err = carpal("masks", masks, "--source", "folder", "--json")

    assert status == 0
    report = json.loads(out)
    assert (report["new"], report["known"], report["replaced"]) == (0, 3, 0)
    assert report["unknown"] == ["masks/3.png"]
    assert "3 known already" in err


def test_refused_masks_are_listed_with_their_reasons(carpal: Run, home: Path, masks: Path) -> None:
    carpal("folder", masks.parent / "films")
    (masks / "1.png").write_bytes(encode_png(np.zeros((80, 60), np.uint8)))

    status, out, _ = carpal("masks", masks, "--source", "folder")

    assert status == 1
    assert "1 masks refused." in out
    (listed,) = (home / "imports").glob("masks-folder-*-refused.csv")
    assert str(listed) in out
    assert listed.read_text().splitlines() == ["name,reason", "masks/1.png,The mask marks nothing."]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere", "--source", "folder"], "There is no folder nowhere."),
        (["{masks}", "--source", "folder", "--refused", "no/file.csv"], "There is no folder no"),
    ],
    ids=["no folder", "no place for the list"],
)
def test_a_mistake_is_one_sentence(
    carpal: Run, masks: Path, arguments: list[str], sentence: str
) -> None:
    carpal("folder", masks.parent / "films")

    status, out, err = carpal("masks", *(a.format(masks=masks) for a in arguments))

    assert status == 1
    assert sentence in out + err
    assert "Traceback" not in out + err


def test_masks_need_a_workspace(carpal: Run, masks: Path) -> None:
    status, out, err = carpal("masks", masks, "--source", "rsna")

    assert status == 1
    assert "There is no workspace" in out + err

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data.domain import Radiograph
from data.errors import NotFoundError
from data.images.decoding import encode_png
from data.images.mask import Mask
from data.importing.masks import MaskReport, import_masks
from data.importing.records import Origin
from data.masks import MaskStore, read_mask
from data.sources.masks import read_masks
from data.splits import origin_key
from tests.unit.data.dataset_cases import a_radiograph

SALT = "salt"


class FakeLedger:
    """Radiographs of 40 x 30 pixels, and what the source calls them."""

    def __init__(self, names: dict[str, int], source: str = "rsna") -> None:
        self.known = {a_radiograph(n).id: a_radiograph(n) for n in names.values()}
        self.keys = {
            origin_key(source, name, SALT): Origin(a_radiograph(n).id, "")
            for name, n in names.items()
        }

    def origins(self, keys: Collection[str]) -> dict[str, Origin]:
        return {key: self.keys[key] for key in keys if key in self.keys}

    def radiographs_among(self, radiograph_ids: Collection[str]) -> dict[str, Radiograph]:
        return {key: self.known[key] for key in radiograph_ids if key in self.known}


@pytest.fixture
def store(tmp_path: Path) -> MaskStore:
    return MaskStore(tmp_path / "store")


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger({"rsna-1377": 1, "rsna-1378": 2})


def a_mask(top: int = 5, side: int = 20) -> NDArray[np.uint8]:
    mask = np.zeros((40, 30), np.uint8)
    mask[top : top + side, 4 : 4 + side] = 255
    return mask


def write(path: Path, mask: NDArray[np.uint8] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(a_mask() if mask is None else mask))
    return path


def take_in(
    folders: list[Path], ledger: FakeLedger, store: MaskStore, source: str = "rsna", **more: object
) -> MaskReport:
    return import_masks(
        read_masks(folders, source),
        ledger=ledger,
        store=store,
        source=source,
        salt=SALT,
        **more,  # type: ignore[arg-type]
    )


def kept(store: MaskStore, number: int) -> Mask:
    path = store.find(a_radiograph(number).id)
    assert path is not None
    return read_mask(path)


def test_masks_are_found_by_the_name_that_the_source_gave_the_radiograph(
    tmp_path: Path, ledger: FakeLedger, store: MaskStore
) -> None:
    write(tmp_path / "masks" / "1377.png")
    write(tmp_path / "masks" / "deeper" / "1378.png", a_mask(side=22))
    write(tmp_path / "masks" / "999.png")

    report = take_in([tmp_path / "masks"], ledger, store)

    assert (report.new, report.known, report.replaced) == (2, 0, 0)
    assert report.unknown == ["masks/999.png"]
    assert report.refused == []
    assert np.array_equal(kept(store, 2), a_mask(side=22) > 0)


@pytest.mark.parametrize(
    ("item", "file"),
    [
        ("films/a.jpg", "films/a.png"),
        ("a.jpg", "a.png"),
        ("a.jpg", "other/a.png"),
        ("films/a", "films/a_mask.png"),
        ("a", "a.png"),
        ("a.png", "a.tif.png"),
    ],
    ids=["same place", "other extension", "other folder", "ending", "bare name", "not this one"],
)
def test_masks_of_any_source_are_found_by_file_name(
    tmp_path: Path, store: MaskStore, item: str, file: str
) -> None:
    write(tmp_path / "masks" / file)

    report = take_in([tmp_path / "masks"], FakeLedger({item: 1}, "folder"), store, "folder")

    assert report.new == (0 if file == "a.tif.png" else 1)


def test_a_mask_that_is_named_by_the_radiographs_id_is_found(
    tmp_path: Path, ledger: FakeLedger, store: MaskStore
) -> None:
    write(tmp_path / "masks" / f"{a_radiograph(1).id}.png")

    assert take_in([tmp_path / "masks"], ledger, store).new == 1


def test_a_repeated_import_changes_nothing(
    tmp_path: Path, ledger: FakeLedger, store: MaskStore
) -> None:
    write(tmp_path / "masks" / "1377.png")
    take_in([tmp_path / "masks"], ledger, store)

    report = take_in([tmp_path / "masks"], ledger, store)

    assert (report.new, report.known, report.replaced) == (0, 1, 0)


def test_another_mask_of_a_radiograph_replaces_the_first(
    tmp_path: Path, ledger: FakeLedger, store: MaskStore
) -> None:
    write(tmp_path / "masks" / "1377.png")
    take_in([tmp_path / "masks"], ledger, store)
    write(tmp_path / "masks" / "1377.png", a_mask(top=8))

    report = take_in([tmp_path / "masks"], ledger, store)

    assert (report.new, report.known, report.replaced) == (0, 0, 1)
    assert np.array_equal(kept(store, 1), a_mask(top=8) > 0)


def test_unusable_masks_are_refused_one_by_one_with_the_reason(
    tmp_path: Path, ledger: FakeLedger, store: MaskStore
) -> None:
    write(tmp_path / "masks" / "1377.png", np.zeros((40, 30), np.uint8))
    write(tmp_path / "masks" / "1378.png").write_bytes(b"no image")
    told: list[tuple[str, str]] = []

    report = take_in(
        [tmp_path / "masks"], ledger, store, on_refused=lambda *pair: told.append(pair)
    )

    assert report.new == 0
    assert report.refused == told
    reasons = dict(told)
    assert "marks nothing" in reasons["masks/1377.png"]
    assert "not an image" in reasons["masks/1378.png"]


def test_the_first_folder_has_the_say_and_the_next_one_fills_in(
    tmp_path: Path, ledger: FakeLedger, store: MaskStore
) -> None:
    write(tmp_path / "one" / "1377.png", a_mask(top=5))
    write(tmp_path / "two" / "1377.png", a_mask(top=7))
    write(tmp_path / "one" / "1378.png", np.zeros((40, 30), np.uint8))
    write(tmp_path / "two" / "1378.png", a_mask(top=7))

    report = take_in([tmp_path / "one", tmp_path / "two"], ledger, store)

    assert report.new == 2
    assert [name for name, _ in report.refused] == ["one/1378.png"]
    assert np.array_equal(kept(store, 1), a_mask(top=5) > 0)
    assert np.array_equal(kept(store, 2), a_mask(top=7) > 0)


def test_a_consensus_is_what_at_least_half_of_the_folders_mark(
    tmp_path: Path, ledger: FakeLedger, store: MaskStore
) -> None:
    for number, top in enumerate((5, 6, 8)):
        write(tmp_path / str(number) / "1377.png", a_mask(top=top))
    folders = [tmp_path / str(number) for number in range(3)]

    report = take_in(folders, ledger, store, choice="consensus")

    assert report.new == 1
    assert np.array_equal(kept(store, 1), a_mask(top=6) > 0)


def test_folders_that_do_not_agree_leave_a_radiograph_without_a_mask(
    tmp_path: Path, ledger: FakeLedger, store: MaskStore
) -> None:
    write(tmp_path / "one" / "1377.png", a_mask(top=2))
    write(tmp_path / "two" / "1377.png", a_mask(top=18))

    report = take_in([tmp_path / "one", tmp_path / "two"], ledger, store, choice="consensus")

    assert store.find(a_radiograph(1).id) is None
    assert [name for name, _ in report.refused] == ["one/1377.png", "two/1377.png"]
    assert all("do not agree" in reason for _, reason in report.refused)


def test_a_mask_that_cannot_be_read_is_refused_once_beside_two_that_do_not_agree(
    tmp_path: Path, ledger: FakeLedger, store: MaskStore
) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c")]
    folders[0].mkdir()
    (folders[0] / "1377.png").write_text("no image")
    write(folders[1] / "1377.png", a_mask(0, 12))
    write(folders[2] / "1377.png", a_mask(20, 12))

    report = take_in(folders, ledger, store, choice="consensus")

    reasons = dict(report.refused)
    assert [name for name, _ in report.refused] == ["a/1377.png", "b/1377.png", "c/1377.png"]
    assert "not an image" in reasons["a/1377.png"]
    assert "do not agree" in reasons["b/1377.png"]


def test_a_mask_and_a_link_to_it_belong_to_two_radiographs(
    tmp_path: Path, ledger: FakeLedger, store: MaskStore
) -> None:
    write(tmp_path / "masks" / "1377.png")
    (tmp_path / "masks" / "1378.png").symlink_to("1377.png")

    report = take_in([tmp_path / "masks"], ledger, store)

    assert (report.new, report.refused) == (2, [])
    assert np.array_equal(kept(store, 1), kept(store, 2))


def test_two_masks_of_one_radiograph_in_one_folder_are_not_both_taken(
    tmp_path: Path, ledger: FakeLedger, store: MaskStore
) -> None:
    write(tmp_path / "masks" / "1377.png")
    write(tmp_path / "masks" / "again" / "1377.png", a_mask(top=9))

    report = take_in([tmp_path / "masks"], ledger, store)

    assert report.new == 1
    assert report.refused == [
        ("masks/again/1377.png", "The folder holds another mask of the same radiograph.")
    ]


def test_progress_is_told_to_the_end(tmp_path: Path, ledger: FakeLedger, store: MaskStore) -> None:
    write(tmp_path / "masks" / "1377.png")
    write(tmp_path / "masks" / "1378.png")
    told: list[tuple[int, int]] = []

    take_in([tmp_path / "masks"], ledger, store, progress=lambda *pair: told.append(pair))

    assert told[-1] == (2, 2)


def test_a_folder_that_is_not_there_is_named(
    tmp_path: Path, ledger: FakeLedger, store: MaskStore
) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        take_in([tmp_path / "nowhere"], ledger, store)

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from data.errors import StorageError
from tests.unit.trainer.small_models import save_random_model
from trainer.pyfunc import export as exporting
from trainer.pyfunc.export import OWN_CODE, _own_code, export


def test_an_export_carries_our_packages_that_answer_a_request(tmp_path: Path) -> None:
    carried = [Path(folder) for folder in _own_code(tmp_path)]

    assert [folder.name for folder in carried] == list(OWN_CODE)
    assert (tmp_path / "trainer" / "predictor.py").exists()
    assert (tmp_path / "data" / "domain.py").exists()


def test_an_export_that_does_not_fit_on_the_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_random_model(tmp_path / "model")

    def fill(_card: object, folder: Path, **_: object) -> None:
        folder.mkdir()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(exporting, "write_flavour", fill)

    with pytest.raises(StorageError, match="full"):
        export(tmp_path / "model", tmp_path / "served")

    assert not (tmp_path / "served").exists()

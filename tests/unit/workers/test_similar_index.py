from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from data.domain import REFERENCE_READER, Radiograph, Reading, Split
from data.images.decoding import encode_png
from data.ledger.ledger import Ledger
from data.phantoms.drawing import draw_hand
from data.pool import Pool
from tests.unit.data.dataset_cases import NOON
from tests.unit.trainer.small_models import save_random_model
from trainer.explanations.neighbours import NeighbourIndex
from trainer.predictor import Predictor
from workers import similar_index
from workers.promotion import CHAMPION
from workers.settings import Settings
from workers.similar_index import index_folder, make_index

pytestmark = pytest.mark.long


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, device="cpu")


@pytest.fixture
def predictor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Predictor:
    save_random_model(tmp_path / "model")
    loaded = Predictor.load(tmp_path / "model", "cpu")
    monkeypatch.setattr(similar_index, "load_explaining", lambda settings, version: loaded)
    return loaded


@pytest.fixture
def ledger(settings: Settings, predictor: Predictor) -> Iterator[Ledger]:
    with Ledger.open(settings.ledger) as opened:
        opened.set_state(CHAMPION, predictor.model_version)
        yield opened


def settle(settings: Settings, ledger: Ledger, number: int, split: Split = Split.TRAIN) -> str:
    """Puts a film with a reference into pool and ledger."""
    image = Pool(settings.pool).add(encode_png(draw_hand(60.0 + number, "male", number, 64)))
    film = Radiograph(
        image.id, f"{number:016x}", split, "folder", image.path, image.width, image.height, NOON
    )
    ledger.add_radiographs([film])
    values = {"age_months": 60.0 + number, "sex": "male"}
    ledger.record_readings([Reading(film.id, REFERENCE_READER, values, NOON)])
    return film.id


def indexed(settings: Settings, version: str) -> set[str]:
    index = NeighbourIndex.load(index_folder(settings), version)
    return set() if index is None else set(index.ids)


def test_the_settled_films_of_the_training_split_are_indexed(
    settings: Settings, ledger: Ledger, predictor: Predictor
) -> None:
    films = {settle(settings, ledger, number) for number in (1, 2, 3)}
    settle(settings, ledger, 4, Split.TEST)
    settle(settings, ledger, 5, Split.CALIBRATION)

    assert make_index(settings, ledger, predictor.model_version) == 3

    assert indexed(settings, predictor.model_version) == films


def test_only_films_that_are_new_are_computed(
    settings: Settings, ledger: Ledger, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(similar_index, "CHUNK", 2)
    films = {settle(settings, ledger, number) for number in (1, 2, 3)}
    assert make_index(settings, ledger, predictor.model_version) == 3
    films.add(settle(settings, ledger, 4))

    assert make_index(settings, ledger, predictor.model_version) == 1
    assert make_index(settings, ledger, predictor.model_version) == 0

    assert indexed(settings, predictor.model_version) == films


def test_an_unreadable_film_costs_the_others_nothing(
    settings: Settings, ledger: Ledger, predictor: Predictor
) -> None:
    lost, kept = settle(settings, ledger, 1), settle(settings, ledger, 2)
    found = Pool(settings.pool).find(lost)
    assert found is not None
    found.unlink()

    assert make_index(settings, ledger, predictor.model_version) == 1

    assert indexed(settings, predictor.model_version) == {kept}


def test_a_damaged_index_is_made_anew_and_those_of_other_models_go(
    settings: Settings, ledger: Ledger, predictor: Predictor
) -> None:
    film, folder = settle(settings, ledger, 1), index_folder(settings)
    folder.mkdir(parents=True)
    (folder / f"neighbours-{predictor.model_version}.npz").write_bytes(b"damaged")
    (folder / "neighbours-v0000-00000000.npz").write_bytes(b"old")

    assert make_index(settings, ledger, predictor.model_version) == 1

    assert indexed(settings, predictor.model_version) == {film}
    assert [file.name for file in folder.iterdir()] == [f"neighbours-{predictor.model_version}.npz"]


def test_a_model_that_is_champion_no_more_gets_no_index(
    settings: Settings, ledger: Ledger, predictor: Predictor
) -> None:
    settle(settings, ledger, 1)
    ledger.set_state(CHAMPION, "v0009-00000009")

    assert make_index(settings, ledger, predictor.model_version) == 0
    assert indexed(settings, predictor.model_version) == set()

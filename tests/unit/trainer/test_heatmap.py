from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from data.errors import InvalidInputError, ModelError
from tests.unit.trainer.cases import QUICK, easy_image
from tests.unit.trainer.small_models import save_random_model
from trainer.explanations.heatmap import heat_map, with_feature_map
from trainer.options import TrainOptions
from trainer.predictor import Predictor

pytestmark = pytest.mark.long

SIDE = 64
OPTIONS = replace(QUICK, image_size=SIDE)


class Brightness(nn.Module):
    """A backbone with one feature, the grey value, in cells of 8 x 8 pixels."""

    num_features = 1

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.Identity()

    def forward_features(self, pixels: Tensor) -> Tensor:
        # Black is 0 whatever the normalisation, or all of a film would matter.
        grown: Tensor = self.cells(avg_pool2d(pixels - pixels.amin(), 8))
        return grown

    def forward(self, pixels: Tensor) -> Tensor:
        return self.forward_features(pixels).mean((2, 3))


class NoGrid(Brightness):
    """A backbone whose last features lie nowhere."""

    def forward_features(self, pixels: Tensor) -> Tensor:
        return super().forward_features(pixels).flatten(1)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.forward_features(pixels).mean(1, keepdim=True)


def predictor_of(
    folder: Path,
    backbone: type[nn.Module],
    weights: dict[str, tuple[float, ...]],
    options: TrainOptions = OPTIONS,
    members: int = 1,
) -> Predictor:
    """A model whose outputs are the backbone's only feature times these weights."""
    card = save_random_model(folder / "model", options=options, members=members)
    predictor = Predictor.load(folder / "model", "cpu")
    for network in predictor.networks:
        network.backbone = backbone()
        for i, target in enumerate(card.targets):
            fed = 32 if i in network.form.fed else 0
            layer = nn.Linear(1 + fed, len(weights[target.name]))
            with torch.no_grad():
                layer.weight.zero_()
                layer.bias.zero_()
                layer.weight[:, 0] = torch.tensor(weights[target.name])
            network.heads[i] = nn.Sequential(layer)
    return predictor


def film_with_spot(shape: tuple[int, int], row: int, column: int) -> NDArray[np.uint8]:
    film = np.zeros(shape, np.uint8)
    film[row - 8 : row + 8, column - 8 : column + 8] = 255
    return film


def highest(heat: NDArray[np.float32]) -> tuple[int, int]:
    """The middle of what matters nearly as much as what matters most."""
    rows, columns = np.nonzero(heat > 0.9)
    return round(rows.mean()), round(columns.mean())


RISES = {"age_months": (1.0, 0.0), "sex": (1.0, -1.0)}
FALLS = {"age_months": (-1.0, 0.0), "sex": (1.0, -1.0)}
LESS_FEMALE = {"age_months": (1.0, 0.0), "sex": (-1.0, -2.0)}


@pytest.mark.parametrize(
    ("shape", "row", "column"),
    [((64, 64), 20, 44), ((300, 200), 60, 40), ((200, 300), 150, 250)],
    ids=["as large as the square", "upright", "lying"],
)
def test_the_map_lies_on_the_film_where_what_matters_lies(
    tmp_path: Path, shape: tuple[int, int], row: int, column: int
) -> None:
    predictor = predictor_of(tmp_path, Brightness, RISES)

    heat = heat_map(predictor, film_with_spot(shape, row, column), "id", "age_months")

    assert heat.shape == shape
    assert heat.dtype == np.float32
    assert (heat.min(), heat.max()) == (0.0, 1.0)
    cell = max(shape) / SIDE * 8
    found = highest(heat)
    assert abs(found[0] - row) <= cell / 2 + 1
    assert abs(found[1] - column) <= cell / 2 + 1


def test_what_the_model_is_not_shown_does_not_matter(tmp_path: Path) -> None:
    predictor = predictor_of(tmp_path, Brightness, RISES, replace(OPTIONS, crop="field"))
    film = np.full((200, 260), 128, np.uint8)  # A hand's field on a larger grey plate.
    film[40:160, 60:200] = np.random.default_rng(0).integers(0, 60, (120, 140), np.uint8)
    film[100:120, 90:110] = 255
    box = predictor.places(film, "id")[0].box
    assert box.top > 20 and box.right < 240, "the crop has to cut something off"

    heat = heat_map(predictor, film, "id", "age_months")

    assert not heat[: box.top].any() and not heat[:, box.right :].any()
    assert abs(highest(heat)[0] - 110) < 20 and abs(highest(heat)[1] - 100) < 20


def test_of_a_number_what_lowers_it_matters_too(tmp_path: Path) -> None:
    film = film_with_spot((64, 64), 20, 44)

    up = heat_map(predictor_of(tmp_path / "a", Brightness, RISES), film, "id", "age_months")
    down = heat_map(predictor_of(tmp_path / "b", Brightness, FALLS), film, "id", "age_months")

    np.testing.assert_allclose(up, down, atol=1e-6)


def test_of_a_choice_what_speaks_for_the_predicted_class_matters(tmp_path: Path) -> None:
    film = film_with_spot((64, 64), 20, 44)

    heat = heat_map(predictor_of(tmp_path / "a", Brightness, RISES), film, "id", "sex")
    against = heat_map(predictor_of(tmp_path / "b", Brightness, LESS_FEMALE), film, "id", "sex")

    assert abs(highest(heat)[0] - 20) <= 4
    assert not against.any(), "brightness speaks against the class"


def test_of_a_distribution_its_expectation_is_explained(tmp_path: Path) -> None:
    options = replace(OPTIONS, number_head="distribution", bin_width=120.0)
    older = {"age_months": (-1.0, 0.0, 1.0), "sex": (1.0, -1.0)}

    heat = heat_map(
        predictor_of(tmp_path, Brightness, older, options),
        film_with_spot((64, 64), 20, 44),
        "id",
        "age_months",
    )

    assert abs(highest(heat)[0] - 20) <= 4
    assert abs(highest(heat)[1] - 44) <= 4


def test_members_are_averaged(tmp_path: Path) -> None:
    film = film_with_spot((64, 64), 20, 44)
    single = heat_map(predictor_of(tmp_path / "a", Brightness, RISES), film, "id", "sex")
    both = predictor_of(tmp_path / "b", Brightness, RISES, members=2)
    # The second member sees the film upside down.
    both.networks[1].backbone.register_forward_pre_hook(lambda _, given: (given[0].flip(2),))

    heat = heat_map(both, film, "id", "sex")

    np.testing.assert_allclose(heat, (single + single[::-1]) / (single + single[::-1]).max(), 1e-4)


@pytest.mark.parametrize(
    ("backbone", "size"), [("test_resnet", 96), ("test_vit", 160)], ids=["CNN", "transformer"]
)
def test_real_backbones_have_a_map(tmp_path: Path, backbone: str, size: int) -> None:
    options = replace(QUICK, backbone=backbone, image_size=size)
    save_random_model(tmp_path / "model", options=options)
    predictor = Predictor.load(tmp_path / "model", "cpu")
    film = easy_image(120.0, "female", 0)
    before = predictor.predict_images([film], ["id"])

    heat = heat_map(predictor, film, "id", "age_months", {"sex": "male"})

    assert heat.shape == film.shape
    assert heat.max() == 1.0
    assert heat.std() > 0.01, "it differs from place to place"
    np.testing.assert_array_equal(
        heat, heat_map(predictor, film, "id", "age_months", {"sex": "male"})
    )
    assert predictor.predict_images([film], ["id"]) == before
    assert all(parameter.grad is None for parameter in predictor.networks[0].parameters())


def test_a_transformer_with_its_grid_answers_as_before(tmp_path: Path) -> None:
    options = replace(QUICK, backbone="test_vit", image_size=160)
    save_random_model(tmp_path / "model", options=options)
    network = Predictor.load(tmp_path / "model", "cpu").networks[0]
    pixels = torch.rand(2, 1, 160, 160, generator=torch.Generator().manual_seed(0))

    same, _ = with_feature_map(network, pixels[:1])

    with torch.no_grad():
        expected, found = network(pixels).heads, same(pixels).heads
    assert all(torch.allclose(a, b) for a, b in zip(expected, found, strict=True))


def test_a_backbone_without_a_grid_is_an_error_that_names_it(tmp_path: Path) -> None:
    predictor = predictor_of(tmp_path, NoGrid, RISES)

    with pytest.raises(ModelError, match="test_byobnet has no feature map"):
        heat_map(predictor, film_with_spot((64, 64), 20, 44), "id", "age_months")


def test_an_unknown_target_is_refused(tmp_path: Path) -> None:
    predictor: Any = predictor_of(tmp_path, Brightness, RISES)

    with pytest.raises(InvalidInputError, match="does not tell height of this film, but"):
        heat_map(predictor, film_with_spot((64, 64), 20, 44), "id", "height")

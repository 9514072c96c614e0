"""What the backend asks of a loaded model, and of the registry that says which one serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from data.domain import Prediction
from data.images.preparation import Preparation

Known: TypeAlias = Mapping[str, str]
"""Input target -> choice that is known of a film before, such as the recorded sex."""

Squares: TypeAlias = tuple[NDArray[np.uint8], ...]
"""A film as a model's members see it."""


class Predictor(Protocol):
    """A loaded model (see `trainer.predictor.Predictor`)."""

    @property
    def model_version(self) -> str:
        """Version, such as `v0003-1a2b3c4d`."""
        ...

    @property
    def spec_name(self) -> str:
        """The task that the model was trained for."""
        ...

    @property
    def needs_mask(self) -> bool:
        """A film is answered only with its hand mask."""
        ...

    @property
    def known_input(self) -> str | None:
        """The choice target that the model may be told before, or None."""
        ...

    @property
    def films_together(self) -> int:
        """Films that pass the networks together."""
        ...

    @property
    def preparations(self) -> tuple[Preparation, ...]:
        """How each member sees a film."""
        ...

    def mask_file(self, radiograph_id: str) -> Path | None:
        """Returns the file of a film's hand mask; None: there is none, or it is not looked at."""
        ...

    def be_quick_with_few(self) -> None:
        """Finds out whether a few films can be computed sooner than many; before it serves."""
        ...

    def prepared(self, image: NDArray[np.uint8], radiograph_id: str) -> Squares:
        """Returns a grey image (height, width) as the members see it; by several threads at once.

        Raises:
            ImageError: The model needs a hand mask, and there is none that fits.
        """
        ...

    def predict_prepared(
        self, films: Sequence[Squares], ids: Sequence[str], known: Sequence[Known] | None = None
    ) -> list[Prediction]:
        """Returns one prediction per film, in order; by one thread at a time.

        Raises:
            InvalidInputError: What is known is not one of the target's choices.
            ModelError: The model's answer is not finite.
        """
        ...


class ModelRef(Protocol):
    """What the registry says of a model."""

    @property
    def model_version(self) -> str:
        """Version, such as `v0003-1a2b3c4d`."""
        ...


class Registry(Protocol):
    """The model registry (see `trainer.registry.registry.Registry`)."""

    def champion(self) -> ModelRef | None:
        """Returns the model that is to serve, if there is one."""
        ...

    def fetch(self, model_version: str, cache: Path) -> Path:
        """Returns the folder of a model, copied to the cache and checked."""
        ...

    def models(self) -> Sequence[ModelRef]:
        """Returns every registered model."""
        ...

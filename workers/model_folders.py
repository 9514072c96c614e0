"""Finds the folder of the model that somebody means."""

from __future__ import annotations

from pathlib import Path

from data.errors import NotFoundError
from trainer.registry.registry import CHALLENGER, CHAMPION
from workers.assembly import registry
from workers.settings import Settings

CARD = "model.json"


def model_folder(settings: Settings, name: str) -> Path:
    """Returns the folder of a model; one that MLflow holds is fetched and verified.

    Args:
        settings: Where everything is.
        name: `champion`, `challenger`, the version of a registered model, or a model folder.

    Raises:
        NotFoundError: There is no such model.
        ModelError: What MLflow holds is not what was registered.
        ServiceUnavailableError: MLflow does not answer.
    """
    if (Path(name) / CARD).is_file():
        return Path(name)
    models = registry(settings)
    if name in (CHAMPION, CHALLENGER):
        found = models.champion() if name == CHAMPION else models.challenger()
        if found is None:
            raise NotFoundError(f"There is no {name} yet.")
        name = found.model_version
    return models.fetch(name, settings.cache / "models")

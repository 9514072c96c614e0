"""What MLServer, the inference server of Seldon and KServe, reads beside an exported model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.model.card import ModelCard

SETTINGS = "model-settings.json"
RUNTIME = "mlserver_mlflow.MLflowRuntime"
"""Of the distribution mlserver-mlflow; it loads the folder as MLflow's own server does."""


def write_settings(card: ModelCard, folder: Path) -> None:
    """Writes the settings with which `mlserver start FOLDER` serves the folder as it is.

    The model is called like its task, so that a client's address outlives the versions.

    Args:
        card: Of the model.
        folder: With the model's MLflow flavour.

    Raises:
        OSError: The folder cannot be written.
    """
    settings = {
        "name": card.task,
        "implementation": RUNTIME,
        # MLServer reads a relative path as one from the folder that holds the settings.
        "parameters": {"uri": ".", "version": card.model_version},
    }
    (folder / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

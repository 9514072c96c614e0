"""Makes a model folder one that MLflow's server and MLServer can run, too.

The weights and their JSON stay what they are; beside them come MLflow's `MLmodel`, its description
of the environment, and the few lines of Python that it runs. Nothing is pickled.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from data.atomic import storage_error
from data.errors import InvalidInputError
from trainer.pyfunc.mlserver import write_settings

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

    from trainer.model.card import ModelCard

ENTRY = Path(__file__).with_name("entry.py")
OWN_CODE = ("data", "trainer")
"""Our packages that answer a request; an export carries them, for they are in no package index."""

REQUIREMENTS = (
    "mlflow",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "Pillow",
    "psutil",
    "pyyaml",
    "safetensors",
    "scipy",
    "timm",
    "torch",
    "torchvision",
)
"""Distributions that answering a request needs; pinned to what is installed here."""


def export(model: Path, folder: Path) -> ModelCard:
    """Writes a folder that `mlflow models serve` and MLServer run on a machine without Carpal.

    Args:
        model: A model folder.
        folder: What shall hold the result; must not be there yet.

    Returns:
        The model's card.

    Raises:
        InvalidInputError: The folder is there.
        ModelError: There is no whole model.
        StorageError: The folder cannot be written.
    """
    from trainer.model.files import CARD, WEIGHTS, check_model

    card = check_model(model)[0]
    if folder.exists():
        raise InvalidInputError(f"{folder} is there already: name another folder.")
    try:
        write_flavour(card, folder, with_code=True)
        write_settings(card, folder)
        for name in (WEIGHTS, CARD):
            shutil.copyfile(model / name, folder / name)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise storage_error(error, folder) from error
    return card


def write_flavour(card: ModelCard, folder: Path, with_code: bool) -> None:
    """Writes what MLflow needs beside the weights and their JSON.

    Args:
        card: Of the model.
        folder: Made; must not be there yet.
        with_code: With our own packages, for machines on which Carpal is not installed.

    Raises:
        OSError: The folder cannot be written.
    """
    with warnings.catch_warnings():
        # MLflow warns of its own type hints, and asks for an example film, which nobody has here.
        warnings.filterwarnings("ignore", ".*(type hint|input example)", UserWarning)
        _write_flavour(card, folder, with_code)


def _write_flavour(card: ModelCard, folder: Path, with_code: bool) -> None:
    import mlflow.pyfunc
    from mlflow.models import Model

    from trainer.pyfunc.pyfunc import DEVICE, FOLDER

    with tempfile.TemporaryDirectory() as scratch:
        mlflow.pyfunc.save_model(
            str(folder),
            python_model=str(ENTRY),
            code_paths=_own_code(Path(scratch)) if with_code else None,
            mlflow_model=Model(metadata=_facts(card)),
            signature=_signature(card),
            pip_requirements=requirements(),
            model_config={DEVICE: "auto"},
        )
    described = Model.load(str(folder))
    # The model folder is this folder: MLflow hands its path to `RadiographModel.load_context`.
    described.flavors[mlflow.pyfunc.FLAVOR_NAME] |= {
        "artifacts": {FOLDER: {"path": ".", "uri": "."}},
        "model_code_path": ENTRY.name,
    }
    described.save(str(folder / "MLmodel"))


def requirements() -> list[str]:
    """Returns what has to be installed to answer a request, pinned to the versions here.

    A build such as `2.9.0+cpu` is pinned without its build name, which no index lists.
    """
    return [f"{name}=={version(name).partition('+')[0]}" for name in REQUIREMENTS]


def _own_code(scratch: Path) -> list[str]:
    """Copies our packages without what Python has compiled, and returns where they are."""
    root = ENTRY.parents[2]
    for name in OWN_CODE:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / name, scratch / name, ignore=ignored)
    return [str(scratch / name) for name in OWN_CODE]


def _facts(card: ModelCard) -> dict[str, str]:
    return {
        "task": card.task,
        "model_version": card.model_version,
        "content_hash": card.content_hash,
        "dataset_version": card.dataset_version,
        **card.provenance,
    }


def _signature(card: ModelCard) -> ModelSignature:
    """Returns which columns come in and which go out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    from trainer.pyfunc.pyfunc import IMAGE, MASK, output_columns

    told: list[ColSpec | TensorSpec] = [ColSpec("string", IMAGE)]
    if card.needs_mask:
        told.append(ColSpec("string", MASK))
    if card.input:
        told.append(ColSpec("string", card.input, required=False))
    answered: list[ColSpec | TensorSpec] = [
        ColSpec(kind, name, required=name == "model") for name, kind in output_columns(card).items()
    ]
    return ModelSignature(inputs=Schema(told), outputs=Schema(answered))

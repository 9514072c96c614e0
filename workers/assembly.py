"""Builds, from the settings, the parts that jobs and commands work with.

Nothing here connects or computes beyond what its function's name says; heavy libraries (dvc,
mlflow, torch) are imported by the parts that need them, when they are built.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from data.domain import TaskSpec
from data.images.decoding import ImageLimits
from data.ledger.ledger import Ledger
from data.masks import MaskStore
from data.pool import Pool
from labeling_config.client import LabelStudio
from labeling_config.tasks import load_task
from workers.policy import RetrainPolicy
from workers.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from data.versions.history import VersionHistory
    from data.versions.repository import DatasetRepository
    from trainer.options import TrainOptions
    from trainer.registry.registry import Registry


@contextmanager
def open_ledger(settings: Settings) -> Iterator[Ledger]:
    """Opens the workspace's ledger and closes it at the end of the block."""
    ledger = Ledger.open(settings.ledger)
    try:
        yield ledger
    finally:
        ledger.close()


def image_limits(settings: Settings) -> ImageLimits:
    """Returns the limits under which images are read."""
    return ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)


def pool(settings: Settings) -> Pool:
    """Returns the pool of images."""
    return Pool(settings.pool, image_limits(settings))


def mask_store(settings: Settings) -> MaskStore:
    """Returns the hand masks by radiograph."""
    return MaskStore(settings.masks)


def task(settings: Settings) -> TaskSpec:
    """Returns the task that this workspace works on."""
    return load_task(settings.task)


def label_studio(settings: Settings) -> LabelStudio:
    """Returns a client of Label Studio."""
    return LabelStudio(settings.label_studio, settings.label_studio_token)


def dataset(settings: Settings, spec: TaskSpec) -> DatasetRepository:
    """Returns the dataset repository (git + DVC) of the workspace."""
    from data.versions.repository import DatasetRepository

    return DatasetRepository(
        settings.dataset,
        settings.pool,
        spec,
        settings.git_author,
        settings.dvc_remote,
        git_remote=settings.git_remote,
        branch=settings.dataset_branch,
        review=settings.review == "branch",
    )


def version_history(settings: Settings, spec: TaskSpec) -> VersionHistory:
    """Returns the dataset versions for reading, without what only writers need."""
    from data.versions.history import VersionHistory

    return VersionHistory(settings.dataset, settings.pool, spec, settings.git_author)


def registry(settings: Settings) -> Registry:
    """Returns the model registry; imports MLflow."""
    from trainer.registry.registry import Registry

    return Registry(settings.mlflow, task(settings).name)


def retrain_policy(settings: Settings) -> RetrainPolicy:
    """Returns when to train."""
    return RetrainPolicy(
        first_after=settings.retrain_first_after,
        after=settings.retrain_after,
        min_new=settings.retrain_min_new,
        max_wait_s=settings.retrain_max_wait_s,
        min_interval_s=settings.retrain_min_interval_s,
    )


def train_options(settings: Settings) -> TrainOptions:
    """Returns the training options: the defaults, the configured file, the device."""
    from trainer.options import TrainOptions

    if settings.train_config:
        options = TrainOptions.from_yaml(settings.train_config)
    else:
        options = TrainOptions()
    return options if settings.device == "auto" else replace(options, device=settings.device)

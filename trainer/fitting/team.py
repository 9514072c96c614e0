"""The processes that train one model together: who leads them, and what they tell each other.

The first process, rank 0, does everything that a single one would do; the others only compute
their share of each step and write nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

from data.errors import TrainingError
from trainer import torchvision_guard  # noqa: F401  (must come before lightning)
from trainer.options import TrainOptions

from lightning.fabric.plugins.environments.cluster_environment import (  # isort: skip
    ClusterEnvironment,
)
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment  # isort: skip
from lightning.fabric.plugins.environments.torchelastic import (  # isort: skip
    TorchElasticEnvironment,
)

PATIENCE = timedelta(hours=12)
"""How long the others wait for the first process, which may be preparing films meanwhile."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Team:
    """One process among those that train together.

    Attributes:
        rank: Its number, from 0; rank 0 leads.
        size: Processes on all hosts.
        local_rank: Its number on its host: that of its GPU.
        local_size: Processes on each host.
        meeting: Where they find each other: `env://`, `tcp://HOST:PORT` or `file://PATH`; empty
            for a process that trains alone.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    meeting: str = ""

    @property
    def leads(self) -> bool:
        """Whether this process prepares, judges, reports and saves."""
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """Returns where this process computes, for `TrainOptions.device`.

        Raises:
            TrainingError: There are fewer GPUs than processes.
        """
        if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
            return torch.device("cpu")
        if self.local_rank >= torch.cuda.device_count():
            raise TrainingError(
                f"{self.local_size} processes train on this host, but it has "
                f"{torch.cuda.device_count()} GPUs: lower devices."
            )
        return torch.device("cuda", self.local_rank)

    def share(self, value: T) -> T:
        """Returns what the first process has given; all processes call this at the same place."""
        if self.size == 1:
            return value
        box: list[Any] = [value]
        distributed.broadcast_object_list(box, device=torch.device("cpu"))
        given: T = box[0]
        return given

    @contextmanager
    def together(self) -> Iterator[None]:
        """Connects the processes for the time of a training.

        Raises:
            TrainingError: Another process of the training is gone.
        """
        if self.size == 1:
            yield
            return
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        try:
            distributed.init_process_group(
                backend, self.meeting, PATIENCE, rank=self.rank, world_size=self.size
            )
            yield
        except RuntimeError as error:
            if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
                raise
            raise TrainingError(f"Another process of this training is gone: {error}") from error
        finally:
            if distributed.is_initialized():
                distributed.destroy_process_group()


ALONE = Team()


def team_launched(options: TrainOptions) -> Team | None:
    """Returns this process's place where torchrun or srun has started several; None elsewhere.

    Raises:
        TrainingError: They are not as many as `devices` says.
    """
    if options.devices == 1:
        return None
    environment: ClusterEnvironment
    if TorchElasticEnvironment.detect():
        environment = TorchElasticEnvironment()
        meeting = "env://"
    elif SLURMEnvironment.detect():
        environment = SLURMEnvironment(auto_requeue=False)
        meeting = f"tcp://{environment.main_address}:{environment.main_port}"
    else:
        return None
    size = environment.world_size()
    local = options.devices or torch.cuda.device_count() or size
    if size % local:
        raise TrainingError(
            f"{size} processes were started together, but devices is {local}: start "
            f"{local} on each host."
        )
    if size == 1:
        return ALONE
    rank = environment.global_rank()
    return Team(rank, size, environment.local_rank(), local, meeting)


def processes_wanted(options: TrainOptions) -> int:
    """Returns how many processes shall train on this host.

    Raises:
        TrainingError: There are not so many GPUs.
    """
    gpus = 0 if options.device == "cpu" else torch.cuda.device_count()
    if gpus and options.devices > gpus:
        raise TrainingError(f"devices is {options.devices}, but this host has {gpus} GPUs.")
    return options.devices or max(gpus, 1)


class Placed(ClusterEnvironment):
    """Tells Lightning the place of a process in its team.

    Args:
        team: The place; the processes are connected already.
    """

    def __init__(self, team: Team) -> None:
        super().__init__()
        self._team = team

    @property
    def creates_processes_externally(self) -> bool:
        """They are all there already."""
        return True

    @property
    def main_address(self) -> str:
        """Not asked for: the processes are connected already."""
        return ""

    @property
    def main_port(self) -> int:
        """Not asked for, either."""
        return 0

    @staticmethod
    def detect() -> bool:
        """Never found by itself."""
        return False

    def world_size(self) -> int:
        """Processes on all hosts."""
        return self._team.size

    def set_world_size(self, size: int) -> None:
        """It is known."""

    def global_rank(self) -> int:
        """Number of this process."""
        return self._team.rank

    def set_global_rank(self, rank: int) -> None:
        """It is known."""

    def local_rank(self) -> int:
        """Its number on its host."""
        return self._team.local_rank

    def node_rank(self) -> int:
        """Number of its host."""
        return self._team.rank // self._team.local_size

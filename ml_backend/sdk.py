"""The class shape of Label Studio's ML SDK 2.x, from the SDK where it is installed.

The SDK is not on PyPI in a version that works beside a maintained Flask, so it is no dependency.
Where somebody has it, `CarpalModel` is a true subclass of its base class and mounts in its server;
everywhere else the same few names are these.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or find_spec("label_studio_ml") is None:

    class LabelStudioMLBase:
        """What a model class of the SDK inherits: a project, its configuration, small facts.

        Args:
            project_id: Label Studio project.
            label_config: The project's labelling configuration (XML).
        """

        def __init__(self, project_id: str | None = None, label_config: str | None = None) -> None:
            self.project_id = project_id or ""
            self._facts: dict[str, str] = {}
            if label_config is not None:
                self.use_label_config(label_config)
            self.setup()

        def setup(self) -> None:
            """Called at the end of `__init__`."""

        def use_label_config(self, label_config: str) -> None:
            """Takes the project's labelling configuration."""
            self.set("label_config", label_config)

        def get(self, key: str) -> str | None:
            """Returns a fact that `set` has kept."""
            return self._facts.get(key)

        def set(self, key: str, value: str) -> None:
            """Keeps a fact for the life of this object."""
            self._facts[key] = value

    @dataclass
    class ModelResponse:
        """The predictions for a batch of tasks.

        Attributes:
            model_version: The version that made them.
            predictions: One per task, in order; an empty list where there is none.
        """

        model_version: str | None
        predictions: list[dict[str, Any] | list[dict[str, Any]]]

else:
    from label_studio_ml.model import LabelStudioMLBase
    from label_studio_ml.response import ModelResponse

__all__ = ["LabelStudioMLBase", "ModelResponse"]

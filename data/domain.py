"""The nouns of Carpal: frozen dataclasses over the standard library, and nothing else.

Ages are months, sizes are pixels, times are UTC, probabilities and scores lie in 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal, TypeAlias

Value: TypeAlias = float | str
"""What a reader or a model says of one target: a number, or the name of a choice."""

GateMetric: TypeAlias = Literal["error", "log_loss"]
"""What the gate holds against its margins, see `GateRule.metric`."""

REFERENCE_READER = "reference"
"""The reader of values that a source delivers as its reference standard."""


class Split(StrEnum):
    """The part of the dataset that a patient belongs to for ever."""

    TRAIN = "train"
    CALIBRATION = "calibration"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Target:
    """One thing that a task asks for: a number or a choice.

    Attributes:
        name: Column in `labels.csv`, head of the model, `from_name` in Label Studio.
        kind: `number` is regressed, `choice` is classified (exactly one of `choices`).
        unit: Unit of a number, such as `months`; empty for a choice.
        minimum: Lowest number that may be entered; None for a choice.
        maximum: Highest number that may be entered; None for a choice.
        choices: Names of the classes, in the order of the model's outputs; empty for a number.
        tolerance: Readings of a number this near agree (in `unit`); None for a choice.
        applies_when: (other target, its value) without which this target means nothing, or None.
        loss_weight: Weight of this head in the training loss, > 0.
    """

    name: str
    kind: Literal["number", "choice"]
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    tolerance: float | None = None
    applies_when: tuple[str, str] | None = None
    loss_weight: float = 1.0


@dataclass(frozen=True, slots=True)
class GateRule:
    """When a new model may replace the champion, judged on the frozen test split.

    Attributes:
        target: The target whose error decides.
        margin: The new model's mean error may exceed the champion's by less than this (upper end
            of the paired bootstrap interval; unit of the target or, of a choice, of `metric`).
        band_margin: The same within each band.
        band_edges: Edges of the bands of the true value, ascending; n edges make n - 1 bands.
            Empty for a choice: each true choice is a band.
        band_by: A choice target that splits each band further (sex), or None.
        min_band_cases: Bands with fewer test cases than this are reported and do not decide.
        metric: `error` is the absolute error of a number or the share of wrong answers of a
            choice; `log_loss`, only of a choice, is the mean -ln of the truth's probability.
    """

    target: str
    margin: float
    band_margin: float
    band_edges: tuple[float, ...]
    band_by: str | None = None
    min_band_cases: int = 15
    metric: GateMetric = "error"


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """Everything that follows from one folder `labeling_config/<task>/`.

    Attributes:
        name: Name of the folder.
        title: Title of the Label Studio project.
        image_tag: `name` of the `<Image>` tag, `to_name` of every result.
        image_key: Key of a Label Studio task's `data` that holds the image address.
        targets: In the order of the configuration.
        gate: When a model may take over.
        config_xml: The Label Studio labelling configuration, as it stands in the folder.
        input: The choice target that may be known before and helps to tell the numbers, or None.
        unreadable: The control by which a reader says that, and why, a radiograph cannot be read;
            its choices are the reasons. It is no target: nothing learns it. None: there is none.
    """

    name: str
    title: str
    image_tag: str
    image_key: str
    targets: tuple[Target, ...]
    gate: GateRule
    config_xml: str = field(repr=False)
    input: str | None = None
    unreadable: Target | None = None

    def target(self, name: str) -> Target:
        """Returns the target of that name; raises KeyError if the task has none."""
        for target in self.targets:
            if target.name == name:
                return target
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One image of the pool.

    Attributes:
        id: SHA-256 of the file's bytes, 64 hexadecimal digits.
        patient: Pseudonym of the patient: salted hash, 16 hexadecimal digits.
        split: The patient's split.
        source: Name of the source that it was imported from (`rsna`, `phantoms`, `folder`).
        path: The image file, relative to the pool.
        width: Pixels.
        height: Pixels.
        imported_at: UTC.
        metadata: Allowed facts of the source, such as `laterality`; nothing that identifies.
    """

    id: str
    patient: str
    split: Split
    source: str
    path: str
    width: int
    height: int
    imported_at: datetime
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reader said of one radiograph, as it stands now.

    Attributes:
        radiograph_id: See `Radiograph.id`.
        reader: Who read it: the reader's e-mail address, or `REFERENCE_READER`.
        values: Target name -> value; targets that were left out are absent.
        read_at: When it was submitted or last changed, UTC.
        annotation: `<project>:<annotation>` in Label Studio; empty for a reference.
        origin: Whether the reader accepted the model's values: `prediction` (all kept),
            `prediction-changed` (at least one changed) or `manual` (no prediction was shown).
        withdrawn: It was deleted or the radiograph was skipped: it no longer counts.
        lead_time_s: Seconds that the reader took, where known.
        unreadable: Why the reader cannot read the radiograph; there are no values then. Empty: it
            was read.
    """

    radiograph_id: str
    reader: str
    values: Mapping[str, Value]
    read_at: datetime
    annotation: str = ""
    origin: Literal["manual", "prediction", "prediction-changed"] = "manual"
    withdrawn: bool = False
    lead_time_s: float | None = None
    unreadable: str = ""


@dataclass(frozen=True, slots=True)
class LabelledRadiograph:
    """One row of a dataset version: a radiograph and what its readers agree on.

    Attributes:
        radiograph: The image.
        values: Target name -> consensus of the readings, or the reference where there is one.
        readers: Who read it, sorted.
        agreement: 0..1, share of the readings within tolerance of the consensus.
        reference: The values come from a source's reference standard.
        labelled_at: Time of the latest reading, UTC.
    """

    radiograph: Radiograph
    values: Mapping[str, Value]
    readers: tuple[str, ...]
    agreement: float
    reference: bool
    labelled_at: datetime


@dataclass(frozen=True, slots=True)
class Example:
    """What the trainer learns from: an image file and its values.

    Attributes:
        radiograph_id: See `Radiograph.id`.
        path: The image file.
        values: Target name -> value; an absent target trains nothing.
        split: Which part it belongs to.
        weight: Weight in the loss, > 0: how far the label's readers agree.
        mask: Image that is white where the hand is, or None where there is none.
        patient: See `Radiograph.patient`; empty: the radiograph is the patient's only one.
    """

    radiograph_id: str
    path: Path
    values: Mapping[str, Value]
    split: Split
    weight: float = 1.0
    mask: Path | None = None
    patient: str = ""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one model version says of one radiograph.

    Attributes:
        radiograph_id: See `Radiograph.id`.
        model_version: Version of the model, such as `v0003-1a2b3c4d`.
        values: Target name -> value.
        intervals: Number target -> (low, high), covering the truth with probability `coverage`.
        probabilities: Choice target -> choice -> probability, summing to 1.
        confidence: 0..1; the lower, the more is learnt from labelling this radiograph.
        coverage: Promised coverage of the intervals, 0..1.
        used: Choice target whose value was fed to the numbers -> that value, such as the sex.
        predicted_inputs: Of `used`, those that the model had to predict itself.
        novelty: Distance of the film from those learnt, in units of the distance that 99 % of the
            calibration films keep: above 1 it is unlike them. None: not known.
    """

    radiograph_id: str
    model_version: str
    values: Mapping[str, Value]
    intervals: Mapping[str, tuple[float, float]]
    probabilities: Mapping[str, Mapping[str, float]]
    confidence: float
    coverage: float = 0.9
    used: Mapping[str, str] = field(default_factory=dict)
    predicted_inputs: tuple[str, ...] = ()
    novelty: float | None = None


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """One committed state of the dataset.

    Attributes:
        name: `v0001`, `v0002`, ...; also the git tag.
        commit: git commit, 40 hexadecimal digits.
        labels: Rows in `labels.csv`.
        expert_labels: Rows whose values come from readers, not from a source's reference.
        last_event: Sequence number of the last ledger event that it contains.
        committed_at: UTC.
    """

    name: str
    commit: str
    labels: int
    expert_labels: int
    last_event: int
    committed_at: datetime

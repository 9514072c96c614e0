"""One training: its members one after the other, then what calibrates them together."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from data.atomic import write_file
from data.domain import Example, TaskSpec, Value
from data.errors import TrainingError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits
from trainer.answers.answering import answer, views_of_card
from trainer.answers.calibration import Calibration, calibrate
from trainer.answers.ensemble import members_of
from trainer.answers.inference import run
from trainer.answers.novelty import FIT_CASES, fit_familiar, usual_distance
from trainer.evaluation.bands import bands_of
from trainer.fitting.cases import Cases
from trainer.fitting.course import EpochReport
from trainer.fitting.fitting import CHECKPOINT, fit
from trainer.fitting.planning import PLAN, share_of_time
from trainer.fitting.team import ALONE, Team
from trainer.inputs.pixels import Film, preparation_id, preparation_of
from trainer.inputs.targets import counted, encode, encode_known, fit_norms, trained_targets
from trainer.inputs.training_data import TrainingData, gather
from trainer.model.card import Member, ModelCard, library_versions
from trainer.model.files import Part
from trainer.network.first_weights import Sources, first_weights
from trainer.network.network import Network
from trainer.options import TrainOptions

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """What a training may start from, beside its examples.

    Attributes:
        champion: Folder of the model that serves, for `start: champion`; None: there is none.
        pool: Radiographs without labels, for `start: self_supervised`; none of the test split.
    """

    champion: Path | None = None
    pool: Sequence[Film] = ()


@dataclass(frozen=True, slots=True)
class Trained:
    """A member that has been trained."""

    member: Member
    part: Part
    data: TrainingData
    history: tuple[EpochReport, ...]


@dataclass(slots=True)
class Training:
    """One call of `train`.

    Attributes:
        fitted_s: Seconds that the members so far were optimised for.
    """

    spec: TaskSpec
    examples: Sequence[Example]
    options: TrainOptions
    out: Path
    cache: Path | None
    start: Start
    device: torch.device
    progress: Callable[[EpochReport], None] | None
    team: Team = ALONE
    limits: ImageLimits = DEFAULT_LIMITS
    fitted_s: float = 0.0

    @property
    def work(self) -> Path:
        """Folder of what is lost only when the model is whole."""
        return self.out.with_name(f".{self.out.name}.work")

    def data(self, options: TrainOptions) -> TrainingData:
        """Returns the examples, with their pixels as a member sees them."""
        return gather(self.spec, self.examples, options, self.cache or self.work, self.limits)

    def new_card(self, dataset_version: str, provenance: Mapping[str, str]) -> ModelCard:
        """Returns the card of the model as far as it is known before the training."""
        targets = trained_targets(self.spec, self.options)
        every = members_of(self.options)
        data = self.data(every[0])
        norms = fit_norms(targets, [e.values for e in data.train])
        names = [target.name for target in targets]
        primary = self.spec.gate.target if self.spec.gate.target in names else names[0]
        fed = self.options.input_mode in ("input", "explicit") and self.spec.input in names
        bands = tuple(bands_of(self.spec)) if primary == self.spec.gate.target else ()
        return ModelCard(
            task=self.spec.name,
            targets=targets,
            primary=primary,
            input=self.spec.input if fed else None,
            options=self.options,
            members=tuple(Member(o, norms, preparation_of(o)) for o in every),
            bands=tuple(b for b in bands if b.by is None or b.by[0] in names),
            calibration=Calibration(self.options.coverage),
            preparation_code=preparation_id(),
            dataset_version=dataset_version,
            provenance={**provenance, **data.provenance()},
            libraries=library_versions(),
            counts=data.counts(),
        )

    def member(self, card: ModelCard, number: int) -> Trained:
        """Trains one member."""
        member = card.members[number]
        data, work = self.data(member.options), self.work / f"member{number}"
        sources = Sources(
            self.start.champion,
            self.start.pool,
            self.cache or work,
            self.device,
            log.info,
            self.limits,
        )
        network, started_from = first_weights(card, number, data, sources)
        _keep_only_own_checkpoint(work, card, number, data, started_from)
        options = member.options if started_from else replace(member.options, frozen=0)
        fitted = fit(
            network,
            card.heads(member),
            _cases(card, member, data),
            share_of_time(options, self.fitted_s, len(card.members) - number),
            self.device,
            work,
            self._validator(card, member, data),
            self.progress,
            self.team,
        )
        self.fitted_s += fitted.history[-1].seconds
        history = tuple(_epoch_json(report) for report in fitted.history)
        member = replace(member, started_from=started_from, history=history)
        part = self._familiarised(card, member, fitted.network.to(self.device), data)
        return Trained(member, part, data, fitted.history)

    def calibrated(self, card: ModelCard, trained: Sequence[Trained]) -> ModelCard:
        """Completes a card by what the calibration split says of the whole model."""
        cases = trained[0].data.calibration
        squares = [t.data.squares(cases) for t in trained]

        def fitted(known: Sequence[Mapping[str, str]] | None) -> Calibration:
            answers = answer(
                [t.part for t in trained], card, squares, self.device, known, views_of_card(card)
            )
            truths = [e.values for e in cases]
            made = calibrate(card.targets, answers.raw, truths, self.options, answers.grouping)
            usual = tuple(usual_distance(column) for column in answers.distances.T)
            return replace(made, usual_distance=usual)

        calibration = fitted(_known(card, cases))
        if card.input is not None:
            withheld = replace(fitted(None), usual_distance=())
            calibration = replace(calibration, withheld=withheld)
        return replace(card, calibration=calibration)

    def _familiarised(
        self, card: ModelCard, member: Member, network: Network, data: TrainingData
    ) -> Part:
        """Fits what the model finds familiar to the films that it has learnt from."""
        step = -(-len(data.train) // FIT_CASES)
        squares = data.squares(data.train[::step])
        raw = run(network, card.heads(member), squares, self.device)
        return Part(network, fit_familiar(raw.features, squares, member.options.flip))

    def _validator(
        self, card: ModelCard, member: Member, data: TrainingData
    ) -> Callable[[Network], float] | None:
        """Makes the function that measures the primary target on the held-out images, if any."""
        if not data.validation:
            if self.options.folds or self.options.validation_share:
                log.warning("None of so few images is held out: the last epoch is kept.")
            return None
        primary = next(target for target in card.targets if target.name == card.primary)
        cases = [e for e in data.validation if counted(primary, e.values) is not None]
        if not cases:
            raise TrainingError(
                f"No held-out image has a label for {primary.name}: hold out more "
                "(validation_share, folds), or none."
            )
        squares, heads = data.squares(cases), card.heads(member)
        fed = encode_known(card.input_target, _known(card, cases))
        truths = [e.values[primary.name] for e in cases]

        def error(network: Network) -> float:
            raw = run(network.to(self.device), heads, squares, self.device, fed)
            if primary.kind == "number":
                centre, _ = raw.numbers[primary.name]
                return float(np.abs(centre - np.asarray(truths, np.float64)).mean())
            answers = raw.logits[primary.name].argmax(1)
            return float(
                np.mean([primary.choices[a] != t for a, t in zip(answers, truths, strict=True)])
            )

        return error


def _cases(card: ModelCard, member: Member, data: TrainingData) -> Cases:
    values = [e.values for e in data.train]
    agreed = member.options.label_weights == "agreement"
    return Cases(
        data.pixels,
        data.row_numbers(data.train),
        encode(card.targets, values, member.norms),
        np.asarray([e.weight if agreed else 1.0 for e in data.train], np.float32),
        encode_known(card.input_target, _known(card, data.train)),
    )


def _known(card: ModelCard, cases: Sequence[Example]) -> list[dict[str, str]]:
    """Returns the known input of each case, as its label says it."""
    return [
        {name: str(value) for name, value in e.values.items() if name == card.input} for e in cases
    ]


def _keep_only_own_checkpoint(
    work: Path, card: ModelCard, number: int, data: TrainingData, started_from: str
) -> None:
    """Deletes the checkpoint of a training that differed in anything that matters."""
    examples: list[tuple[str, dict[str, Value], float]] = [
        (e.radiograph_id, dict(e.values), e.weight) for e in [*data.train, *data.validation]
    ]
    text = json.dumps([card.to_json(), number, started_from, examples], sort_keys=True)
    own = hashlib.sha256(text.encode()).hexdigest().encode()
    mark = work / "training"
    if not mark.exists() or mark.read_bytes() != own:
        for name in (CHECKPOINT, PLAN):
            (work / name).unlink(missing_ok=True)
        write_file(mark, own, sync=False)


def _epoch_json(report: EpochReport) -> dict[str, float]:
    """What the model keeps of an epoch: no times, so equal trainings give equal models."""
    row: dict[str, float] = {"epoch": report.epoch, "loss": report.loss}
    if report.validation_error is not None:
        row["validation_error"] = report.validation_error
    return row

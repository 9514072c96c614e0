from __future__ import annotations

import json
import logging
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.domain import Example, Split
from data.errors import TrainingError
from data.images.decoding import ImageLimits, encode_png
from tests.unit.trainer.cases import BONE_AGE, QUICK, easy_examples
from trainer import train as training
from trainer.evaluation.evaluation import evaluate
from trainer.fitting import course
from trainer.fitting.cases import Cases
from trainer.fitting.course import EpochReport
from trainer.fitting.fitting import CHECKPOINT
from trainer.inputs.training_data import is_held_out
from trainer.model.files import WEIGHTS, load_model
from trainer.network.network import Network
from trainer.options import TrainOptions
from trainer.predictor import Predictor
from trainer.train import TrainedModel, train
from trainer.training import Start

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    return easy_examples(tmp_path_factory.mktemp("images"), train=24, calibration=12, test=4)


def hand_mask(path: Path, side: int) -> Path:
    mask = np.zeros((48, 48), np.uint8)
    mask[4 : 4 + side, 8 : 8 + side] = 255
    path.write_bytes(encode_png(mask))
    return path


@pytest.fixture(scope="module")
def masked(examples: list[Example], tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    """The same examples with a hand mask each."""
    folder = tmp_path_factory.mktemp("masks")
    return [
        replace(e, mask=hand_mask(folder / f"{e.radiograph_id}.png", 20 + i % 12))
        for i, e in enumerate(examples)
    ]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run(tmp_path: Path, examples: list[Example], cache: Path) -> Any:
    """Trains on the easy examples; keyword arguments replace those of `train`."""

    def call(options: TrainOptions = QUICK, name: str = "model", **changes: Any) -> TrainedModel:
        arguments = {"dataset_version": "v0001", "cache": cache} | changes
        data = arguments.pop("examples", examples)
        spec = arguments.pop("spec", BONE_AGE)
        return train(spec, data, options, tmp_path / name, **arguments)

    return call


def network_of(model: TrainedModel) -> Network:
    (part,), _ = load_model(model.folder)
    return part.network


def weights(model: TrainedModel) -> bytes:
    return (model.folder / WEIGHTS).read_bytes()


def test_a_model_learns_what_the_images_show(tmp_path: Path) -> None:
    data = easy_examples(tmp_path, train=64, calibration=30, test=40, seed=5)
    options = replace(QUICK, min_steps=240)

    model = train(BONE_AGE, data, options, tmp_path / "model", dataset_version="v0001")

    tests = [e for e in data if e.split is Split.TEST]
    told, _ = Predictor.load(model.folder, "cpu").predict_files(
        [(e.radiograph_id, e.path) for e in tests]
    )
    result = evaluate(
        BONE_AGE,
        {p.radiograph_id: p for p in told},
        {e.radiograph_id: e.values for e in tests},
        [e.values for e in data if e.split is Split.TRAIN],
    )
    assert result.mae < result.baseline_mae / 3
    assert result.choices["sex"].accuracy > 0.9
    assert result.main.coverage > 0.75


def test_the_same_training_gives_the_same_model(run: Any) -> None:
    one, other = run(name="a"), run(name="b")

    assert one.model_version == other.model_version
    assert weights(one) == weights(other)


def test_a_training_does_not_touch_the_randomness_of_its_process(run: Any) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)

    run()

    assert torch.equal(torch.rand(3), expected)


def test_test_examples_are_not_looked_at(run: Any, examples: list[Example]) -> None:
    absent = [
        replace(e, path=Path("/nowhere.png")) if e.split is Split.TEST else e for e in examples
    ]

    assert run(examples=absent, name="a").model_version == run(name="b").model_version


def test_calibration_examples_train_nothing(run: Any, examples: list[Example]) -> None:
    others = [
        replace(e, values={"age_months": 1.0, "sex": "male"}) if e.split is Split.CALIBRATION else e
        for e in examples
    ]

    one, other = run(name="a"), run(examples=others, name="b")

    assert weights(one) == weights(other)
    assert one.model_version != other.model_version


def test_the_order_of_the_examples_does_not_matter(run: Any, examples: list[Example]) -> None:
    assert weights(run(examples=examples[::-1], name="a")) == weights(run(name="b"))


def test_films_without_a_mask_are_left_out_and_counted(
    run: Any, masked: list[Example], caplog: pytest.LogCaptureFixture
) -> None:
    some = [replace(e, mask=None) if i < 3 else e for i, e in enumerate(masked)]

    model = run(replace(QUICK, crop="mask"), examples=some)

    assert set(model.skipped) == {e.radiograph_id for e in masked[:3]}
    assert model.counts["train"] == 21
    assert "3 of 36 radiographs have no hand mask" in caplog.text


def test_without_any_mask_a_training_with_masks_says_why_it_does_not_start(
    run: Any, examples: list[Example]
) -> None:
    with pytest.raises(TrainingError, match=r"0 labelled .* 36 were left out: .* no hand mask"):
        run(replace(QUICK, crop="mask"), examples=examples)


def test_the_model_says_which_masks_it_learnt_with(
    run: Any, masked: list[Example], tmp_path: Path
) -> None:
    options = replace(QUICK, background="remove")
    other = [replace(masked[0], mask=hand_mask(tmp_path / "other.png", 30)), *masked[1:]]

    cards = [
        load_model(run(options, name=name, examples=data).folder)[1]
        for name, data in (("a", masked), ("b", masked), ("c", other))
    ]

    assert cards[0].provenance["masks"] == cards[1].provenance["masks"]
    assert cards[0].provenance["masks"] != cards[2].provenance["masks"]


def test_the_coverage_changes_the_intervals(run: Any) -> None:
    wide, narrow = (
        load_model(run(replace(QUICK, coverage=c), name=str(c)).folder)[1].calibration
        for c in (0.9, 0.5)
    )

    assert wide.quantiles["age_months"] > narrow.quantiles["age_months"]
    assert (wide.coverage, narrow.coverage) == (0.9, 0.5)


def test_a_model_that_is_fed_the_sex_is_calibrated_without_it_as_well(
    run: Any,
) -> None:
    spec = replace(BONE_AGE, input="sex")
    fed, unfed = replace(QUICK, input_mode="explicit", coverage=0.5), replace(QUICK, coverage=0.5)

    calibration, plain = (
        load_model(run(options, name=options.input_mode, spec=spec).folder)[1].calibration
        for options in (fed, unfed)
    )

    assert calibration.withheld is not None
    assert calibration.withheld.quantiles != calibration.quantiles
    assert calibration.withheld.temperatures == calibration.temperatures
    assert plain.withheld is None


def test_a_gpu_that_is_not_there_is_named(run: Any) -> None:
    with pytest.raises(TrainingError, match="cuda:63"):
        run(replace(QUICK, device="cuda:63"))


def test_time_that_is_up_ends_the_training_with_the_epoch(run: Any) -> None:
    model = run(replace(QUICK, epochs=50, max_seconds=1e-6))

    assert [report.epoch for report in model.history] == [1]


class Clock:
    """Time that passes only as it is told to, seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_the_members_of_an_ensemble_share_the_time(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(course, "time", clock)

    def pass_a_second(report: EpochReport) -> None:
        clock.now += 1.0

    # An epoch ends before its second has passed: the first of a member takes none.
    options = replace(QUICK, epochs=15, members="#0,#1", max_seconds=18.0)
    model = run(options, progress=pass_a_second)

    assert [report.epoch for report in model.history] == [*range(1, 11), *range(1, 11)]


def test_a_film_over_the_limits_is_left_out_by_name(run: Any, examples: list[Example]) -> None:
    large = replace(examples[0], radiograph_id="large", path=examples[0].path.with_name("large"))
    large.path.write_bytes(encode_png(np.zeros((64, 64), np.uint8)))

    model = run(examples=[*examples, large], limits=ImageLimits(10**6, 48 * 48))

    assert list(model.skipped) == ["large"]


@pytest.mark.parametrize("options", [{"folds": 5}, {"validation_share": 0.3}], ids=str)
def test_all_films_of_a_patient_are_held_out_or_none(
    examples: list[Example], options: dict[str, Any]
) -> None:
    films = [replace(e, patient=f"patient {i // 4}") for i, e in enumerate(examples[:24])]

    held_out = [is_held_out(film, replace(QUICK, **options)) for film in films]

    assert any(held_out) and not all(held_out)
    assert all(len(set(held_out[i : i + 4])) == 1 for i in range(0, 24, 4))


def test_progress_is_reported_epoch_by_epoch(run: Any) -> None:
    reports: list[EpochReport] = []

    model = run(replace(QUICK, epochs=3), progress=reports.append)

    assert [(r.epoch, r.epochs) for r in reports] == [(1, 3), (2, 3), (3, 3)]
    assert model.history == tuple(reports)
    assert all(np.isfinite(r.loss) for r in reports)


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"augment": 0.5, "flip": True, "dropout": 0.2}, id="augmentation, dropout"),
        pytest.param({"ema": 0.9, "accumulate": 2}, id="moving average, parts of a step"),
        pytest.param({"image_size": 48, "sizes": "32,48"}, id="sizes"),
        pytest.param(
            {"schedule": "plateau", "validation_share": 0.3, "loss_weights": "learned"},
            id="plateau, learned weights",
        ),
    ],
)
def test_a_killed_training_goes_on_and_ends_with_the_same_model(
    run: Any, change: dict[str, Any]
) -> None:
    options = replace(QUICK, epochs=6, checkpoint_s=0.0, **change)
    whole = run(options, name="whole")

    def kill(report: EpochReport) -> None:
        if report.epoch == 4:
            raise Killed

    with pytest.raises(Killed):
        run(options, name="resumed", progress=kill)
    seen: list[int] = []
    resumed = run(options, name="resumed", progress=lambda report: seen.append(report.epoch))

    assert seen == [4, 5, 6]
    assert resumed.model_version == whole.model_version
    assert [r.loss for r in resumed.history] == [r.loss for r in whole.history]


def test_ctrl_c_comes_through_and_does_so_again(run: Any) -> None:
    handler = signal.getsignal(signal.SIGINT)

    def stop(_report: EpochReport) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(progress=stop)
        assert signal.getsignal(signal.SIGINT) is handler


def test_a_request_to_end_is_none_to_stop_and_comes_through_as_such(run: Any) -> None:
    def end(_report: EpochReport) -> None:
        raise SystemExit(143)

    with pytest.raises(SystemExit):
        run(progress=end)


def test_a_checkpoint_of_another_training_is_not_taken_up(
    run: Any, examples: list[Example], tmp_path: Path
) -> None:
    options = replace(QUICK, epochs=3, checkpoint_s=0.0)

    def kill(report: EpochReport) -> None:
        if report.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        run(options, progress=kill)
    assert (tmp_path / ".model.work" / "member0" / CHECKPOINT).exists()
    seen: list[int] = []
    run(options, examples=examples[1:], progress=lambda report: seen.append(report.epoch))

    assert seen == [1, 2, 3]


def test_a_checkpoint_that_began_with_another_champion_is_not_taken_up(run: Any) -> None:
    first, second = run(name="first"), run(replace(QUICK, seed=1), name="second")
    options = replace(QUICK, start="champion", epochs=3, checkpoint_s=0.0)

    def kill(report: EpochReport) -> None:
        if report.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        run(options, start=Start(first.folder), progress=kill)
    seen: list[int] = []
    model = run(
        options, start=Start(second.folder), progress=lambda report: seen.append(report.epoch)
    )

    assert seen == [1, 2, 3]
    assert model.started_from == (second.model_version,)
    assert weights(model) == weights(run(options, name="whole", start=Start(second.folder)))


def test_nothing_but_the_model_is_left_behind(run: Any, tmp_path: Path) -> None:
    run(replace(QUICK, checkpoint_s=0.0, epochs=2))

    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_epoch_with_the_lowest_validation_error_is_kept(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The errors of five epochs; the weights of the third have to come back.
    errors = iter([30.0, 20.0, 10.0, 15.0, 40.0])
    seen: list[dict[str, torch.Tensor]] = []

    def validator(*_: Any) -> Any:
        def error(network: Any) -> float:
            seen.append({k: v.clone() for k, v in network.state_dict().items()})
            return next(errors)

        return error

    monkeypatch.setattr(training.Training, "_validator", validator)
    model = run(replace(QUICK, epochs=5, validation_share=0.2))

    kept = network_of(model).state_dict()
    assert all(torch.equal(kept[name], seen[2][name]) for name in kept)
    assert [r.validation_error for r in model.history] == [30.0, 20.0, 10.0, 15.0, 40.0]


def test_the_validation_error_is_that_of_the_held_out_images_in_months(run: Any) -> None:
    model = run(replace(QUICK, epochs=2, validation_share=0.3))

    assert model.counts["validation"] > 0
    assert model.counts["train"] + model.counts["validation"] == 24
    assert all(0 < (r.validation_error or 0) < 240 for r in model.history)


def test_a_share_so_small_that_nothing_is_held_out_is_told(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model = run(replace(QUICK, epochs=2, validation_share=1e-9, patience=1))

    assert "None of so few images is held out" in caplog.text
    assert [r.validation_error for r in model.history] == [None, None]


def test_held_out_images_without_a_label_of_the_age_are_refused(
    run: Any, examples: list[Example]
) -> None:
    options = replace(QUICK, folds=3)
    unlabelled = [
        replace(e, values={"sex": e.values["sex"]}) if is_held_out(e, options) else e
        for e in examples
    ]

    with pytest.raises(TrainingError, match="No held-out image has a label for age_months"):
        run(options, examples=unlabelled)


def test_the_champions_weights_are_the_start_where_that_is_wished(run: Any) -> None:
    champion = run(name="champion")
    still = replace(QUICK, start="champion", learning_rate=1e-12, weight_decay=0.0)

    warm = run(still, name="warm", start=Start(champion.folder))
    cold = run(replace(still, start="scratch"), name="cold", start=Start(champion.folder))

    first = network_of(champion).state_dict()["heads.0.1.weight"]
    assert torch.allclose(network_of(warm).state_dict()["heads.0.1.weight"], first)
    assert not torch.allclose(network_of(cold).state_dict()["heads.0.1.weight"], first)
    assert (warm.started_from, cold.started_from) == ((champion.model_version,), ("",))


def test_frozen_stages_keep_the_champions_weights_and_batch_statistics(run: Any) -> None:
    champion = run(name="champion")
    options = replace(QUICK, start="champion", frozen=2, ema=0.9)

    model = run(options, name="model", start=Start(champion.folder))

    before, after = (network_of(m).backbone.state_dict() for m in (champion, model))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not [name for name in changed if name.startswith(("stem.", "stages.0."))]
    assert [name for name in changed if name.startswith("stages.1.")]


def test_nothing_is_frozen_where_the_first_weights_are_random(run: Any) -> None:
    free = run(replace(QUICK, start="champion"), name="free")
    frozen = run(replace(QUICK, start="champion", frozen=2), name="frozen")

    assert weights(frozen) == weights(free)


def test_a_champion_of_another_form_is_no_start(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    champion = run(name="champion")

    with caplog.at_level(logging.WARNING):
        model = run(
            replace(QUICK, start="champion", backbone="test_resnet"),
            name="new",
            start=Start(champion.folder),
        )

    assert model.started_from == ("",)
    assert "starts from scratch" in caplog.text


def test_every_head_learns(run: Any) -> None:
    before = run(replace(QUICK, learning_rate=1e-12, weight_decay=0.0), name="a")
    after = run(name="b")

    for head in (0, 1):
        one, other = (network_of(m).state_dict()[f"heads.{head}.1.weight"] for m in (before, after))
        assert not torch.allclose(one, other, atol=1e-4)


def test_a_head_of_weight_zero_is_refused(run: Any) -> None:
    age, sex = BONE_AGE.targets
    spec = replace(BONE_AGE, targets=(age, replace(sex, loss_weight=0.0)))

    with pytest.raises(TrainingError, match="would never train"):
        run(spec=spec)


def test_a_choice_of_one_is_refused(run: Any) -> None:
    age, sex = BONE_AGE.targets
    spec = replace(BONE_AGE, targets=(age, replace(sex, choices=("male",))))

    with pytest.raises(TrainingError, match="fewer than two choices"):
        run(spec=spec)


def test_labels_of_one_sex_only_are_refused(run: Any, examples: list[Example]) -> None:
    girls = [replace(e, values={**e.values, "sex": "female"}) for e in examples]

    with pytest.raises(TrainingError, match="All 24 training labels of sex are female"):
        run(examples=girls)


@pytest.mark.parametrize("count", [0, 3])
def test_too_few_labels_are_refused(run: Any, examples: list[Example], count: int) -> None:
    with pytest.raises(TrainingError, match=f"There are {count} labelled training images"):
        run(examples=examples[:count])


def test_a_loss_that_is_not_finite_ends_the_training(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = torch.tensor(float("nan"), requires_grad=True)
    monkeypatch.setattr("trainer.network.losses.Loss.forward", lambda *_: nothing)

    with pytest.raises(TrainingError, match="no longer finite in epoch 1"):
        run()


def test_an_unreadable_image_is_left_out_by_name(
    run: Any, examples: list[Example], tmp_path: Path
) -> None:
    broken = replace(examples[0], radiograph_id="b" * 64, path=tmp_path / "absent.png")

    model = run(examples=[broken, *examples[1:]])

    assert list(model.skipped) == ["b" * 64]
    assert model.counts["train"] == 23


def test_a_label_that_is_partly_missing_trains_the_other_target(
    run: Any, examples: list[Example]
) -> None:
    partial = [replace(e, values={"age_months": e.values["age_months"]}) for e in examples[:8]]

    assert run(examples=[*partial, *examples[8:]]).counts["train"] == 24


def test_a_backbone_that_timm_does_not_have_is_named(run: Any) -> None:
    with pytest.raises(TrainingError, match="resnet_of_nowhere"):
        run(replace(QUICK, backbone="resnet_of_nowhere"))


def test_a_backbone_from_elsewhere_is_refused(run: Any) -> None:
    with pytest.raises(TrainingError, match="plain name"):
        run(replace(QUICK, backbone="hf-hub:someone/model"))


def test_a_backbone_that_cannot_see_such_images_is_refused(run: Any) -> None:
    with pytest.raises(TrainingError, match="32 x 32"):
        run(replace(QUICK, backbone="test_vit3"))


def test_the_result_is_plain_json(run: Any) -> None:
    model = run()

    assert json.loads(json.dumps(model.to_json()))["model_version"] == model.model_version


def test_lightnings_loggers_speak_as_before_afterwards(run: Any) -> None:
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level

    run()

    assert logger.level == before


def test_every_step_draws_its_own_changes(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []

    def unchanged(pixels: Any, ranges: Any, generator: torch.Generator, size: int) -> Any:
        seeds.append(generator.initial_seed())
        return pixels

    monkeypatch.setattr("trainer.fitting.learner.augment", unchanged)
    run(replace(QUICK, epochs=3))

    assert len(seeds) == len(set(seeds)) == 9


def test_every_epoch_has_its_own_order(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[tuple[int, ...]] = []
    fetch = Cases.__getitems__

    def noted(self: Cases, indices: Sequence[int]) -> Any:
        batches.append(tuple(indices))
        return fetch(self, indices)

    monkeypatch.setattr(Cases, "__getitems__", noted)
    run(replace(QUICK, epochs=2))

    first, second = batches[:3], batches[3:]
    assert sorted(sum(first, ())) == sorted(sum(second, ())) == list(range(24))
    assert first != second

"""A task's two files become one description, or one sentence that says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.domain import GateRule, Target, TaskSpec
from data.errors import TaskConfigError
from labeling_config.tasks import load_task, task_names
from tests.unit.labeling_config.cases import CONFIG, TASK, effusion, task_folder


def test_bone_age_asks_for_months_and_sex() -> None:
    spec = load_task("bone_age")

    assert "bone_age" in task_names()
    assert (spec.name, spec.title, spec.image_tag, spec.image_key) == (
        "bone_age",
        "Bone age",
        "image",
        "image",
    )
    age, sex = spec.targets
    assert (age.name, age.kind, age.unit, age.minimum, age.maximum) == (
        "age_months",
        "number",
        "months",
        0.0,
        240.0,
    )
    assert (sex.name, sex.kind, sex.choices) == ("sex", "choice", ("female", "male"))


def test_bone_age_asks_why_a_film_cannot_be_read_and_learns_nothing_from_it() -> None:
    spec = load_task("bone_age")

    assert spec.unreadable is not None
    assert spec.unreadable.choices == (
        *("not a left hand", "position", "exposure"),
        *("part missing", "implant or fracture", "other"),
    )
    assert [target.name for target in spec.targets] == ["age_months", "sex"]


REASONS = """<Choices name="aside" toName="film">
    <Choice value="dark"/><Choice value="torn"/>
  </Choices>
  <View visibleWhen="choice-unselected" whenTagName="aside"><Header value="Depth"/></View>
  <View visibleWhen="choice-selected" whenTagName="aside"><Header value="Put aside"/></View>
</View>"""


def with_reasons(tmp_path: Path, first_line: str) -> TaskSpec:
    config = CONFIG.removesuffix("</View>") + REASONS
    return load_task(task_folder(tmp_path, config, first_line + TASK))


def test_any_choices_may_hold_the_reasons_why_a_film_cannot_be_read(tmp_path: Path) -> None:
    spec = with_reasons(tmp_path, 'unreadable = "aside"\n')

    assert spec.unreadable == Target("aside", "choice", choices=("dark", "torn"))
    assert "aside" not in {target.name for target in spec.targets}


@pytest.mark.parametrize(
    ("first_line", "said"),
    [
        ("", "unreadable must be 'aside'"),
        ('unreadable = "depth"\n', "unreadable must be 'aside'"),
        ('unreadable = "finding"\n', "unreadable must be 'aside'"),
    ],
    ids=["not named", "a number", "another choice"],
)
def test_only_the_reasons_may_hide_other_controls(
    tmp_path: Path, first_line: str, said: str
) -> None:
    with pytest.raises(TaskConfigError, match=said):
        with_reasons(tmp_path, first_line)


def test_reasons_are_choices(tmp_path: Path) -> None:
    folder = task_folder(tmp_path, task='unreadable = "depth"\n' + TASK)

    with pytest.raises(TaskConfigError, match="unreadable must name a <Choices>"):
        load_task(folder)


def test_bone_age_promises_its_gate_in_months() -> None:
    assert load_task("bone_age").gate == GateRule(
        target="age_months",
        margin=1.0,
        band_margin=6.0,
        band_edges=(0.0, 48.0, 96.0, 144.0, 192.0, 240.0),
        band_by="sex",
        min_band_cases=15,
    )


def test_a_new_task_is_a_new_folder_and_no_new_code(tmp_path: Path) -> None:
    spec = effusion(tmp_path)

    assert (spec.name, spec.image_tag, spec.image_key) == ("effusion", "film", "picture")
    assert spec.targets == (
        Target("finding", "choice", choices=("normal", "effusion"), loss_weight=2.0),
        Target("side", "choice", choices=("left", "r"), applies_when=("finding", "effusion")),
        Target("depth", "number", unit="cm", minimum=-1.0, maximum=9.5, tolerance=0.5),
    )
    assert spec.gate.band_by is None


def test_a_target_is_found_by_its_name(tmp_path: Path) -> None:
    assert effusion(tmp_path).target("side").choices == ("left", "r")


EDGES = "band_edges = [-1, 2.5, 9.5]\n"
OF_DEPTH = 'target = "depth"\nmargin = 0.2\nband_margin = 1.0\n' + EDGES


def gate_of(tmp_path: Path, gate: str) -> GateRule:
    assert OF_DEPTH in TASK
    return load_task(task_folder(tmp_path, task=TASK.replace(OF_DEPTH, gate))).gate


@pytest.mark.parametrize("metric", ["error", "log_loss"])
def test_a_gate_may_judge_a_choice(tmp_path: Path, metric: str) -> None:
    gate = gate_of(
        tmp_path,
        f'target = "finding"\nmetric = "{metric}"\nmargin = 0.02\nband_margin = 0.05\n'
        'band_by = "side"\n',
    )

    assert gate == GateRule("finding", 0.02, 0.05, (), "side", metric=metric)  # type: ignore[arg-type]


def test_a_gate_on_a_choice_counts_wrong_answers_unless_it_says_otherwise(tmp_path: Path) -> None:
    gate = gate_of(tmp_path, 'target = "finding"\nmargin = 0.02\nband_margin = 0.05\n')

    assert gate.metric == "error"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("margin = 2\nband_margin = 0.05", "margin is a share of answers"),
        ("margin = 0.02\nband_margin = 5", "band_margin is a share of answers"),
        ('margin = 0.02\nband_margin = 0.05\nband_by = "finding"', "another <Choices>"),
    ],
    ids=["percent", "percent in a band", "bands by itself"],
)
def test_a_gate_on_a_choice_that_contradicts_is_refused(
    tmp_path: Path, more: str, said: str
) -> None:
    with pytest.raises(TaskConfigError, match=said):
        gate_of(tmp_path, f'target = "finding"\n{more}\n')


def test_the_log_loss_may_exceed_1(tmp_path: Path) -> None:
    more = 'metric = "log_loss"\nmargin = 1.5\nband_margin = 2.0\n'

    assert gate_of(tmp_path, f'target = "finding"\n{more}').margin == 1.5


BROKEN_CONFIG = {
    "no XML": ("<View>", "<Vieww>", "not well-formed"),
    "two images": ('name="film" value', 'name="other" value', "not one <Image>"),
    "image without key": ('value="$picture"', 'value="picture.png"', 'value="$key"'),
    "number without range": (' min="-1"', "", "min and max"),
    "range upside down": ('min="-1"', 'min="20"', "min below max"),
    "range of no numbers": ('min="-1"', 'min="low"', 'min="low"'),
    "step of zero": ('max="9.5"', 'max="9.5" step="0"', "step above 0"),
    "many choices at once": ('choice="single">', 'choice="multiple">', "single"),
    "choice given twice": ('value="normal"', 'value="effusion"', "different choices"),
    "control without name": ('name="depth" ', "", "without a name"),
    "name given twice": ('name="side"', 'name="finding"', "two controls called 'finding'"),
    "rectangle": ("<Number ", '<RectangleLabels name="b" toName="film"/><Number ', "Rectangle"),
    "column of labels.csv": ('name="side"', 'name="split"', "cannot be a column"),
    "capitals": ('name="side"', 'name="Side"', "small letters"),
    "condition of another kind": ("choice-selected", "region-selected", "choice-selected"),
    "condition that cannot be": ('whenChoiceValue="effusion"', 'whenChoiceValue="x"', "cannot be"),
    "other owner": ('name="depth" toName="film"', 'name="depth" toName="x"', "one and the same"),
}


@pytest.mark.parametrize(("old", "new", "said"), BROKEN_CONFIG.values(), ids=BROKEN_CONFIG)
def test_a_broken_configuration_is_refused_in_one_sentence(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in CONFIG
    folder = task_folder(tmp_path, config=CONFIG.replace(old, new, 1))

    with pytest.raises(TaskConfigError) as caught:
        load_task(folder)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


BROKEN_TASK = {
    "no TOML": ("[gate]", "[gate", "not TOML"),
    "title missing": ('title = "Effusion"', "", "title must be a text"),
    "title too long for Label Studio": ("Effusion", "E" * 51, "3 to 50 characters"),
    "unknown key": ("title", "colour = 1\ntitle", "colour is not known"),
    "unknown target": ("[targets.finding]", "[targets.findings]", "targets.findings is no"),
    "target is no table": (
        "[targets.finding]\nloss_weight = 2.0",
        "[targets]\nfinding = 2.0",
        "targets.finding must be a table",
    ),
    "unit missing": ('unit = "cm"', "", "targets.depth.unit must be a text"),
    "tolerance missing": ("tolerance = 0.5", "", "targets.depth.tolerance must be a number"),
    "tolerance of zero": ("tolerance = 0.5", "tolerance = 0", "must be above 0"),
    "tolerance endless": ("tolerance = 0.5", "tolerance = inf", "must be finite"),
    "weight of a flag": ("loss_weight = 2.0", "loss_weight = true", "must be a number"),
    "choice with a unit": ("loss_weight = 2.0", 'unit = "cm"', "targets.finding.unit is not known"),
    "gate of a remark": ('target = "depth"', 'target = "remark"', "must name a <Number> or <Cho"),
    "gate of a choice within ranges": ('target = "depth"', 'target = "side"', "is of a <Number>"),
    "log loss of a number": ("margin = 0.2", 'margin = 0.2\nmetric = "log_loss"', "of a <Choices>"),
    "metric of no name": ("margin = 0.2", 'margin = 0.2\nmetric = "auc"', "must be 'error'"),
    "gate of nothing": ('target = "depth"', "", "gate.target must be a text"),
    "bands by a number": ("margin = 0.2", 'margin = 0.2\nband_by = "depth"', "name a <Choices>"),
    "bands in no order": ("[-1, 2.5, 9.5]", "[-1, 9.5, 2.5]", "must ascend"),
    "one edge": ("[-1, 2.5, 9.5]", "[2.5]", "two or more"),
    "edge of no number": ("[-1, 2.5, 9.5]", '[-1, "x", 9.5]', "must be a number"),
    "half a case": ("margin = 0.2", "margin = 0.2\nmin_band_cases = 1.5", "whole number"),
    "no margin": ("margin = 0.2", "margin = 0", "must be above 0"),
}


@pytest.mark.parametrize(("old", "new", "said"), BROKEN_TASK.values(), ids=BROKEN_TASK)
def test_a_task_file_that_contradicts_is_refused_in_one_sentence(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in TASK
    folder = task_folder(tmp_path, task=TASK.replace(old, new, 1))

    with pytest.raises(TaskConfigError) as caught:
        load_task(folder)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_entities_are_refused_before_they_are_expanded(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE View [<!ENTITY a "ha">]>' + CONFIG.replace("$picture", "&a;")

    with pytest.raises(TaskConfigError, match="document type"):
        load_task(task_folder(tmp_path, config=bomb))


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    folder = task_folder(tmp_path)
    (folder / "config.xml").write_bytes(b"<View>\xff</View>")

    with pytest.raises(TaskConfigError, match="UTF-8"):
        load_task(folder)


def test_an_unknown_task_names_those_that_exist() -> None:
    with pytest.raises(TaskConfigError, match=r"'shoe_size'.*bone_age"):
        load_task("shoe_size")


def test_a_folder_without_controls_is_no_task(tmp_path: Path) -> None:
    only_a_note = '<View><Image name="i" value="$i"/><TextArea name="n" toName="i"/></View>'

    with pytest.raises(TaskConfigError):
        load_task(task_folder(tmp_path, config=only_a_note, task='title = "Notes"'))

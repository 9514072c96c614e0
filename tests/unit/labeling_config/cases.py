"""A second task, with a target that only applies to some films, and task folders to break."""

from __future__ import annotations

from pathlib import Path

from data.domain import TaskSpec
from labeling_config.tasks import load_task

CONFIG = """<View>
  <Image name="film" value="$picture"/>
  <Choices name="finding" toName="film" choice="single">
    <Choice value="normal"/><Choice value="effusion"/>
  </Choices>
  <View visibleWhen="choice-selected" whenTagName="finding" whenChoiceValue="effusion">
    <Choices name="side" toName="film" choice="single-radio">
      <Choice value="left"/><Choice value="right" alias="r"/>
    </Choices>
  </View>
  <Number name="depth" toName="film" min="-1" max="9.5"/>
  <TextArea name="depth_model" toName="film"/>
  <TextArea name="remark" toName="film"/>
</View>"""
TASK = """title = "Effusion"
[targets.depth]
unit = "cm"
tolerance = 0.5
[targets.finding]
loss_weight = 2.0
[gate]
target = "depth"
margin = 0.2
band_margin = 1.0
band_edges = [-1, 2.5, 9.5]
"""


def task_folder(tmp_path: Path, config: str = CONFIG, task: str = TASK) -> Path:
    folder = tmp_path / "effusion"
    folder.mkdir()
    (folder / "config.xml").write_text(config, encoding="utf-8")
    (folder / "task.toml").write_text(task, encoding="utf-8")
    return folder


def effusion(tmp_path: Path) -> TaskSpec:
    return load_task(task_folder(tmp_path))

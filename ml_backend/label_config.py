"""Whether a Label Studio project asks what our task asks.

A project may explain more, ask for more or lay things out differently than the task's
`config.xml`. What counts is that every control of the task is there under its name, of its kind,
with its choices, so that each part of a prediction has a place.
"""

from __future__ import annotations

from functools import lru_cache
from xml.etree import ElementTree

from data.domain import TaskSpec
from data.errors import InvalidInputError
from labeling_config.layout import Control, read_layout

TAGS = {"number": "Number", "choice": "Choices", "note": "TextArea"}


@lru_cache(maxsize=16)
def check_label_config(spec: TaskSpec, label_config: str) -> None:
    """Does nothing if predictions of the task fit into a project with this configuration.

    Args:
        spec: Our task.
        label_config: The project's labelling configuration (XML).

    Raises:
        InvalidInputError: They do not fit; the sentence names the first difference.
    """
    try:
        # expat bounds the expansion of entities, and ElementTree opens no external ones.
        root = ElementTree.fromstring(label_config)  # noqa: S314
    except (ElementTree.ParseError, ValueError) as error:
        raise InvalidInputError(f"The labelling configuration is not XML: {error}.") from error
    tags = {tag.get("name"): tag for tag in root.iter() if tag.get("name")}
    image = tags.get(spec.image_tag)
    if image is None or image.tag != "Image":
        raise _differs(spec, f'has no <Image name="{spec.image_tag}">')
    for control in read_layout(spec.config_xml, spec.name).controls:
        _check_control(spec, control, tags.get(control.name))


def _check_control(spec: TaskSpec, control: Control, tag: ElementTree.Element | None) -> None:
    kind = TAGS[control.kind]
    if tag is None or tag.tag != kind or tag.get("toName") != spec.image_tag:
        raise _differs(spec, f'has no <{kind} name="{control.name}" toName="{spec.image_tag}">')
    choices = {choice.get("alias") or choice.get("value") for choice in tag.iter("Choice")}
    if choices != set(control.choices):
        offered = ", ".join(sorted(str(choice) for choice in choices))
        raise _differs(spec, f"offers other choices for {control.name!r}: {offered}")


def _differs(spec: TaskSpec, how: str) -> InvalidInputError:
    return InvalidInputError(
        f"This backend works on the task {spec.name!r}, and the labelling configuration {how}."
    )

"""What a labelling configuration (`config.xml`) asks for: its image and its controls.

Only what Carpal can learn from is accepted: `<Number>` and `<Choices>` that belong to one
`<Image>`, and `<TextArea>` as a note. A text area called `<target>_model` shows the expert how sure
the model is of that target, one called `model_version` which model it was. A `<Markdown>` with the
value `$standards` shows the reference cases beside the film.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NoReturn
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from data.errors import TaskConfigError

CONFIG_FILE = "config.xml"
MODEL_NOTE_SUFFIX = "_model"
MODEL_VERSION_NOTE = "model_version"
STANDARDS_KEY = "standards"
"""Key of a task's `data` that holds the reference cases to show beside the film, as HTML."""
SINGLE_CHOICE = frozenset({"single", "single-radio"})
_Kind = Literal["number", "choice", "note"]
_KINDS: dict[str, _Kind] = {"Number": "number", "Choices": "choice", "TextArea": "note"}
_Condition = tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Control:
    """One control of the configuration.

    Attributes:
        name: Its `name`; `from_name` in results.
        kind: `number` (`<Number>`), `choice` (`<Choices>`) or `note` (`<TextArea>`).
        minimum: Lowest number; None unless a number.
        maximum: Highest number; None unless a number.
        step: Numbers are multiples of this, counted from `minimum`; None: any number.
        choices: Names of the choices in order; empty unless a choice.
        applies_when: (other control, its value) that makes this one visible, or None.
    """

    name: str
    kind: _Kind
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    applies_when: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """A labelling configuration.

    Attributes:
        image_tag: `name` of the image that all controls belong to.
        image_key: Key of a Label Studio task's `data` that holds the image's address.
        controls: In the order of the configuration.
        hiding: Controls in which any choice hides others (`visibleWhen="choice-unselected"`).
        shows_standards: It has a place for the reference cases.
    """

    image_tag: str
    image_key: str
    controls: tuple[Control, ...]
    hiding: frozenset[str] = frozenset()
    shows_standards: bool = False

    def control(self, name: str) -> Control | None:
        """Returns the control of that name, or None."""
        return next((c for c in self.controls if c.name == name), None)


def read_layout(config_xml: str, task: str) -> Layout:
    """Reads a labelling configuration; external and declared entities are never resolved.

    Args:
        config_xml: The document.
        task: Name of the task, for error messages.

    Raises:
        TaskConfigError: It is no well-formed XML, declares a document type, or asks for something
            that Carpal cannot learn from.
    """
    root = _parse(config_xml, task)
    elements = list(_control_elements(root, None, task))
    controls = tuple(_control(e, condition, task) for e, condition in elements)
    names = [c.name for c in controls]
    for name in names:
        if names.count(name) > 1:
            _refuse(task, f"has two controls called '{name}'")
    image_tag, image_key = _image(root, {e.get("toName", "") for e, _ in elements}, task)
    unselected = (e for e in root.iter() if e.get("visibleWhen") == "choice-unselected")
    return Layout(
        image_tag,
        image_key,
        controls,
        hiding=frozenset(e.get("whenTagName", "") for e in unselected),
        shows_standards=any(e.get("value") == f"${STANDARDS_KEY}" for e in root.iter("Markdown")),
    )


class _NoDoctype(TreeBuilder):
    """Builds the tree, and refuses a DOCTYPE: without one there are no entities to expand."""

    def __init__(self, task: str) -> None:
        super().__init__()
        self._task = task

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        _refuse(self._task, "declares a document type (<!DOCTYPE>); remove it")


def _parse(config_xml: str, task: str) -> Element:
    parser = XMLParser(target=_NoDoctype(task))  # noqa: S314 no DOCTYPE, so no entities
    try:
        parser.feed(config_xml)
        root: Element = parser.close()
    except ParseError as error:
        raise TaskConfigError(f"{task}/{CONFIG_FILE} is not well-formed XML: {error}.") from error
    return root


def _image(root: Element, owners: set[str], task: str) -> tuple[str, str]:
    if len(owners) != 1:
        _refuse(task, "needs controls whose toName is one and the same <Image>")
    (owner,) = owners
    images = [e for e in root.iter("Image") if e.get("name") == owner]
    if len(images) != 1:
        _refuse(task, f'has controls with toName="{owner}" and not one <Image> of that name')
    value = images[0].get("value", "")
    if not value.startswith("$") or not value[1:].isidentifier():
        _refuse(task, f'needs value="$key" on <Image name="{owner}">, not "{value}"')
    return owner, value[1:]


def _control_elements(
    element: Element, condition: _Condition, task: str
) -> Iterator[tuple[Element, _Condition]]:
    """Yields every control with the condition that it or a `<View>` around it states."""
    condition = _condition(element, task) or condition
    if element.tag in _KINDS or element.get("toName") is not None:
        yield element, condition
    for child in element:
        yield from _control_elements(child, condition, task)


def _control(element: Element, condition: _Condition, task: str) -> Control:
    name = element.get("name", "")
    if not name:
        _refuse(task, f"has a <{element.tag}> without a name")
    if element.tag not in _KINDS:
        _refuse(task, f"has <{element.tag}>; Carpal learns from <Number> and <Choices> only")
    low = high = step = None
    if element.tag == "Number":
        low, high, step = _range(element, task)
    choices = _choices(element, task) if element.tag == "Choices" else ()
    return Control(name, _KINDS[element.tag], low, high, step, choices, condition)


def _range(element: Element, task: str) -> tuple[float, float, float | None]:
    low, high, step = (_float(element, key, task) for key in ("min", "max", "step"))
    name = element.get("name")
    if low is None or high is None or low >= high:
        _refuse(task, f'needs min and max, min below max, on <Number name="{name}">')
    if step is not None and step <= 0:
        _refuse(task, f'needs a step above 0 on <Number name="{name}">')
    return low, high, step


def _float(element: Element, key: str, task: str) -> float | None:
    text = element.get(key)
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        _refuse(task, f'has {key}="{text}" on <{element.tag} name="{element.get("name")}">')
    return number


def _choices(element: Element, task: str) -> tuple[str, ...]:
    name = element.get("name")
    if element.get("choice", "single") not in SINGLE_CHOICE:
        _refuse(task, f'needs choice="single" or "single-radio" on <Choices name="{name}">')
    # Label Studio writes a choice's alias, where it has one, into results.
    choices = tuple(c.get("alias") or c.get("value") or "" for c in element.iter("Choice"))
    if len(choices) < 2 or "" in choices or len(set(choices)) < len(choices):
        _refuse(task, f'needs two or more different choices in <Choices name="{name}">')
    return choices


def _condition(element: Element, task: str) -> _Condition:
    visible = element.get("visibleWhen")
    if visible is None:
        return None
    other, value = element.get("whenTagName"), element.get("whenChoiceValue")
    if visible == "choice-unselected" and other and not value:
        return None
    if visible == "choice-selected" and other and not value and not _has_controls(element):
        return None
    if visible != "choice-selected" or not other or not value:
        _refuse(
            task,
            f'needs visibleWhen="choice-selected", whenTagName and whenChoiceValue on its '
            f"<{element.tag}>, or no visibleWhen",
        )
    return other, value


def _has_controls(element: Element) -> bool:
    return any(each.get("toName") is not None for each in element.iter())


def _refuse(task: str, what: str) -> NoReturn:
    raise TaskConfigError(f"{task}/{CONFIG_FILE} {what}.")

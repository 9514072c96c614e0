"""Tensors of the Open Inference Protocol: films in, what the model tells of them out.

The outputs are named as the columns of an exported model: `age_months`, `age_low`, `age_high`,
`sex`, `sex_probability`, `used_sex`, `sex_predicted`, `novelty`, `ood`. What is not told is null in
a number or truth value and empty in a text.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from data.domain import Prediction, Target, TaskSpec
from data.errors import InvalidInputError
from ml_backend.choice_words import choice_named
from ml_backend.film_warnings import is_unusual
from ml_backend.sent_films import SentFilm

IMAGE = "image"
MAX_FILMS = 16
"""Films of one request."""
TEXT, NUMBER, TRUTH = "BYTES", "FP64", "BOOL"
BASE64 = "base64"
IMAGE_CODINGS = (None, BASE64)
TEXT_CODINGS = (None, "str", BASE64)
"""The `content_type` that a tensor may have, after MLServer."""

Cell: TypeAlias = float | bool | str | None


@dataclass(frozen=True, slots=True)
class Output:
    """One output tensor: a value per film.

    Attributes:
        name: Such as `age_low`.
        datatype: `FP64`, `BYTES` or `BOOL`.
        cell: What it holds of a prediction.
    """

    name: str
    datatype: str
    cell: Callable[[Prediction], Cell]

    def tensor(self, predictions: Sequence[Prediction]) -> dict[str, Any]:
        """Returns the tensor for films in their order."""
        return {
            "name": self.name,
            "shape": [len(predictions)],
            "datatype": self.datatype,
            "data": [self.cell(prediction) for prediction in predictions],
        }


def outputs(spec: TaskSpec) -> list[Output]:
    """Returns every output of a task's models."""
    told = [output for target in spec.targets for output in _of_target(target)]
    return [
        *told,
        *_of_input(spec.input),
        Output("novelty", NUMBER, lambda p: p.novelty),
        Output("ood", TRUTH, is_unusual),
    ]


def input_tensors(spec: TaskSpec) -> list[dict[str, Any]]:
    """Returns the metadata of the inputs: the films, and what may be known of them."""
    names = [IMAGE, *([spec.input] if spec.input else [])]
    return [{"name": name, "datatype": TEXT, "shape": [-1]} for name in names]


def output_tensors(spec: TaskSpec) -> list[dict[str, Any]]:
    """Returns the metadata of the outputs."""
    return [{"name": o.name, "datatype": o.datatype, "shape": [-1]} for o in outputs(spec)]


def outputs_of(spec: TaskSpec, body: Mapping[str, Any]) -> list[Output]:
    """Returns the outputs that a request asks for, in its order; all, if it names none.

    Raises:
        InvalidInputError: It asks for an unknown one, or in another form.
    """
    by_name = {output.name: output for output in outputs(spec)}
    asked = body.get("outputs")
    if asked is None:
        return list(by_name.values())
    if not isinstance(asked, list):
        raise InvalidInputError("'outputs' must be a list of objects with a 'name'.")
    names = [item.get("name") if isinstance(item, dict) else None for item in asked]
    for name in names:
        if not isinstance(name, str) or name not in by_name:
            raise InvalidInputError(f"'outputs' must name some of {', '.join(by_name)}.")
    return [by_name[str(name)] for name in names] or list(by_name.values())


def films_of(spec: TaskSpec, body: Mapping[str, Any]) -> list[SentFilm]:
    """Returns the films of a request, with what it says is known of each.

    Args:
        spec: The task.
        body: An inference request.

    Raises:
        InvalidInputError: A tensor is missing, unknown, given twice or of another form.
    """
    tensors = _tensors(body, {IMAGE, *([spec.input] if spec.input else [])})
    if IMAGE not in tensors:
        raise InvalidInputError(f"'inputs' must hold a BYTES tensor {IMAGE!r}.")
    payloads = [_payload(tensors[IMAGE], item) for item in _elements(tensors[IMAGE])]
    if len(payloads) > MAX_FILMS:
        raise InvalidInputError(f"A request may hold {MAX_FILMS} films, not {len(payloads)}.")
    if spec.input is None or spec.input not in tensors:
        return [SentFilm(payload) for payload in payloads]
    said = _texts(tensors[spec.input])
    if len(said) != len(payloads):
        raise InvalidInputError(
            f"{spec.input!r} has {len(said)} elements and {IMAGE!r} {len(payloads)}: one per film."
        )
    choices = [choice_named(spec, spec.input, text) for text in said]
    return [
        SentFilm(payload, {spec.input: choice} if choice else {})
        for payload, choice in zip(payloads, choices, strict=True)
    ]


def _of_target(target: Target) -> Iterator[Output]:
    name = target.name
    if target.kind == "choice":
        yield Output(name, TEXT, lambda p: p.values.get(name, ""))
        yield Output(f"{name}_probability", NUMBER, lambda p: _probability(p, name))
        return
    short = name.removesuffix(f"_{target.unit}")
    yield Output(name, NUMBER, lambda p: p.values.get(name))
    yield Output(f"{short}_low", NUMBER, lambda p: p.intervals.get(name, (None, None))[0])
    yield Output(f"{short}_high", NUMBER, lambda p: p.intervals.get(name, (None, None))[1])


def _of_input(name: str | None) -> Iterator[Output]:
    if name is not None:
        yield Output(f"used_{name}", TEXT, lambda p: p.used.get(name, ""))
        yield Output(
            f"{name}_predicted",
            TRUTH,
            lambda p: name in p.predicted_inputs if name in p.used else None,
        )


def _probability(prediction: Prediction, name: str) -> float | None:
    return prediction.probabilities.get(name, {}).get(str(prediction.values.get(name)))


def _tensors(body: Mapping[str, Any], known: set[str]) -> dict[str, Mapping[str, Any]]:
    """Returns the input tensors by name; each is a BYTES tensor."""
    inputs = body.get("inputs")
    if not isinstance(inputs, list):
        raise InvalidInputError("'inputs' must be a list of tensors.")
    found: dict[str, Mapping[str, Any]] = {}
    for item in inputs:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or name not in known:
            raise InvalidInputError(f"An input must be named {' or '.join(sorted(known))}.")
        if name in found:
            raise InvalidInputError(f"The input {name!r} is given twice.")
        if item.get("datatype") != TEXT:
            raise InvalidInputError(f"The datatype of {name!r} must be {TEXT}.")
        found[name] = item
    return found


def _elements(tensor: Mapping[str, Any]) -> list[Any]:
    """Returns the elements of a tensor of shape (N) or (N, 1), with N of at least 1."""
    name, shape, data = tensor["name"], tensor.get("shape"), tensor.get("data")
    if not isinstance(shape, list) or not isinstance(data, list):
        raise InvalidInputError(f"{name!r} must have a 'shape' and 'data', which are lists.")
    if len(shape) == 2 and shape[1] == 1:
        data = [_only(item) for item in data]
        shape = shape[:1]
    if not data or [type(size) for size in shape] != [int] or shape[0] != len(data):
        raise InvalidInputError(
            f"The shape of {name!r} must be [N] or [N, 1], with N elements in 'data'."
        )
    return data


def _only(item: object) -> object:
    """Returns the element in a row of one, or the element itself where the rows are flattened."""
    is_row = isinstance(item, list) and len(item) == 1 and not isinstance(item[0], int)
    return item[0] if is_row and isinstance(item, list) else item


def _texts(tensor: Mapping[str, Any]) -> list[str]:
    """Returns the elements of a tensor of texts, in base64 where it says so."""
    texts = []
    for item in _elements(tensor):
        if not isinstance(item, str):
            raise InvalidInputError(f"The elements of {tensor['name']!r} must be text.")
        is_coded = _content_type(tensor) == BASE64
        texts.append(_decoded(tensor, item).decode("utf-8", "replace") if is_coded else item)
    return texts


def _payload(tensor: Mapping[str, Any], item: object) -> bytes:
    """Returns the bytes of a film: base64 text, or a list of byte values."""
    _content_type(tensor)
    if isinstance(item, str):
        return _decoded(tensor, item)
    if isinstance(item, list) and all(type(value) is int and 0 <= value <= 255 for value in item):
        return bytes(item)
    raise InvalidInputError(
        f"An element of {tensor['name']!r} must be base64 text, or a list of byte values."
    )


def _content_type(tensor: Mapping[str, Any]) -> str | None:
    """Returns how the elements of a tensor are coded, as MLServer's clients say it."""
    parameters = tensor.get("parameters", {})
    if not isinstance(parameters, dict):
        raise InvalidInputError(f"The parameters of {tensor['name']!r} must be an object.")
    said = parameters.get("content_type")
    known = IMAGE_CODINGS if tensor["name"] == IMAGE else TEXT_CODINGS
    if said not in known:
        raise InvalidInputError(f"The content_type of {tensor['name']!r} may be {known[-1]!r}.")
    return None if said is None else str(said)


def _decoded(tensor: Mapping[str, Any], text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError(f"An element of {tensor['name']!r} is not base64 text.") from error

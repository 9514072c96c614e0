"""Predictions go only into projects that ask what the task asks."""

from __future__ import annotations

import pytest

from data.errors import InvalidInputError
from ml_backend.label_config import check_label_config
from tests.unit.ml_backend.fakes import CONFIG, SPEC


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        CONFIG.replace("<View>", "<View><Header value='Read the left hand'/>"),
        CONFIG.replace('max="240"', 'max="240" hint="months"'),
        CONFIG.replace('<Image name="image"', '<Image zoomControl="true" name="image"'),
    ],
    ids=["ours", "with a header", "with a hint", "with a tool bar"],
)
def test_a_project_may_explain_more_than_the_task(config: str) -> None:
    check_label_config(SPEC, config)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("", "is not XML"),
        ("<View>", "is not XML"),
        ("<View/>", 'has no <Image name="image">'),
        (CONFIG.replace("Image", "Text"), 'has no <Image name="image">'),
        (CONFIG.replace("age_months", "age"), 'has no <Number name="age_months" toName="image">'),
        (CONFIG.replace("Number", "Rating"), 'has no <Number name="age_months" toName="image">'),
        (CONFIG.replace('name="sex" toName="image"', 'name="sex" toName="x"'), "has no <Choices"),
        (CONFIG.replace('"male"', '"M"'), "offers other choices for 'sex': M, female"),
    ],
)
def test_a_project_of_another_task_is_refused(config: str, sentence: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_label_config(SPEC, config)

    assert sentence in str(caught.value)


def test_a_configuration_that_swells_when_read_is_refused() -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<!DOCTYPE v [<!ENTITY e0 "{"a" * 100}">{entities}]><View name="&e11;"/>'

    with pytest.raises(InvalidInputError):
        check_label_config(SPEC, bomb)

"""Every radiograph of an XNAT project is found, by rule, with what XNAT says of it."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from data.errors import InvalidInputError
from data.images.decoding import decode
from data.sources.cells import Columns
from data.sources.known_targets import AGE, SEX
from data.sources.xnat_project import Missing
from data.sources.xnat_scans import ScanRule, Several
from tests.service.xnat.fake_xnat import PASSWORD, FakeXnat, Resource, Scan, Session, Subject
from tests.service.xnat.xnat_cases import Reader, dicom, film, one_scan, png, read_all, with_scans

pytestmark = pytest.mark.service


def test_every_image_of_every_subject_is_found(read: Reader) -> None:
    xnat = FakeXnat({"HANDS": [one_scan(2), one_scan(10), one_scan(1)]})

    items, missing = read(xnat)

    assert [item.name for item in items] == [
        f"HANDS/sub-{n}/ses-{n}/1/film{n}.png" for n in (1, 2, 10)
    ]
    assert read_all(items) == [film(1), film(2), film(10)]
    assert missing == []


def test_a_patient_is_a_subject_of_the_project_that_owns_it(read: Reader) -> None:
    twice = Subject("sub-1", [Session(f"ses-{n}", [Scan("1", resources=[png(n)])]) for n in (1, 2)])
    xnat = FakeXnat({"HANDS": [twice, one_scan(3, owner="WRISTS")]})

    items, _ = read(xnat)

    assert [item.patient for item in items] == [
        "xnat HANDS/sub-1",
        "xnat HANDS/sub-1",
        "xnat WRISTS/sub-3",
    ]


def test_an_item_can_be_sent_to_another_process_and_its_text_holds_no_password(
    read: Reader,
) -> None:
    (item,), _ = read(FakeXnat({"HANDS": [one_scan(1)]}))

    there = pickle.loads(pickle.dumps(item))

    assert there.read().payload == film(1)
    assert PASSWORD not in repr(item)


def test_dicom_becomes_an_image_with_its_allowed_facts(read: Reader) -> None:
    pixels = np.arange(192, dtype=np.uint8).reshape(16, 12)
    files = {"1.dcm": dicom(pixels), "scan_1_catalog.xml": b"<xml/>"}
    xnat = with_scans(
        Scan("1", resources=[Resource("SNAPSHOTS", {"x.gif": b""}), Resource("DICOM", files)])
    )

    (item,), _ = read(xnat)
    delivered = item.read()

    assert decode(delivered.payload).shape == (16, 12)
    assert delivered.metadata["laterality"]
    assert "SECRET-7" not in str(delivered.metadata)


def test_dicom_is_taken_before_images_and_a_named_resource_before_both(read: Reader) -> None:
    kinds = [png(1), Resource("DICOM", {"1.dcm": b"?"}), Resource("derived", {"d.png": film(3)})]
    xnat = with_scans(Scan("1", resources=kinds))

    (by_itself,), _ = read(xnat)
    (named,), _ = read(xnat, ScanRule(resource="Derived"))

    assert by_itself.name.endswith("/1.dcm")
    assert named.name.endswith("/d.png")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (ScanRule(scan_type="hand"), ["1", "3"]),
        (ScanRule(scan_type="^HAND AP$"), ["1"]),
        (ScanRule(series="left"), ["1", "2"]),
        (ScanRule(scan_type="hand", series="right"), ["3"]),
        (ScanRule(scan_type="hand ap", exact=True), ["1"]),
        (ScanRule(scan_type="hand", exact=True), []),
        (ScanRule(), ["1", "2", "3"]),
    ],
    ids=["type", "whole type", "series", "both", "exact", "exact is no part", "any"],
)
def test_the_rule_picks_scans(rule: ScanRule, expected: list[str]) -> None:
    scans = [
        {"ID": "1", "type": "HAND AP", "series_description": "Left hand"},
        {"ID": "2", "type": "CHEST", "series_description": "left side"},
        {"ID": "3", "type": "Hand PA", "series_description": "RIGHT"},
    ]

    assert [scan["ID"] for scan in rule.matching(scans)] == expected


def test_a_rule_that_is_no_expression_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="'\\(' is no regular expression"):
        ScanRule(series="(")


@pytest.mark.parametrize(
    ("several", "expected"),
    [("keepfirst", "film2.png"), ("keeplast", "film10.png")],
    ids=["first", "last"],
)
def test_of_several_scans_one_is_kept_by_number(
    read: Reader, several: Several, expected: str
) -> None:
    xnat = with_scans(*(Scan(str(n), resources=[png(n)]) for n in (10, 2, 9)))

    (item,), missing = read(xnat, ScanRule(several=several))

    assert item.name.endswith(expected)
    assert missing == []


def test_several_scans_are_an_error_unless_said_otherwise(read: Reader) -> None:
    xnat = with_scans(*(Scan(str(n), resources=[png(n)]) for n in (10, 2)))
    xnat.projects["HANDS"].append(one_scan(3))

    items, missing = read(xnat)

    assert items[0].problem == (
        "2 scans match the rule: 2: HAND AP (Left hand); 10: HAND AP (Left hand)."
    )
    assert read_all(items[1:]) == [film(3)]
    assert [(m.subject, m.session, m.what) for m in missing] == [
        ("sub-1", "ses-1", "several scans")
    ]


def test_only_the_subjects_of_a_list_are_read(read: Reader) -> None:
    xnat = FakeXnat({"HANDS": [one_scan(n) for n in (1, 2, 3)]})

    items, missing = read(xnat, subjects=["sub-3", "HANDS_S0", "sub-9"])

    assert read_all(items) == [film(1), film(3)]
    assert missing == [Missing("sub-9", what="no subject")]
    assert not xnat.asked_for("HANDS_S1")


def test_what_is_missing_is_told_and_the_rest_is_read(read: Reader) -> None:
    empty = Scan("1", resources=[Resource("PNG", {"notes.txt": b"?"})])
    xnat = FakeXnat(
        {
            "HANDS": [
                Subject("a"),
                Subject("b", [Session("b1", type="xnat:qcAssessmentData")]),
                Subject("c", [Session("c1", [Scan("4", type="CHEST")])]),
                Subject("d", [Session("d1", [Scan("1", resources=[Resource("SNAPSHOTS", {})])])]),
                Subject("e", [Session("e1", [empty])]),
                one_scan(1),
            ]
        }
    )

    items, missing = read(xnat, ScanRule(scan_type="hand"))

    assert read_all(items) == [film(1)]
    assert missing == [
        Missing("a", what="no session"),
        Missing("b", what="no session"),
        Missing("c", "c1", what="no matching scan", detail="4: CHEST (Left hand)"),
        Missing("d", "d1", "1", "no image resource", "SNAPSHOTS"),
        Missing("e", "e1", "1", "no image file", "PNG"),
    ]


TOLD: Mapping[str, Any] = {
    "targets": (AGE, SEX),
    "columns": Columns({"age_months": "Bone_Age", "sex": "gender"}),
}


@pytest.mark.parametrize(
    ("demographics", "variables", "session", "expected"),
    [
        ({"gender": "F"}, {"bone_age": "120"}, {}, {"age_months": 120.0, "sex": "female"}),
        ({"gender": "M"}, {"bone_age": "1"}, {"bone_age": "9"}, {"age_months": 9, "sex": "male"}),
        ({"gender": "unknown"}, {}, {}, {}),
        ({}, {}, {}, {}),
    ],
    ids=["subject", "the session comes first", "unknown", "nothing told"],
)  # fmt: skip
def test_values_come_from_custom_variables_and_demographics(
    read: Reader,
    demographics: dict[str, str],
    variables: dict[str, str],
    session: dict[str, str],
    expected: dict[str, Any],
) -> None:
    subject = one_scan(1, demographics=demographics, variables=variables)
    subject.sessions[0].variables = session

    (item,), _ = read(FakeXnat({"HANDS": [subject]}), **TOLD)

    assert dict(item.values) == expected


def test_a_value_that_is_none_is_refused_and_the_rest_is_read(read: Reader) -> None:
    xnat = FakeXnat({"HANDS": [one_scan(1, variables={"bone_age": "12 y"}), one_scan(2)]})

    (bad, good), _ = read(xnat, **TOLD)

    assert "'12 y'" in bad.problem
    assert good.read().payload == film(2)

"""An address of a cloud storage is understood, and leads to our own project alone."""

from __future__ import annotations

import base64

import pytest

from data.errors import InvalidInputError
from labeling_config.image_addresses import object_behind, resolving_path, stored_object

HOME = "http://localhost:8080"


def coded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "address",
    [
        "s3://bucket/hand.png",
        "gs://bucket.example.org/a/b/hand 1.png",
        "azure-blob://films/\u00e4/hand.dcm",
        "s3://bucket/..hand/x..png",
    ],
)
def test_an_object_of_a_cloud_storage_is_known_by_its_address(address: str) -> None:
    assert stored_object(address, HOME, 3) == address


@pytest.mark.parametrize("home", ["", HOME])
@pytest.mark.parametrize("word", ["resolve", "presign"])
@pytest.mark.parametrize("sign", ["=", "%3D"])
def test_what_label_studio_makes_of_it_for_a_browser_is_the_same_object(
    home: str, word: str, sign: str
) -> None:
    address = f"{home}/tasks/3/{word}/?fileuri={coded('s3://bucket/a.png').replace('=', sign)}"

    assert stored_object(address, HOME, 3) == "s3://bucket/a.png"


@pytest.mark.parametrize("address", ["/data/upload/3/x.png", "/data/local-files/?d=images/x.png"])
def test_uploads_and_local_files_are_no_objects(address: str) -> None:
    assert stored_object(address, HOME, 3) is None


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://bucket", "names no object"),
        ("s3://bucket/", "names no object"),
        ("s3:///x.png", "names no object"),
        ("s3://bucket/../x.png", "names no object"),
        ("s3://bucket/a/%2e%2e/x.png", "names no object"),
        ("s3://bucket/a\\..\\x.png", "names no object"),
        ("s3://bucket/x.png?versionId=1", "names no object"),
        ("s3://bucket/x.png#y", "names no object"),
        ("s3://bucket/x\r\ny.png", "names no object"),
        ("s3://bucket/\ud800.png", "names no object"),
        ("s3://user@bucket/x.png", "names no object"),
        ("s3://bucket/" + "a" * 5000, "names no object"),
        ("redis://host/1", "leads neither"),
        ("S3://bucket/x.png", "leads neither"),
        ("https://bucket.s3.amazonaws.com/x.png", "leads neither"),
        ("file:///etc/passwd", "leads neither"),
        (f"/tasks/4/resolve/?fileuri={coded('s3://bucket/a.png')}", "of another task"),
        (f"/tasks/03/resolve/?fileuri={coded('s3://bucket/a.png')}", "of another task"),
        (f"/tasks/3/resolve/?fileuri={coded('file:///etc/passwd')}", "names no object"),
        (f"/tasks/3/resolve/?fileuri={coded('https://example.org/x')}", "names no object"),
        (f"/tasks/3/resolve/?fileuri={coded('/data/upload/9/x.png')}", "names no object"),
        ("/tasks/3/resolve/?fileuri=abc", "cannot be decoded"),
        ("/tasks/3/resolve/?fileuri=_w==", "cannot be decoded"),
        (f"/tasks/3/resolve/../x/?fileuri={coded('s3://bucket/a.png')}", "leads neither"),
        (f"/tasks/3/delete/?fileuri={coded('s3://bucket/a.png')}", "leads neither"),
        (f"/projects/3/resolve/?fileuri={coded('s3://bucket/a.png')}", "leads neither"),
        (
            f"http://elsewhere.example/tasks/3/resolve/?fileuri={coded('s3://bucket/a.png')}",
            "leads neither",
        ),
    ],
)
def test_another_address_is_refused(address: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        stored_object(address, HOME, 3)


def test_an_object_is_asked_for_in_our_project() -> None:
    path = resolving_path("s3://bucket/hand.png", 3)

    assert path == "/projects/3/resolve/?fileuri=czM6Ly9idWNrZXQvaGFuZC5wbmc="
    assert object_behind(path) == "s3://bucket/hand.png"


def test_a_workspace_without_project_asks_for_no_object() -> None:
    with pytest.raises(InvalidInputError, match="no project yet"):
        resolving_path("s3://bucket/hand.png", None)


def test_an_upload_is_no_object() -> None:
    assert object_behind("/data/upload/3/hand.png") is None

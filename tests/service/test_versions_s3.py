"""Images of dataset versions in an S3 bucket, as moto's server speaks it."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from carpal.free_ports import free_port
from data.errors import VersionError
from data.images.decoding import content_id
from data.ledger.ledger import Ledger
from data.versions.repository import DatasetRepository
from data.versions.verify import verify
from tests.service.dataset_workspace import (
    AUTHOR,
    assert_sound,
    commit,
    dvc,
    shell,
    some_labels,
)
from tests.support import eventually, missing
from tests.unit.data.dataset_cases import SPEC

pytestmark = pytest.mark.service

START_S = 30.0


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """The address of the S3 server, as botocore reads it from the environment."""
    for name in ("moto", "dvc_s3", "boto3"):
        if importlib.util.find_spec(name) is None:
            missing(f"{name} is not installed")
    chosen = free_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{chosen}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    return chosen


@pytest.fixture
def start(port: int, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts the server, as often as it is called, with an empty bucket `hospital`."""
    started: list[subprocess.Popen[bytes]] = []

    def server() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        with (tmp_path / "moto.log").open("ab") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=log))
        assert eventually(lambda: answers(port), START_S)
        client().create_bucket(Bucket="hospital")
        return started[-1]

    yield server
    for process in started:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
        return True
    return False


def client() -> Any:
    import boto3

    return boto3.client("s3")


def objects() -> set[str]:
    """Ids of the images in the bucket, by their bytes."""
    found = client().list_objects_v2(Bucket="hospital", Prefix="hands/").get("Contents", [])
    keys = [item["Key"] for item in found if not item["Key"].endswith(".dir")]
    bodies = (client().get_object(Bucket="hospital", Key=key)["Body"] for key in keys)
    return {content_id(body.read()) for body in bodies}


def opened(home: Path) -> DatasetRepository:
    return DatasetRepository(
        home / "dataset", home / "pool", SPEC, AUTHOR, remote="s3://hospital/hands"
    )


def test_a_version_is_in_the_bucket_and_a_clone_pulls_it(
    start: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    start()
    repository = opened(tmp_path)

    commit(repository, some_labels(tmp_path, 3))

    assert objects() == {row["id"] for row in repository.rows("v0001")}
    clone = tmp_path / "clone"
    shell(tmp_path, "git", "clone", "--quiet", str(repository.root), str(clone))
    dvc(clone, "pull")
    assert all((clone / row["image"]).exists() for row in repository.rows("v0001"))


def test_without_the_bucket_there_is_no_version_and_the_next_run_finishes(
    start: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    # Given a version, and a server that has gone down since
    server = start()
    repository = opened(tmp_path)
    commit(repository, some_labels(tmp_path, 2))
    server.kill()
    server.wait()

    # When, then
    with pytest.raises(VersionError, match=r"^DVC failed in [^\n]*endpoint[^\n]*\.$"):
        commit(repository, some_labels(tmp_path, 4))
    assert repository.versions() == ["v0001"]
    assert_sound(repository)

    # And with the server back, which forgot everything, the version comes
    start()
    assert commit(repository, some_labels(tmp_path, 4)).name == "v0002"
    assert len(objects()) == 2


def test_an_image_that_the_bucket_lost_is_found(
    start: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    start()
    repository = opened(tmp_path)
    commit(repository, some_labels(tmp_path, 2))
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        before = [str(found) for found in verify(repository, ["v0001"], ledger)]
        for item in client().list_objects_v2(Bucket="hospital")["Contents"]:
            client().delete_object(Bucket="hospital", Key=item["Key"])

        after = [str(found) for found in verify(repository, ["v0001"], ledger)]

    assert not any("lacks" in sentence for sentence in before)
    assert any("the remote lacks 3 objects" in sentence for sentence in after)

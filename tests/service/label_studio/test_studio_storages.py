"""Images of an S3 bucket that a real Label Studio knows, as moto's server speaks S3."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests

from carpal.free_ports import free_port
from data.errors import InvalidInputError, NotFoundError
from data.images.decoding import encode_png
from data.ledger.ledger import Ledger
from data.phantoms.drawing import draw_hand
from labeling_config.client import TaskState
from labeling_config.client_image_hosts import NamedHosts
from labeling_config.client_uploads import Uploads
from labeling_config.image_addresses import resolving_path, stored_object
from labeling_config.image_hosts import read_image_hosts
from tests.service.label_studio.studio_cases import Studio, running_studio, serve
from tests.support import eventually, missing
from workers.adoption import Adopter

pytestmark = pytest.mark.service

START_S = 30.0
ADDRESS = "s3://films/left hand.png"
KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}


@dataclass
class Place:
    """A Label Studio, and a bucket `films` with one film."""

    studio: Studio
    port: int
    film: bytes

    def storage(self, *, presign: bool) -> tuple[int, TaskState]:
        """Given a project with that storage; returns it and the task of the film."""
        client, project = self.studio.client, self.studio.ensure().id
        asked = {"project": project, "bucket": "films", "use_blob_urls": True, **KEYS}
        made = client.request("POST", "/api/storages/s3", body={**asked, "presign": presign})
        client.request("POST", f"/api/storages/s3/{made['id']}/sync", body={})
        (task,) = client.tasks(project)
        return project, task

    def read(self, project: int, hosts: str = "", address: str = ADDRESS) -> bytes:
        settings = self.studio.settings
        named = NamedHosts(read_image_hosts(hosts))
        uploads = Uploads(settings.label_studio, settings.label_studio_token, named)
        try:
            return uploads.read(resolving_path(address, project), 10_000_000)
        finally:
            uploads.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    for name in ("moto", "boto3"):
        if importlib.util.find_spec(name) is None:
            missing(f"{name} is not installed")
    home, port = tmp_path_factory.mktemp("storages"), free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    film = encode_png(draw_hand(120.0, "female", seed=3))
    endpoint = f"http://localhost:{port}"
    with (home / "moto.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        assert eventually(lambda: bool(answers(endpoint)), START_S)
        s3 = bucket_client(endpoint)
        s3.create_bucket(Bucket="films")
        s3.put_object(Bucket="films", Key="left hand.png", Body=film)
        # Label Studio trusts an endpoint on this machine only where its operator names it.
        with running_studio(home / "workspace", LABEL_STUDIO_S3_ENDPOINT=endpoint) as studio:
            yield Place(studio, port, film)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(autouse=True)
def a_fresh_project(place: Place) -> Iterator[None]:
    yield
    project = place.studio.ensure().id
    place.studio.client.request("DELETE", f"/api/projects/{project}/")


def answers(endpoint: str) -> bool:
    try:
        return requests.get(endpoint, timeout=5).ok
    except requests.RequestException:
        return False


def bucket_client(endpoint: str) -> Any:
    import boto3

    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **KEYS)


def test_a_film_that_label_studio_streams_from_its_bucket_is_read(place: Place) -> None:
    project, task = place.storage(presign=False)

    assert task.data["image"] == ADDRESS
    assert place.read(project) == place.film


def test_a_film_that_label_studio_sends_on_to_is_read_from_a_named_host_alone(
    place: Place,
) -> None:
    project, _ = place.storage(presign=True)

    with pytest.raises(InvalidInputError, match=f"names localhost:{place.port}"):
        place.read(project)
    assert place.read(project, f"private:localhost:{place.port}") == place.film


def test_a_film_of_a_bucket_that_the_project_does_not_know_is_not_found(place: Place) -> None:
    project, _ = place.storage(presign=False)

    with pytest.raises(NotFoundError, match="No storage of the project"):
        place.read(project, address="s3://others/hand.png")


def test_the_backend_is_asked_with_the_address_in_the_bucket(place: Place) -> None:
    project, task = place.storage(presign=False)
    serve(place.studio, place.studio.ensure(), "v0001-aaaaaaaa", {})
    place.studio.client.next_task(project)

    (asked,) = [one.body for one in place.studio.backend.asked if one.path == "/predict"]
    (shown,) = asked["tasks"]
    address = str(shown["data"]["image"])
    assert stored_object(address, place.studio.settings.label_studio, shown["id"]) == ADDRESS
    assert shown["id"] == task.task_id


@pytest.mark.parametrize("presign", [False, True], ids=["streamed", "sent on"])
def test_a_task_of_a_bucket_is_adopted(place: Place, tmp_path: Path, presign: bool) -> None:
    project, task = place.storage(presign=presign)
    settings = replace(
        place.studio.settings, home=tmp_path, image_hosts=f"private:localhost:{place.port}"
    )

    with Ledger.open(settings.ledger) as ledger:
        done = Adopter.of(settings).adopt(place.studio.client, ledger, project)

        assert list(done.linked) == [task.task_id]
        assert ledger.count_radiographs() == 1

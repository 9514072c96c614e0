"""Images of cloud storages come through Label Studio, or from a host that somebody has named."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from data.errors import (
    AccessError,
    CarpalError,
    ImageError,
    InvalidInputError,
    NotFoundError,
    ServiceUnavailableError,
)
from labeling_config import client_uploads
from labeling_config.client_image_hosts import NamedHosts
from labeling_config.client_uploads import Uploads
from labeling_config.image_addresses import object_behind, resolving_path
from labeling_config.image_hosts import read_image_hosts

TOKEN = "f00dfeed" * 5
PERSONAL = "personal.access.token"
ACCESS = "of.some.minutes"
PROJECT = 3
FILM = b"0123456789"
CLOUD = "cloud.example.org"
SIGNED = "X-Signature=secret"


class Server(ThreadingHTTPServer):
    """A server that remembers what it was asked."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.sends_to = ""
        self.enough = threading.Event()


class Handler(BaseHTTPRequestHandler):
    """Answers by the last part of what is asked for."""

    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        self.answer()

    def answer(self) -> None:
        raise NotImplementedError

    def log_message(self, format: str, *args: object) -> None:
        """Keeps quiet."""

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def flood(self) -> None:
        """Sends without saying how much, until nobody listens."""
        self.send_response(200)
        self.end_headers()
        try:
            while not self.server.enough.is_set():
                self.wfile.write(b"0" * 65536)
        except OSError:
            return

    def hesitate(self) -> None:
        """Sends one byte of a file, and the others never."""
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"0")
        self.server.enough.wait()


class Studio(Handler):
    """A Label Studio 1.23.2 with a storage in project 3; `sent/...` is in the cloud."""

    def do_POST(self) -> None:
        """Exchanges the personal token."""
        said = self.rfile.read(int(self.headers["Content-Length"]))
        known = self.path == "/api/token/refresh/" and json.loads(said) == {"refresh": PERSONAL}
        self.say(200 if known else 401, json.dumps({"access": ACCESS}).encode())

    def answer(self) -> None:
        stored = object_behind(self.path) or ""
        name = stored.removeprefix("s3://bucket/")
        if self.headers.get("Authorization") not in (f"Token {TOKEN}", f"Bearer {ACCESS}"):
            self.say(401, b'{"detail": "Invalid token."}')
        elif not self.path.startswith(f"/projects/{PROJECT}/") or name == stored:
            self.say(404)
        elif name.startswith("sent/"):
            self.say(303, Location=f"{self.server.sends_to}{name[4:]}?{SIGNED}")
        elif name == "failed.png":
            self.say(424, b'{"error": "Storage stream failed", "detail": "Stream is None"}')
        elif name == "endless.png":
            self.flood()
        elif name == "slow.png":
            self.hesitate()
        elif name == "cut.png":
            self.say(200, FILM, **{"Content-Length": "100"})
        else:
            self.say(200, FILM)


class Cloud(Handler):
    """A cloud storage."""

    def answer(self) -> None:
        name = self.path.split("?")[0].strip("/")
        if name == "again.png":
            self.say(307, Location=self.server.sends_to + "/hand.png")
        elif name == "endless.png":
            self.flood()
        elif name == "slow.png":
            self.hesitate()
        elif name == "expired.png":
            self.say(403, b"<Error/>")
        elif name == "missing.png":
            self.say(404)
        elif name == "broken.png":
            self.say(500)
        else:
            self.say(200, FILM)


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[Server]:
    server = Server(handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.enough.set()
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Place:
    """A Label Studio that sends on to a cloud, which is this machine under another name."""

    studio: Server
    cloud: Server
    hosts: str = ""
    looked_up: list[str] = field(default_factory=list)
    certificates: str | None = None
    ips: list[str] = field(default_factory=lambda: ["127.0.0.1"])

    def read(self, name: str, limit: int = 1000, token: str = TOKEN) -> bytes:
        hosts = NamedHosts(read_image_hosts(self.hosts), self.lookup, self.certificates)
        uploads = Uploads(f"http://127.0.0.1:{self.studio.server_port}", token, hosts)
        try:
            return uploads.read(resolving_path(f"s3://bucket/{name}", PROJECT), limit)
        finally:
            uploads.close()

    def lookup(self, host: str, port: int) -> list[str]:
        """The first answer is what there is; a second one would lead somewhere else."""
        self.looked_up.append(host)
        return self.ips if len(self.looked_up) == 1 else ["169.254.169.254"]


@pytest.fixture
def place() -> Iterator[Place]:
    with serving(Studio) as studio, serving(Cloud) as cloud:
        studio.sends_to = cloud.sends_to = f"http://{CLOUD}:{cloud.server_port}"
        yield Place(studio, cloud, hosts=f"private:{CLOUD}:{cloud.server_port}")


@pytest.mark.parametrize("token", [TOKEN, PERSONAL], ids=["legacy", "personal"])
def test_an_object_that_label_studio_streams_is_read_with_the_token(
    place: Place, token: str
) -> None:
    assert place.read("hand.png", limit=len(FILM), token=token) == FILM
    assert place.cloud.asked == []


def test_an_object_in_the_cloud_is_read_from_a_named_host_without_the_token(place: Place) -> None:
    assert place.read("sent/hand.png", limit=len(FILM)) == FILM

    ((path, headers),) = place.cloud.asked
    assert path == f"/hand.png?{SIGNED}"
    assert headers["Host"] == f"{CLOUD}:{place.cloud.server_port}"
    assert not {"Authorization", "Cookie", "Referer"} & set(headers)
    assert TOKEN not in str(headers)


def test_the_name_of_the_host_is_looked_up_once(place: Place) -> None:
    place.read("sent/hand.png")

    assert place.looked_up == [CLOUD]


def test_the_next_address_of_a_host_is_tried_where_the_first_does_not_answer(place: Place) -> None:
    place.ips = ["127.0.0.9", "127.0.0.1"]

    assert place.read("sent/hand.png") == FILM


@pytest.mark.parametrize(
    ("where", "error", "said"),
    [
        ("https://elsewhere.example.org", InvalidInputError, "names elsewhere.example.org"),
        ("http://127.0.0.1:6390", InvalidInputError, "names 127.0.0.1:6390"),
        ("http://localhost", InvalidInputError, "names localhost"),
        ("http://169.254.169.254", InvalidInputError, "names 169.254.169.254"),
        ("file:///etc", InvalidInputError, "no web address"),
        ("/user/login", InvalidInputError, "no web address"),
    ],
    ids=["foreign host", "loopback", "localhost", "metadata", "file", "itself"],
)
def test_label_studio_is_not_followed_anywhere_else(
    place: Place, where: str, error: type[CarpalError], said: str
) -> None:
    place.studio.sends_to = where

    with pytest.raises(error, match=said):
        place.read("sent/hand.png")

    assert (place.cloud.asked, place.looked_up) == ([], [])
    assert len(place.studio.asked) == 1


def test_a_named_host_that_leads_to_this_machine_is_not_asked_unless_it_is_named_so(
    place: Place,
) -> None:
    place.hosts = place.hosts.removeprefix("private:")

    with pytest.raises(InvalidInputError, match=f"names private:{CLOUD}"):
        place.read("sent/hand.png")

    assert place.cloud.asked == []


def test_no_host_is_followed_unless_one_is_named(place: Place) -> None:
    place.hosts = ""

    with pytest.raises(InvalidInputError, match=f"names {CLOUD}:{place.cloud.server_port}"):
        place.read("sent/hand.png")


def test_a_second_redirect_is_not_followed(place: Place) -> None:
    with pytest.raises(ServiceUnavailableError, match="sends on"):
        place.read("sent/again.png")

    assert len(place.cloud.asked) == 1


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("failed.png", ServiceUnavailableError, "Stream is None"),
        ("cut.png", ServiceUnavailableError, "does not hand out the image"),
        ("sent/expired.png", AccessError, "credentials of the storage"),
        ("sent/missing.png", NotFoundError, "no such image"),
        ("sent/broken.png", ServiceUnavailableError, "status 500"),
    ],
)
def test_what_is_not_the_file_is_an_error_without_the_signature(
    place: Place, name: str, error: type[CarpalError], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        place.read(name)

    assert SIGNED not in str(caught.value)


def test_a_host_that_does_not_answer_is_an_error_without_the_signature(place: Place) -> None:
    place.hosts = f"private:{CLOUD}:9"
    place.studio.sends_to = f"http://{CLOUD}:9"

    with pytest.raises(ServiceUnavailableError) as caught:
        place.read("sent/hand.png")

    assert str(caught.value).startswith(f"{CLOUD} does not hand out the image (")


def test_an_object_that_no_storage_of_our_project_has_is_not_found(place: Place) -> None:
    uploads = Uploads(f"http://127.0.0.1:{place.studio.server_port}", TOKEN)

    with pytest.raises(NotFoundError, match=r"hands out s3://other/hand\.png"):
        uploads.read(resolving_path("s3://other/hand.png", PROJECT), 1000)


def test_a_wrong_token_is_an_error_that_does_not_tell_it(place: Place) -> None:
    with pytest.raises(AccessError, match="does not allow") as caught:
        place.read("sent/hand.png", token="wrong-token")

    assert "wrong-token" not in str(caught.value)
    assert place.cloud.asked == []


@pytest.mark.parametrize("name", ["endless.png", "sent/endless.png"])
def test_an_object_that_never_ends_is_given_up(place: Place, name: str) -> None:
    with pytest.raises(ImageError, match="larger than 1000000 bytes"):
        place.read(name, limit=1_000_000)


@pytest.mark.parametrize("name", ["hand.png", "sent/hand.png"])
def test_an_object_that_is_announced_as_too_large_is_not_read(place: Place, name: str) -> None:
    with pytest.raises(ImageError, match="larger than 9 bytes"):
        place.read(name, limit=9)


@pytest.mark.parametrize("name", ["slow.png", "sent/slow.png"])
def test_an_object_that_trickles_is_given_up(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(client_uploads, "LIMIT_S", -1.0)

    with pytest.raises(ServiceUnavailableError, match="took more than"):
        place.read(name, limit=10**9)


def certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """Writes a certificate of a host that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / f"{host}.pem", folder / f"{host}.key"
    files[0].write_bytes(signed.public_bytes(Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    return files


@pytest.mark.parametrize("named", [CLOUD, "another.example.org"], ids=["its own", "another's"])
def test_the_certificate_must_be_that_of_the_name_although_the_address_is_connected_to(
    place: Place, tmp_path: Path, named: str
) -> None:
    pem, key = certificate(tmp_path, named)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem, key)
    place.cloud.socket = tls.wrap_socket(place.cloud.socket, server_side=True)
    place.studio.sends_to = f"https://{CLOUD}:{place.cloud.server_port}"
    place.certificates = str(pem)

    if named == CLOUD:
        assert place.read("sent/hand.png") == FILM
    else:
        with pytest.raises(ServiceUnavailableError, match=f"{CLOUD} does not hand out"):
            place.read("sent/hand.png")
        assert place.cloud.asked == []

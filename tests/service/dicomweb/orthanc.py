"""A real Orthanc with its DICOMweb plug-in, and a proxy in front of it that misbehaves."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from carpal.free_ports import free_port
from tests.support import eventually, missing

USER, PASSWORD = "reader", "only for these tests"
PLUGINS = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc", "/usr/local/share/orthanc/plugins")
PLUGIN = "libOrthancDicomWeb.so"
SYSTEM_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
AUTHORIZATION = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A server that runs.

    Attributes:
        port: On the loopback address.
    """

    port: int

    @property
    def url(self) -> str:
        """Of the DICOMweb service."""
        return f"http://127.0.0.1:{self.port}/dicom-web"

    def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Calls Orthanc's own interface."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            body,
            {"Authorization": AUTHORIZATION},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            content: bytes = answer.read()
        return content

    def store(self, payload: bytes) -> None:
        """Puts one DICOM file in."""
        self.call("POST", "/instances", payload)

    def clear(self) -> None:
        """Removes all patients."""
        for patient in json.loads(self.call("GET", "/patients")):
            self.call("DELETE", f"/patients/{patient}")

    def answers(self) -> bool:
        try:
            return bool(self.call("GET", "/system"))
        except (OSError, urllib.error.URLError):
            return False


@contextmanager
def running_orthanc(folder: Path) -> Iterator[Orthanc]:
    """Runs Orthanc on a free port, with its storage in the folder."""
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path=SYSTEM_PATH)
    plugin = next((path for place in PLUGINS if (path := Path(place, PLUGIN)).exists()), None)
    if program is None or plugin is None:
        missing("There is no Orthanc with DICOMweb: apt-get install orthanc orthanc-dicomweb")
    server = Orthanc(free_port())
    configuration = {
        "Name": "tests",
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "HttpPort": server.port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "Plugins": [str(plugin)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, str(path)], stdout=log, stderr=log)
    try:
        assert eventually(server.answers), (folder / "log").read_text()[-2000:]
        yield server
    finally:
        process.terminate()
        process.wait(timeout=20)


@dataclass(slots=True)
class Answer:
    """What a proxy passes on."""

    status: int
    headers: dict[str, str]
    body: bytes
    cut_off_at: int | None = None


@dataclass(slots=True)
class Proxy:
    """Passes requests on and changes the answers.

    Attributes:
        port: On the loopback address.
        seen: Kind of request (`studies`, `series`, `metadata`, `instance`) -> how many came.
        paths: All paths that were asked for, with their queries.
        change: Called with the kind, its count so far and the answer; may change the answer.
        ask: Called with the path before it is passed on; returns the path that is.
    """

    port: int
    seen: Counter[str] = field(default_factory=Counter)
    paths: list[str] = field(default_factory=list)
    change: Callable[[str, int, Answer], None] = lambda _kind, _count, _answer: None
    ask: Callable[[str], str] = lambda path: path

    @property
    def url(self) -> str:
        """Of the DICOMweb service behind it."""
        return f"http://127.0.0.1:{self.port}/dicom-web"


@contextmanager
def proxy_before(server: Orthanc) -> Iterator[Proxy]:
    """Runs a proxy in front of a server."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            kind = _kind(self.path)
            with lock:
                proxy.seen[kind] += 1
                proxy.paths.append(self.path)
                count = proxy.seen[kind]
            answer = _passed_on(server, proxy.ask(self.path), dict(self.headers))
            proxy.change(kind, count, answer)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body[: answer.cut_off_at])
            if answer.cut_off_at is not None:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy = Proxy(listening.server_address[1])
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def _kind(path: str) -> str:
    place = path.partition("?")[0].rstrip("/").split("/")
    if place[-1] in ("studies", "series", "metadata"):
        return place[-1]
    return "instance"


def _passed_on(server: Orthanc, path: str, headers: dict[str, str]) -> Answer:
    kept = {k: v for k, v in headers.items() if k.lower() in ("accept", "authorization")}
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers=kept)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            said = {"Content-Type": answer.headers.get("Content-Type", "")}
            return Answer(answer.status, said, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, {}, error.read())

"""An XNAT in a thread: the part of its published REST interface that an import asks.

No XNAT can run in this suite. What is answered here follows XNAT's documentation (wiki.xnat.org,
"XNAT API": subjects, experiments, scans, scan resources, user sessions) and what the `xnat`
package expects; it is no proof that a real server answers so.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

USER = "reader"
PASSWORD = "open sesame"
ALIAS = "3c8f9a52-0b1d-4c57-9a5e-0d4f6b7a8c9d"
SESSION_ID = "0123456789ABCDEF0123456789ABCDEF"
Json = dict[str, Any]


@dataclass
class Resource:
    """A folder of files of a scan."""

    label: str
    files: dict[str, bytes]
    format: str = ""


@dataclass
class Scan:
    """A series of images."""

    id: str
    type: str = "HAND AP"
    series: str = "Left hand"
    resources: list[Resource] = field(default_factory=list)


@dataclass
class Session:
    """An experiment of a subject."""

    label: str
    scans: list[Scan] = field(default_factory=list)
    type: str = "xnat:crSessionData"
    variables: dict[str, str] = field(default_factory=dict)


@dataclass
class Subject:
    """A patient."""

    label: str
    sessions: list[Session] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    demographics: dict[str, str] = field(default_factory=dict)
    owner: str = ""


@dataclass
class FakeXnat:
    """The server's state.

    Attributes:
        projects: Id -> subjects.
        hidden: Projects that the account may not read.
        disturb: Is called with each path; returns a status to answer instead, 0: none, or -1: the
            connection is cut in the middle of the answer.
        asked: Paths of all requests, in order.
        checksums: Whether file lists tell MD5 digests.
    """

    projects: dict[str, list[Subject]] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    disturb: Callable[[str], int] = lambda path: 0
    asked: list[str] = field(default_factory=list)
    checksums: bool = True
    url: str = ""
    stop: Callable[[], None] = lambda: None

    def asked_for(self, part: str) -> int:
        """Counts the requests whose path holds a text."""
        return sum(part in path for path in self.asked)

    def answer(self, path: str) -> Json | bytes | int:
        """Returns a JSON answer, a file, or a status."""
        for pattern, find in ROUTES:
            found = re.fullmatch(pattern, path)
            if found:
                try:
                    return find(self, *map(unquote, found.groups()))
                except (KeyError, StopIteration):
                    return 404
        return 404

    def subjects(self, project: str) -> Json | int:
        if project in self.hidden:
            return 403
        rows = [
            {
                "insert_date": "2024-01-02 03:04:05.6",
                "project": subject.owner or project,
                "ID": subject_id(project, number),
                "label": subject.label,
                "insert_user": "admin",
                "URI": f"/data/subjects/{subject_id(project, number)}",
            }
            for number, subject in enumerate(self.projects[project])
        ]
        return result_set(rows)

    def experiments(self, project: str, subject: str) -> Json:
        rows = [
            {
                "date": "",
                "xsiType": session.type,
                "xnat:subjectassessordata/id": f"{subject}_E{number}",
                "insert_date": "2024-01-02 03:04:05.6",
                "project": project,
                "ID": f"{subject}_E{number}",
                "label": session.label,
                "URI": f"/data/experiments/{subject}_E{number}",
            }
            for number, session in enumerate(self.subject(subject).sessions)
        ]
        return result_set(rows)

    def scans(self, session: str) -> Json:
        rows = [
            {
                "xsiType": "xnat:crScanData",
                "xnat_imagescandata_id": str(number),
                "note": "",
                "series_description": scan.series,
                "ID": scan.id,
                "type": scan.type,
                "URI": f"/data/experiments/{session}/scans/{scan.id}",
                "quality": "usable",
            }
            for number, scan in enumerate(self.session(session).scans)
        ]
        return result_set(rows)

    def resources(self, session: str, scan: str) -> Json:
        rows = [
            {
                "cat_desc": "",
                "cat_id": scan,
                "category": "scans",
                "content": "RAW",
                "element_name": "xnat:resourceCatalog",
                "file_count": str(len(resource.files)),
                "file_size": str(sum(map(len, resource.files.values()))),
                "format": resource.format,
                "label": resource.label,
                "tags": "",
                "xnat_abstractresource_id": str(number),
            }
            for number, resource in enumerate(self.scan(session, scan).resources, start=1)
        ]
        return result_set(rows)

    def files(self, session: str, scan: str, resource: str) -> Json:
        held = self.scan(session, scan).resources[int(resource) - 1]
        place = f"/data/experiments/{session}/scans/{scan}/resources/{resource}/files"
        rows = [
            {
                "Name": name.rpartition("/")[2],
                "Size": str(len(payload)),
                "file_tags": "",
                "file_content": "RAW",
                "file_format": held.format,
                "cat_ID": resource,
                "digest": hashlib.md5(payload).hexdigest() if self.checksums else "",
                "collection": held.label,
                "URI": f"{place}/{name}",
            }
            for name, payload in held.files.items()
        ]
        return result_set(rows)

    def file(self, session: str, scan: str, resource: str, name: str) -> bytes:
        return self.scan(session, scan).resources[int(resource) - 1].files[name]

    def subject_record(self, number: str) -> Json:
        subject = self.subject(number)
        facts = {"xnat_abstractDemographicData_id": 1, **subject.demographics}
        children = [child("demographics", [facts])] if subject.demographics else []
        return record(number, [*children, *custom(subject.variables)])

    def experiment_record(self, number: str) -> Json:
        return record(number, custom(self.session(number).variables))

    def subject(self, number: str) -> Subject:
        project, _, place = number.rpartition("_S")
        return self.projects[project][int(place)]

    def session(self, number: str) -> Session:
        subject, _, place = number.rpartition("_E")
        return self.subject(subject).sessions[int(place)]

    def scan(self, session: str, scan: str) -> Scan:
        return next(one for one in self.session(session).scans if one.id == scan)


def subject_id(project: str, number: int) -> str:
    """Returns the accession number of a subject."""
    return f"{project}_S{number}"


def result_set(rows: list[Json]) -> Json:
    """Returns a list as XNAT answers it."""
    return {"ResultSet": {"Result": rows, "totalRecords": str(len(rows))}}


def record(number: str, children: list[Json]) -> Json:
    """Returns one item as XNAT answers it."""
    return {"items": [{"children": children, "meta": {}, "data_fields": {"ID": number}}]}


def child(name: str, facts: list[Json]) -> Json:
    """Returns one part of an item."""
    return {
        "field": name,
        "items": [{"children": [], "meta": {"isHistory": False}, "data_fields": f} for f in facts],
    }


def custom(variables: dict[str, str]) -> list[Json]:
    """Returns custom variables as parts of an item."""
    facts: list[Json] = [{"name": name, "field": value} for name, value in variables.items()]
    return [child("fields/field", facts)] if facts else []


Find = Callable[..., Json | bytes | int]
ROUTES: list[tuple[str, Find]] = [
    (r"/data/projects/([^/]+)/subjects", FakeXnat.subjects),
    (r"/data/projects/([^/]+)/subjects/([^/]+)/experiments", FakeXnat.experiments),
    (r"/data/subjects/([^/]+)", FakeXnat.subject_record),
    (r"/data/experiments/([^/]+)", FakeXnat.experiment_record),
    (r"/data/experiments/([^/]+)/scans", FakeXnat.scans),
    (r"/data/experiments/([^/]+)/scans/([^/]+)/resources", FakeXnat.resources),
    (r"/data/experiments/([^/]+)/scans/([^/]+)/resources/(\d+)/files", FakeXnat.files),
    (r"/data/experiments/([^/]+)/scans/([^/]+)/resources/(\d+)/files/(.+)", FakeXnat.file),
]


@contextmanager
def serving(xnat: FakeXnat) -> Iterator[FakeXnat]:
    """Runs the server on a free port of this machine during the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Pages,), {"xnat": xnat}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    xnat.url = f"http://127.0.0.1:{server.server_port}"
    stopped = threading.Event()

    def stop() -> None:
        if not stopped.is_set():
            stopped.set()
            server.shutdown()
            server.server_close()
            thread.join()

    xnat.stop = stop
    try:
        yield xnat
    finally:
        stop()


class Pages(BaseHTTPRequestHandler):
    """Signs in, then answers for the account alone."""

    xnat: FakeXnat

    def do_PUT(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        form = parse_qs(self.rfile.read(length).decode())
        self.xnat.asked.append(self.path)
        if self.path != "/data/services/auth":
            self._send(404, b"")
        elif (form.get("username"), form.get("password")) == ([USER], [PASSWORD]):
            self._send(200, SESSION_ID.encode(), signed_in=True)
        else:
            self._send(401, b"The user name or password is wrong.")

    def do_DELETE(self) -> None:
        self.xnat.asked.append(f"DELETE {self.path}")
        self._send(200, b"")

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.xnat.asked.append(self.path)
        if parts.path == "/" or parts.path == "":
            alias = self.headers.get("Authorization", "").startswith("Basic ")
            self._send(200, b"<html>XNAT</html>", signed_in=alias)
        elif SESSION_ID not in self.headers.get("Cookie", ""):
            self._send(401, b"")
        elif parts.path == "/data/auth":
            self._send(200, f"User '{USER}' is logged in".encode())
        elif parts.path == "/data/JSESSION":
            self._send(self.xnat.disturb(parts.path) or 200, SESSION_ID.encode())
        else:
            self._data(parts.path, parse_qs(parts.query))

    def log_message(self, format: str, *args: object) -> None:
        """Keeps quiet."""

    def _data(self, path: str, query: dict[str, list[str]]) -> None:
        disturbance = self.xnat.disturb(path)
        if disturbance > 0:
            self._send(disturbance, b"<html>not now</html>")
            return
        answer = self.xnat.answer(path)
        if isinstance(answer, int):
            self._send(answer, b"")
        elif isinstance(answer, bytes):
            self._send(200, answer, cut=disturbance < 0)
        elif query.get("format") != ["json"]:
            self._send(200, b"<html>a page</html>")
        else:
            self._send(200, json.dumps(answer).encode(), cut=disturbance < 0)

    def _send(
        self, status: int, body: bytes, *, signed_in: bool = False, cut: bool = False
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if signed_in:
            self.send_header("Set-Cookie", f"JSESSIONID={SESSION_ID}; Path=/; HttpOnly")
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True

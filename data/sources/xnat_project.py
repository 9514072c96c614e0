"""The radiographs of an XNAT project, and what is missing there.

No real XNAT was at hand when this was written; see `xnat_server.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from urllib.parse import quote

from data.dicom.reading import to_image
from data.domain import Target
from data.errors import AccessError, ImageError, InvalidInputError, NotFoundError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits
from data.sources.cells import Columns
from data.sources.item import Delivered, SourceItem, refused
from data.sources.xnat_access import XnatAccess
from data.sources.xnat_facts import XnatFacts
from data.sources.xnat_scans import (
    SESSION,
    ScanRule,
    image_files,
    in_numbers,
    is_dicom,
)
from data.sources.xnat_server import Row, XnatServer, shared_server

DOWNLOAD_FAILED = "The download failed"
"""How the reason begins where a file is there and could not be fetched."""
ALL = "*"
"""Forces XNAT to answer all rows of a list, whatever its default is or will be."""

ONE_FAILED = (InvalidInputError, AccessError, NotFoundError)
"""What can be wrong with one thing of a project; a server that does not answer ends the import."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What a project should have and has not.

    Attributes:
        subject: Its label.
        session: Label of the session; empty: the subject has none.
        scan: Id of the scan; empty: the session has none that matches.
        what: `no subject`, `no session`, `no matching scan`, `several scans`,
            `no image resource`, `no image file` or `not readable`.
        detail: More in one sentence; may be empty.
    """

    subject: str
    session: str = ""
    scan: str = ""
    what: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class XnatQuery:
    """What is wanted of a project.

    Attributes:
        project: Id of the project.
        rule: Picks the scans.
        subjects: Labels or ids; None: all.
        targets: Of the task.
        columns: Which custom variables or demographic fields tell their values; others: none.
        salt: The workspace's secret, for pseudonyms of what DICOM files say.
        limits: Under which images are read.
    """

    project: str
    rule: ScanRule = field(default_factory=ScanRule)
    subjects: Collection[str] | None = None
    targets: Sequence[Target] = ()
    columns: Columns = field(default_factory=Columns)
    salt: str = field(default="", repr=False)
    limits: ImageLimits = DEFAULT_LIMITS


def read_xnat(
    access: XnatAccess, query: XnatQuery, on_missing: Callable[[Missing], None]
) -> Iterator[SourceItem]:
    """Yields the radiographs of a project: one for each image file of the scans that match.

    A patient is an XNAT subject, told by the project that owns it and the label. The project is
    listed while it is imported, so that the first radiographs are there at once.

    Args:
        access: The server.
        query: What is wanted.
        on_missing: Called for everything that is not there; such things yield nothing. Several
            scans where one is wanted, and lists that XNAT refuses, are yielded as refused too.

    Raises:
        NotFoundError: There is no such project, or none that this account may see.
        AccessError: User and password are refused.
        ServiceUnavailableError: XNAT does not answer; the next import goes on.
    """
    with XnatServer(access) as server:
        yield from _Walk(server, query, on_missing).items()


class _Walk:
    """One listing of a project."""

    def __init__(
        self, server: XnatServer, query: XnatQuery, on_missing: Callable[[Missing], None]
    ) -> None:
        self._server = server
        self._query = query
        self._missing = on_missing
        self._facts = XnatFacts(server, query.targets, query.columns)

    def items(self) -> Iterator[SourceItem]:
        """Yields the radiographs, subject by subject."""
        path = f"/data/projects/{_quoted(self._query.project)}/subjects"
        try:
            listed = self._server.rows(path, "ID", limit=ALL)
        except NotFoundError as error:
            raise NotFoundError(
                f"XNAT at {self._server.access.base} has no project {self._query.project!r} that "
                "this account may see."
            ) from error
        for subject in self._wanted(sorted(listed, key=_by_label)):
            try:
                yield from self._of_subject(subject, f"{path}/{_quoted(subject['ID'])}")
            except ONE_FAILED as error:
                yield self._refused(error, subject)

    def _wanted(self, listed: list[Row]) -> list[Row]:
        """Returns the subjects that are asked for; those that are not there are told."""
        if self._query.subjects is None:
            return listed
        by_name = {row["ID"]: row for row in listed} | {_label(row): row for row in listed}
        for name in self._query.subjects:
            if name not in by_name:
                self._missing(Missing(name, what="no subject"))
        asked = {by_name[name]["ID"] for name in self._query.subjects if name in by_name}
        return [row for row in listed if row["ID"] in asked]

    def _of_subject(self, subject: Row, path: str) -> Iterator[SourceItem]:
        rows = self._server.rows(f"{path}/experiments", "ID", limit=ALL)
        sessions = [row for row in rows if row.get("xsiType", "").lower().endswith(SESSION)]
        if not sessions:
            self._missing(Missing(_label(subject), what="no session"))
        for session in sorted(sessions, key=_by_label):
            try:
                yield from self._of_session(subject, session)
            except ONE_FAILED as error:
                yield self._refused(error, subject, session)

    def _of_session(self, subject: Row, session: Row) -> Iterator[SourceItem]:
        place = _label(subject), _label(session)
        path = f"/data/experiments/{_quoted(session['ID'])}/scans"
        scans = self._server.rows(path, "ID")
        matching = self._query.rule.matching(scans)
        if not matching:
            self._missing(Missing(*place, what="no matching scan", detail=_told(scans)))
            return
        if len(matching) > 1 and self._query.rule.several == "error":
            reason = f"{len(matching)} scans match the rule: {_told(matching)}."
            self._missing(Missing(*place, what="several scans", detail=reason))
            yield refused("/".join((self._query.project, *place)), reason)
            return
        scan = matching[-1 if self._query.rule.several == "keeplast" else 0]
        yield from self._of_scan(subject, session, scan, f"{path}/{_quoted(scan['ID'])}/resources")

    def _of_scan(self, subject: Row, session: Row, scan: Row, path: str) -> Iterator[SourceItem]:
        place = _label(subject), _label(session), scan["ID"]
        resources = self._server.rows(path, "xnat_abstractresource_id")
        resource = self._query.rule.resource_of(resources)
        if resource is None:
            labels = ", ".join(_label(row) for row in resources)
            self._missing(Missing(*place, what="no image resource", detail=labels))
            return
        number = resource["xnat_abstractresource_id"]
        listed = self._server.rows(f"{path}/{_quoted(number)}/files", "URI")
        files = image_files(resource, listed)
        if not files:
            self._missing(Missing(*place, what="no image file", detail=_label(resource)))
            return
        values = self._facts.values(subject["ID"], session["ID"])
        owner = subject.get("project") or self._query.project
        patient = f"xnat {owner}/{_label(subject)}"
        for file in files:
            item = self._item("/".join(place), file, number, is_dicom(resource))
            yield item if item.problem else replace(item, patient=patient, values=values)

    def _item(self, place: str, file: Row, resource: str, dicom: bool) -> SourceItem:
        path, digest, size = file["URI"], file.get("digest", ""), file.get("Size", "")
        inside = path.partition("/files/")[2] or file.get("Name", "")
        name = f"{self._query.project}/{place}/{inside}"
        limit = self._query.limits.max_bytes
        if not path.startswith("/"):
            return refused(name, f"XNAT says that the file is at {path[:200]!r}.")
        if size.isdecimal() and int(size) > limit:
            return refused(name, f"The file is larger than {limit} bytes.")
        load = partial(
            fetch_image,
            self._server.access,
            path,
            digest=digest,
            salt=self._query.salt if dicom else None,
            limits=self._query.limits,
        )
        return SourceItem(name, load=load, stamp=digest or f"{resource} {size}")

    def _refused(self, error: Exception, subject: Row, session: Row | None = None) -> SourceItem:
        place = _label(subject), _label(session) if session else ""
        self._missing(Missing(*place, what="not readable", detail=str(error)))
        return refused("/".join(filter(None, (self._query.project, *place))), str(error))


def fetch_image(
    access: XnatAccess, path: str, *, digest: str, salt: str | None, limits: ImageLimits
) -> Delivered:
    """Fetches a file from XNAT and returns it as an image.

    Args:
        access: The server.
        path: As the server's list of files says it.
        digest: Its MD5 if XNAT told one, else empty.
        salt: The workspace's secret, for a DICOM file; None: an ordinary image file.
        limits: Under which images are read.

    Raises:
        InvalidInputError: The file is gone, too large, or no readable image.
        ServiceUnavailableError: XNAT does not answer.
    """
    try:
        payload = shared_server(access).download(path, limits.max_bytes, digest)
    except ImageError:
        raise
    except ONE_FAILED as error:
        raise InvalidInputError(f"{DOWNLOAD_FAILED}: {error}") from error
    return Delivered(payload) if salt is None else to_image(payload, salt, limits)


def _by_label(row: Row) -> tuple[object, ...]:
    return in_numbers(_label(row))


def _label(row: Row) -> str:
    return row.get("label") or row.get("ID", "")


def _told(scans: list[Row]) -> str:
    """Returns what the scans of a session are, so that a rule can be written for them."""
    return "; ".join(
        f"{scan['ID']}: {scan.get('type', '')} ({scan.get('series_description', '')})"
        for scan in scans
    )


def _quoted(text: str) -> str:
    return quote(text, safe="")

"""Radiographs on a DICOMweb server: QIDO-RS finds them, WADO-RS delivers them (PS3.18)."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from data.dicom.elements import READ
from data.dicom.facts import keyed_hash
from data.dicom.reading import facts_from_json, read_header, to_image
from data.errors import FailedRequestError, ImageError, InvalidInputError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits
from data.sources.dicom_item import dicom_item
from data.sources.dicomweb_connection import (
    DicomWebConnection,
    DicomWebServer,
)
from data.sources.dicomweb_search import (
    INSTANCE,
    SERIES,
    STUDY,
    UID_FORM,
    Search,
    client_of,
    described,
    first,
    wanted_series,
)
from data.sources.item import Delivered, SourceItem, refused

_MULTIPART = 'multipart/related; type="application/dicom"'
AS_STORED = (f"{_MULTIPART}; transfer-syntax=*", _MULTIPART)
"""Without `*`, Orthanc and others unpack each image first; some others do not know `*`."""
UNCOMPRESSED = f"{_MULTIPART}; transfer-syntax=1.2.840.10008.1.2.1"

NOT_ACCEPTABLE = frozenset({400, 406, 415, 501})
_held: dict[int, DicomWebConnection] = {}
"""Process -> its connection."""


def read_dicomweb(
    server: DicomWebServer,
    search: Search,
    salt: str,
    left_out: Counter[str],
    limits: ImageLimits = DEFAULT_LIMITS,
) -> Iterator[SourceItem]:
    """Yields the radiographs that a search finds, in the order of the server.

    One request finds the studies (a page at a time), one each the series of a study, one each the
    description of a series; each image is fetched by `SourceItem.read`. Items are named by a keyed
    hash of their SOP Instance UID; an item's stamp is another one when its description changes, so
    that a repeated import fetches what is new.

    Args:
        server: Is asked.
        search: What for.
        salt: The workspace's secret for pseudonyms.
        left_out: Reason -> number of images that are not wanted; counted up here.
        limits: Largest file and image that are read.

    Raises:
        AccessError: The server does not let us in.
        InvalidInputError: It does not understand the search.
        ServiceUnavailableError: It does not answer, or does not speak DICOMweb.
    """
    connection = _connection(server)
    for study, series in wanted_series(connection, search):
        try:
            ask = partial(client_of(connection).retrieve_series_metadata, study, series)
            instances = described(connection, ask)
        except FailedRequestError as error:
            yield refused(f"series {keyed_hash('series', series, salt)}", str(error))
            continue
        for instance in instances:
            item = _item(server, instance, search, salt, left_out, limits)
            if item is not None:
                yield item


def load(
    server: DicomWebServer,
    uids: tuple[str, str, str],
    patient: str,
    salt: str,
    limits: ImageLimits,
) -> Delivered:
    """Fetches one image and shows its pixels; see `data.dicom.reading.to_image`.

    Where there is no decoder for it here, the server is asked to unpack it.

    Args:
        server: Has it.
        uids: Of study, series and instance.
        patient: Whose it is by the description.
        salt: The workspace's secret for pseudonyms.
        limits: Largest file and image that are read.

    Raises:
        CarpalError: As `DicomWebConnection.ask`.
        ImageError: It is not taken, or is not the image that was asked for.
    """
    connection = _connection(server)
    path = "studies/{}/series/{}/instances/{}".format(*uids)

    def fetched(accepted: tuple[str, ...]) -> bytes:
        payload = _fetch(connection, path, accepted)
        facts = read_header(payload, limits)
        if facts.instance != uids[2] or facts.patient != patient:
            raise ImageError("The server delivers another image than it described.")
        return payload

    payload = fetched(AS_STORED)
    try:
        return to_image(payload, salt, limits)
    except ImageError as error:
        try:
            return to_image(fetched((UNCOMPRESSED,)), salt, limits)
        except InvalidInputError:
            raise error from None


def _fetch(connection: DicomWebConnection, path: str, accepted: tuple[str, ...]) -> bytes:
    for accept in accepted[:-1]:
        try:
            return connection.fetch(path, accept)
        except FailedRequestError as error:
            if error.status not in NOT_ACCEPTABLE:
                raise
    return connection.fetch(path, accepted[-1])


def _connection(server: DicomWebServer) -> DicomWebConnection:
    """One connection for each process: two processes must not read from one socket."""
    held = _held.get(os.getpid())
    if held is None or held.server != server:
        if held is not None:
            held.close()
        held = _held[os.getpid()] = DicomWebConnection(server)
    return held


def _item(
    server: DicomWebServer,
    instance: dict[str, Any],
    search: Search,
    salt: str,
    left_out: Counter[str],
    limits: ImageLimits,
) -> SourceItem | None:
    uids = first(instance, STUDY), first(instance, SERIES), first(instance, INSTANCE)
    name = keyed_hash("instance", uids[2], salt)
    if not all(map(UID_FORM.fullmatch, uids)):
        return refused(name, "The server describes an image without valid identifiers.")
    try:
        facts = facts_from_json(instance)
    except InvalidInputError as error:
        return refused(name, str(error))
    if reason := search.unwanted(facts):
        left_out[reason] += 1
        return None
    if facts.problem:
        return refused(name, facts.problem)
    loader = partial(load, server, uids, facts.patient, salt, limits)
    return dicom_item(name, facts, salt, loader, _stamp(instance, salt))


def _stamp(instance: Mapping[str, Any], salt: str) -> str:
    """Returns a keyed hash of what is read of an image's description."""
    read = {f"{tag:08X}": instance.get(f"{tag:08X}") for tag in READ.values()}
    text = json.dumps(read, sort_keys=True, separators=(",", ":"))
    return keyed_hash("description", hashlib.sha256(text.encode()).hexdigest(), salt)

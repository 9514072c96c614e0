from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.domain import Radiograph, Split
from data.images.decoding import content_id, decode
from data.importing.items import ImportReport, import_items
from data.pool import Pool
from data.sources.item import Delivered, SourceItem
from data.splits import pseudonym, split_of
from tests.unit.data.dataset_cases import SPEC, encoded
from tests.unit.data.film_cases import COPIES, a_hand
from tests.unit.data.ledger_cases import new_ledger

SALT = "salt"
SHARES = (0.3, 0.3)
PATIENTS = [f"patient-{number}" for number in range(60)]
OF_SPLIT = {
    split: [p for p in PATIENTS if split_of(pseudonym(p, SALT), SALT, *SHARES) is split]
    for split in Split
}
"""Split -> patients whom the salt puts there."""
TRAINED, TESTED = OF_SPLIT[Split.TRAIN], OF_SPLIT[Split.TEST]


class Workspace:
    """A pool and a ledger, and items of hands to import."""

    def __init__(self, folder: Path) -> None:
        self.pool = Pool(folder / "pool")
        self.ledger = new_ledger(folder)

    def take(self, *items: SourceItem) -> ImportReport:
        return import_items(
            items,
            pool=self.pool,
            ledger=self.ledger,
            source="folder",
            salt=SALT,
            calibration_share=SHARES[0],
            test_share=SHARES[1],
            reference_splits=frozenset(),
            targets=SPEC.targets,
            workers=1,
        )

    def splits(self) -> dict[str, Split]:
        return {one.id: one.split for one in self.ledger.radiographs()}

    def files(self) -> set[str]:
        return {path.stem for path in self.pool.root.rglob("*") if path.is_file()}


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    workspace = Workspace(tmp_path)
    yield workspace
    workspace.ledger.close()


def item(name: str, payload: bytes, patient: str) -> SourceItem:
    return SourceItem(name, None, patient, load=partial(Delivered, payload))


HAND = encoded(a_hand(1))
COPY = COPIES["JPEG"](a_hand(1))
CUT = COPIES["cut by 2.5 % at each side"](a_hand(1))
OTHER = encoded(a_hand(2))


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("first", ["PNG", "JPEG"])
def test_the_same_pixels_in_other_bytes_are_the_known_radiograph(
    workspace: Workspace, first: str, form: str
) -> None:
    known = encoded(a_hand(1), first)
    again = encoded(decode(known), form, **({"compress_level": 1} if form == "PNG" else {}))
    workspace.take(item("first", known, "p"))

    report = workspace.take(item("again", again, "p"))

    assert (report.new, report.known, report.near_duplicates) == (0, 1, [])
    assert report.radiograph_ids == {"again": content_id(known)}
    assert workspace.files() == {content_id(known)}


def test_dark_films_with_the_same_pixels_are_merged(workspace: Workspace) -> None:
    dark = a_hand(1) // 40

    workspace.take(item("first", encoded(dark), "p"))
    report = workspace.take(item("again", encoded(dark, "TIFF"), "p"))

    assert (report.new, report.known) == (0, 1)


def test_films_without_contrast_are_merged_only_with_the_same_pixels(workspace: Workspace) -> None:
    grey, black = (np.full((40, 30), level, np.uint8) for level in (90, 0))

    report = workspace.take(
        item("grey", encoded(grey), "p"),
        item("black", encoded(black), "q"),
        item("again", encoded(black, "TIFF"), "r"),
    )

    assert (report.new, report.known, report.near_duplicates) == (2, 1, [])


@pytest.mark.parametrize("copy", COPIES)
def test_a_near_duplicate_is_listed_and_takes_the_split(workspace: Workspace, copy: str) -> None:
    workspace.take(item("film", HAND, TESTED[0]))

    again = COPIES[copy](a_hand(1))
    report = workspace.take(item("copy", again, TRAINED[0]))

    if content_id(again) == content_id(HAND):
        assert report.known == 1
        return
    (pair,) = report.near_duplicates
    assert (pair.one, pair.other) == (content_id(again), content_id(HAND))
    assert workspace.ledger.near_duplicates() == [pair]
    assert set(workspace.splits().values()) == {Split.TEST}


def test_other_hands_are_no_near_duplicates(workspace: Workspace) -> None:
    items = [item(f"hand-{seed}", encoded(a_hand(seed)), f"p{seed}") for seed in range(12)]

    report = workspace.take(*items)

    assert (report.new, report.near_duplicates) == (12, [])


def test_near_duplicates_are_found_within_one_import(workspace: Workspace) -> None:
    report = workspace.take(
        item("film", HAND, TESTED[0]), item("other", OTHER, "q"), item("copy", COPY, TRAINED[0])
    )

    assert [(p.one, p.other) for p in report.near_duplicates] == [
        (content_id(COPY), content_id(HAND))
    ]
    assert workspace.splits()[content_id(COPY)] is Split.TEST


def test_a_chain_of_near_duplicates_stays_in_one_split(workspace: Workspace) -> None:
    workspace.take(item("film", HAND, TESTED[0]))
    workspace.take(item("copy", COPY, TRAINED[0]))

    workspace.take(item("cut", CUT, TRAINED[1]), item("more", OTHER, TRAINED[1]))

    assert set(workspace.splits().values()) == {Split.TEST}


def test_a_film_whose_patient_is_in_another_split_is_refused(workspace: Workspace) -> None:
    workspace.take(item("film", HAND, TESTED[0]), item("other", OTHER, TRAINED[0]))

    report = workspace.take(item("copy", COPY, TRAINED[0]))

    ((name, reason),) = report.refused
    assert name == "copy"
    assert "test split" in reason
    assert "patient is in the train split" in reason
    assert workspace.files() == set(workspace.splits())


def test_a_patient_who_shares_a_film_shares_its_split(workspace: Workspace) -> None:
    workspace.take(item("film", HAND, TESTED[0]))

    workspace.take(item("same", HAND, TRAINED[0]))
    workspace.take(item("other", OTHER, TRAINED[0]))

    assert set(workspace.splits().values()) == {Split.TEST}


@pytest.mark.parametrize(
    "again",
    [HAND, encoded(a_hand(1), "TIFF")],
    ids=["the same bytes", "the same pixels"],
)
def test_a_known_film_of_a_patient_in_another_split_is_flagged(
    workspace: Workspace, again: bytes
) -> None:
    workspace.take(item("film", HAND, TESTED[0]), item("other", OTHER, TRAINED[0]))

    report = workspace.take(item("again", again, TRAINED[0]))

    what = "its film is in the test split, though its patient is in the train split"
    assert report.flagged == [("again", what)]
    assert set(workspace.splits().values()) == {Split.TEST, Split.TRAIN}


def test_a_known_film_whose_row_names_another_patient_is_flagged(workspace: Workspace) -> None:
    film = replace(item("film", HAND, TESTED[0]), stamp="as it was")
    workspace.take(film, item("other", OTHER, TRAINED[0]))

    report = workspace.take(replace(film, patient=TRAINED[0]))

    assert [name for name, _ in report.flagged] == ["film"]


def test_an_old_ledger_without_fingerprints_gets_them(workspace: Workspace) -> None:
    report = workspace.take(item("film", HAND, TESTED[0]))
    (old,) = workspace.ledger.radiographs()
    with TemporaryDirectory() as folder:
        ledger = new_ledger(Path(folder))
        ledger.add_radiographs([old])
        workspace.ledger.close()
        workspace.ledger = ledger

        report = workspace.take(item("copy", COPY, TRAINED[0]))

        assert len(report.near_duplicates) == 1
        assert len(ledger.fingerprints()) == 2


FILMS = [
    payload
    for seed in (1, 2, 3)
    for payload in (
        encoded(a_hand(seed, 96)),
        encoded(a_hand(seed, 96), "TIFF"),
        encoded(a_hand(seed, 96), "JPEG", quality=85),
        encoded(a_hand(seed, 96)[2:, 1:]),
    )
]
"""Three hands, each of them four times: itself, the same pixels, compressed, cut."""
FOUND = st.tuples(st.integers(0, len(FILMS) - 1), st.integers(0, 5))
"""A film, and the patient whom the source names."""


def found_item(found: tuple[int, int]) -> SourceItem:
    film, patient = found
    return item(f"film-{film} of {patient}", FILMS[film], PATIENTS[patient])


def check_splits(workspace: Workspace) -> None:
    radiographs = workspace.ledger.radiographs()
    of_patient: dict[str, set[Split]] = {}
    for one in radiographs:
        of_patient.setdefault(one.patient, set()).add(one.split)
    assert all(len(splits) == 1 for splits in of_patient.values())
    splits = workspace.splits()
    assert all(splits[p.one] is splits[p.other] for p in workspace.ledger.near_duplicates())


@pytest.mark.long
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(imports=st.lists(st.lists(FOUND, max_size=6), min_size=1, max_size=3))
def test_no_patient_and_no_film_is_ever_in_two_splits(
    imports: Sequence[Sequence[tuple[int, int]]],
) -> None:
    with TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        settled: dict[str, Radiograph] = {}

        for found in imports:
            workspace.take(*map(found_item, found))

            check_splits(workspace)
            now = {one.id: one for one in workspace.ledger.radiographs()}
            assert settled.items() <= now.items()
            settled = now
        workspace.ledger.close()


@pytest.mark.long
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    hands=st.lists(st.integers(0, 11), min_size=1, max_size=6, unique=True),
    order=st.randoms(use_true_random=False),
)
def test_the_order_and_repetition_of_imports_change_no_radiograph(
    hands: list[int], order: Random
) -> None:
    items = [item(f"hand-{h}", encoded(a_hand(h, 96)), PATIENTS[h % 4]) for h in hands]
    shuffled = [*items, *items]
    order.shuffle(shuffled)
    facts = []
    for given_items in (items, shuffled):
        with TemporaryDirectory() as folder:
            workspace = Workspace(Path(folder))
            workspace.take(*given_items)
            head = workspace.ledger.head()
            workspace.take(*given_items)

            assert workspace.ledger.head() == head
            facts.append(
                [(r.id, r.patient, r.split, r.path) for r in workspace.ledger.radiographs()]
            )
            workspace.ledger.close()
    assert facts[0] == facts[1]

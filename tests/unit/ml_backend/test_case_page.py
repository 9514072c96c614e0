"""The page of a case: whatever is known of a film is on it, and what is missing is said."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html import unescape

import numpy as np
import pytest
from PIL import Image

from data.domain import Reading
from labeling_config.client_sessions import SESSION_COOKIE
from tests.unit.data.dataset_cases import PNEUMONIA
from tests.unit.ml_backend.conftest import SIGNED_IN, Backend
from tests.unit.ml_backend.desk_cases import MODEL, READER, TASK, CaseDesk, case_desk, index_films
from tests.unit.ml_backend.fakes import NOW, FakePredictor

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def desk(backend: Backend) -> Iterator[CaseDesk]:
    made = case_desk(backend)
    with made.ledger:
        yield made


def text_of(desk: CaseDesk, path: str = f"/task/{TASK}") -> str:
    """Returns the words of a page, without tags and with single spaces."""
    answer = desk.browser.get(path, headers=HTML)
    assert answer.status_code == 200, answer.text
    body = answer.text.partition("<main>")[2]
    plain = unescape(re.sub(r"<[^>]*>", " ", body)).replace("\u00a0", " ")
    return " ".join(plain.split())


def test_a_film_that_nobody_has_read_and_no_model_has_seen_has_a_page(desk: CaseDesk) -> None:
    page = text_of(desk)

    assert f"Task {TASK}" in page
    assert "There is no model yet." in page
    assert "Nobody has read this film yet." in page
    assert "No model has scored this film yet." in page
    assert "neither a prediction nor a label yet" in page
    assert "There is no model yet that could compare films." in page


def test_the_page_tells_the_prediction_in_months_and_in_years(desk: CaseDesk) -> None:
    desk.backend.serve(FakePredictor(MODEL))
    desk.predict(112.0)

    page = text_of(desk)

    assert "9 y 4 m 112 months 90 % interval 8 y 2 m – 10 y 6 m (98–126 months)" in page
    assert "Sex female predicted, 93 %" in page
    assert "The film is like those that the model learnt from." in page
    assert f"Model {MODEL} serves" in page


@pytest.mark.parametrize(
    ("used", "predicted", "told"),
    [
        pytest.param({"sex": "male"}, (), "Sex male recorded", id="recorded"),
        pytest.param({}, (), "Sex withheld: predicted without it", id="withheld"),
    ],
)
def test_the_page_tells_a_recorded_and_a_withheld_sex(
    desk: CaseDesk, used: dict[str, str], predicted: tuple[str, ...], told: str
) -> None:
    desk.predict(used=used, predicted_inputs=predicted)

    assert told in text_of(desk)


@pytest.mark.parametrize(
    ("novelty", "told"),
    [
        pytest.param(None, "Not known", id="not-known"),
        pytest.param(1.0, "is like those", id="as-far-as-99-in-100"),
        pytest.param(1.01, "read it with care", id="unlike"),
        pytest.param(2.5, "do not rely on the prediction", id="very-unlike"),
    ],
)
def test_the_page_tells_in_words_how_familiar_the_film_is(
    desk: CaseDesk, novelty: float | None, told: str
) -> None:
    desk.predict(novelty=novelty)

    assert told in text_of(desk)


def test_the_page_tells_readings_and_the_error(desk: CaseDesk) -> None:
    desk.predict(112.0)
    desk.read(100.0)

    page = text_of(desk)

    assert f"{READER} 2026-03-04 05:06 8 y 4 m (100 months) female 1 min 12 s" in page
    assert "no prediction shown counts" in page
    assert "8 y 4 m (100 months), female; error +12 months" in page


def test_a_label_beyond_the_interval_is_marked(desk: CaseDesk) -> None:
    desk.predict(112.0)  # 98 to 126
    desk.read(126.0)
    assert "outside the interval" not in text_of(desk)

    desk.read(127.0, number=2)
    desk.ledger.withdraw_annotations(["7:1"])

    assert "error −15 months outside the interval" in text_of(desk)


def test_a_withdrawn_reading_is_marked(desk: CaseDesk) -> None:
    desk.read(100.0)
    desk.ledger.withdraw_annotations(["7:1"])

    assert "withdrawn" in text_of(desk)


def test_a_film_that_a_reader_cannot_read_says_why(desk: CaseDesk) -> None:
    desk.ledger.record_readings(
        [Reading(desk.film.id, READER, {}, NOW, "7:1", unreadable="motion")]
    )

    assert "cannot be read: motion" in text_of(desk)


def test_the_page_shows_the_standards_around_the_prediction(desk: CaseDesk) -> None:
    younger, same = desk.add_film(90.0, "female"), desk.add_film(110.0, "female")
    other = desk.add_film(109.0, "male")
    for film, age, sex in ((younger, 90, "female"), (same, 110, "female"), (other, 109, "male")):
        desk.settle(film, float(age), sex)
    desk.ledger.link_tasks(7, {42: same.id})
    desk.predict(112.0)

    page = desk.browser.get(f"/task/{TASK}").text

    assert f'href="/radiographs/{younger.id}"' in page
    assert 'href="/task/42"' in page
    assert f"/radiographs/{same.id}.png?size=512" in page
    assert other.id not in page
    told = text_of(desk)
    assert "7 y 6 m · just younger 90 months, female reference standard" in told
    assert "no older standard" in told


def test_the_page_shows_similar_cases(desk: CaseDesk) -> None:
    films = [desk.add_film(float(age), "male") for age in (60, 70)]
    for film in films:
        desk.settle(film, 60.0, "male")
    index_films(desk.backend, [*films, desk.film])
    desk.backend.serve(FakePredictor(MODEL))

    page = text_of(desk)

    assert f"by the features of {MODEL}, among 2 settled films of other patients" in page
    assert "5 y 0 m · male 60 months; similarity 1.00" in page


def test_similar_cases_that_are_not_there_yet_are_being_prepared(desk: CaseDesk) -> None:
    desk.backend.serve(FakePredictor(MODEL))
    desk.settle(desk.add_film(80.0, "male", patient=2), 80.0, "male")

    assert "Being prepared: load the page again in a moment." in text_of(desk)


def test_without_settled_films_there_are_no_similar_cases(desk: CaseDesk) -> None:
    desk.backend.serve(FakePredictor(MODEL))

    assert "There is no settled film of another patient yet." in text_of(desk)


def test_a_film_without_a_task_has_a_page_by_its_id(desk: CaseDesk) -> None:
    film = desk.add_film(80.0, "male")

    page = text_of(desk, f"/radiographs/{film.id}")

    assert f"Radiograph {film.id[:8]}" in page
    assert "Open in Label Studio" not in page


def test_a_task_without_a_number_has_a_page(backend: Backend) -> None:
    desk = case_desk(backend, PNEUMONIA)
    desk.backend.serve(FakePredictor(MODEL))
    desk.predict(
        values={"finding": "pneumonia", "cause": "viral"},
        intervals={},
        probabilities={"finding": {"normal": 0.1, "pneumonia": 0.9}, "cause": {"viral": 0.6}},
        used={},
        predicted_inputs=(),
    )
    desk.ledger.record_readings([Reading(desk.film.id, READER, {"finding": "normal"}, NOW, "7:1")])

    with desk.ledger:
        page = text_of(desk)

    assert "Finding by the model pneumonia, 90 %" in page
    assert "Label normal" in page
    assert "Reference standards" not in page
    assert "Heat map" not in page


def test_the_patient_is_shown_shortened(desk: CaseDesk) -> None:
    page = desk.browser.get(f"/task/{TASK}").text

    assert desk.film.patient[:6] in page
    assert desk.film.patient not in page


def test_the_page_leads_to_its_task_and_to_the_status_page(desk: CaseDesk) -> None:
    page = desk.browser.get(f"/task/{TASK}").text

    assert f'href="http://localhost:8080/projects/7/data?task={TASK}"' in page
    assert 'href="/"' in page


def test_the_page_runs_only_our_script_and_escapes_what_it_shows(desk: CaseDesk) -> None:
    desk.read(100.0, reader="<script>alert(1)</script>@example.org")

    answer = desk.browser.get(f"/task/{TASK}")

    assert answer.text.count("<script") == 1
    assert '<script src="/viewer.js" defer></script>' in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "script-src 'self'" in policy


@pytest.mark.parametrize("path", ["/task/42", "/task/0", "/task/x", "/task/9999999999"])
def test_an_unknown_task_is_a_page_for_a_browser_and_a_problem_for_others(
    desk: CaseDesk, path: str
) -> None:
    page = desk.browser.get(path, headers=HTML)
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert "Not Found" in page.text

    problem = desk.browser.get(path)
    assert (problem.status_code, problem.mimetype) == (404, "application/problem+json")


@pytest.mark.parametrize("path", ["", ".png", "/heat-map.png"])
@pytest.mark.parametrize("key", ["f" * 64, "..", "x", "a b", '"'], ids=repr)
def test_an_unknown_film_is_not_found(desk: CaseDesk, key: str, path: str) -> None:
    assert desk.browser.get(f"/radiographs/{key}{path}").status_code == 404


def test_a_film_is_served_as_it_is_stored(desk: CaseDesk) -> None:
    stored = Image.open(desk.backend.settings.pool / desk.film.path)

    answer = desk.browser.get(f"/radiographs/{desk.film.id}.png?grey=stored")

    assert answer.mimetype == "image/png"
    shown = Image.open(io.BytesIO(answer.data))
    assert np.array_equal(np.asarray(shown), np.asarray(stored))


def test_a_film_is_kept_by_browsers_for_as_long_as_its_content_is_the_same(
    desk: CaseDesk,
) -> None:
    path = f"/radiographs/{desk.film.id}.png"
    first = desk.browser.get(path)
    assert first.headers["Cache-Control"] == "private, max-age=31536000, immutable"

    again = desk.browser.get(path, headers={"If-None-Match": first.headers["ETag"]})

    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("query", ["size=511", "grey=negative", "size=512&grey=stored"])
def test_a_picture_of_another_kind_is_refused(desk: CaseDesk, query: str) -> None:
    answer = desk.browser.get(f"/radiographs/{desk.film.id}.png?{query}")

    assert answer.status_code == 400


def test_a_film_whose_content_has_changed_is_not_shown(desk: CaseDesk) -> None:
    other = desk.add_film(50.0, "male")
    pool = desk.backend.settings.pool
    (pool / desk.film.path).write_bytes((pool / other.path).read_bytes())

    answer = desk.browser.get(f"/radiographs/{desk.film.id}.png")

    assert answer.status_code == 422
    assert "not the one that was imported" in answer.get_json()["detail"]
    assert f"Task {TASK}" in text_of(desk)


def test_the_heat_map_is_of_the_serving_model_told_what_it_was_told(desk: CaseDesk) -> None:
    desk.backend.serve(FakePredictor(MODEL))
    desk.predict(used={"sex": "female"}, predicted_inputs=())

    answer = desk.browser.get(f"/task/{TASK}/heat-map.png")

    assert answer.mimetype == "image/png"
    assert desk.pictures.drawn == [(MODEL, desk.film.id, "age_months", {"sex": "female"})]


def test_while_a_heat_map_is_computed_pages_are_answered(
    desk: CaseDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.backend.serve(FakePredictor(MODEL))
    begun, go_on = threading.Event(), threading.Event()

    def slow(*asked: object) -> bytes:
        begun.set()
        assert go_on.wait(10)
        return b"drawn"

    monkeypatch.setattr(desk.pictures, "heat_map", slow)
    with ThreadPoolExecutor(1) as other:
        path = f"/task/{TASK}/heat-map.png"
        drawing = other.submit(lambda: desk.browser.get(path))
        assert begun.wait(10)
        try:
            assert desk.browser.get(f"/task/{TASK}").status_code == 200
            assert not drawing.done()
        finally:
            go_on.set()
        assert drawing.result().data == b"drawn"


def test_the_heat_map_is_on_the_page_once_it_is_asked_for(desk: CaseDesk) -> None:
    desk.backend.serve(FakePredictor(MODEL))
    shown = f' src="/radiographs/{desk.film.id}/heat-map.png"'

    assert shown not in desk.browser.get(f"/task/{TASK}").text
    assert shown in desk.browser.get(f"/task/{TASK}?heat-map=on").text


def test_without_a_model_there_is_no_heat_map(desk: CaseDesk) -> None:
    answer = desk.browser.get(f"/radiographs/{desk.film.id}/heat-map.png")

    assert answer.status_code == 404
    assert "Heat map" not in text_of(desk)


FILMS = [f"/task/{TASK}", f"/task/{TASK}/heat-map.png", "film", "page"]


def address_of(desk: CaseDesk, path: str) -> str:
    film = f"/radiographs/{desk.film.id}"
    return {"film": f"{film}.png", "page": film}.get(path, path)


@pytest.mark.parametrize("path", FILMS)
@pytest.mark.parametrize("host", ["localhost", "carpal.example.org"])
def test_whoever_is_signed_in_to_label_studio_sees_films(
    desk: CaseDesk, path: str, host: str
) -> None:
    desk.backend.serve(FakePredictor(MODEL))
    client = desk.backend.client
    client.set_cookie(SESSION_COOKIE, SIGNED_IN, domain=host)

    answer = client.get(address_of(desk, path), base_url=f"http://{host}:9090")

    assert answer.status_code == 200


@pytest.mark.parametrize("path", FILMS)
@pytest.mark.parametrize("cookie", ["", "another-session"])
def test_nobody_else_does(desk: CaseDesk, path: str, cookie: str) -> None:
    desk.backend.serve(FakePredictor(MODEL))
    client = desk.backend.client
    client.set_cookie(SESSION_COOKIE, cookie)

    here = client.get(address_of(desk, path), headers=HTML)
    elsewhere = client.get(address_of(desk, path), headers={"Host": "carpal.example.org"})

    assert (here.status_code, elsewhere.status_code) == (401, 401)
    assert "sign in there" in here.text
    assert "WWW-Authenticate" not in here.headers
    assert elsewhere.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize("path", FILMS)
def test_the_password_of_the_backend_opens_films(desk: CaseDesk, path: str) -> None:
    desk.backend.serve(FakePredictor(MODEL))

    assert desk.backend.get(address_of(desk, path)).status_code == 200


@pytest.mark.parametrize("path", ["/viewer.js", "/icon.svg"])
def test_what_pages_look_like_is_open_to_this_machine_alone(desk: CaseDesk, path: str) -> None:
    assert desk.backend.client.get(path).status_code == 200
    elsewhere = desk.backend.client.get(path, headers={"Host": "carpal.example.org"})
    assert elsewhere.status_code == 401


def test_the_page_that_labelling_leads_to_tells_no_reading(desk: CaseDesk) -> None:
    desk.predict(112.0)
    desk.read(97.0)

    independent = text_of(desk, f"/task/{TASK}?readings=off")

    assert READER in text_of(desk)
    assert READER not in independent
    assert "97 months" not in independent
    assert "Left out here" in independent
    assert "112 months" in independent

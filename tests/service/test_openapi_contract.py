"""Schemathesis: requests made from the OpenAPI document get the answers that it promises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
import schemathesis
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.config import SchemathesisConfig

from data.errors import NotFoundError
from data.images.decoding import encode_png
from labeling_config.tasks import load_task
from ml_backend.openapi import openapi_document
from tests.service.small_backend import PASSWORD, USER, SmallBackend, small_backend
from tests.unit.ml_backend.fakes import picture

pytestmark = pytest.mark.long

EXAMPLES = 12
"""Random requests per operation, beside those that cover its schema."""


def nothing_uploaded(path: str) -> bytes:
    raise NotFoundError(f"Label Studio has no {path}.")


class Deferred:
    """An application that is made after the tests are collected."""

    def __init__(self) -> None:
        self.made: SmallBackend | None = None

    def radiograph(self, number: int) -> str:
        """Returns the id of a film of the pool, or one that there is not."""
        films = self.made.films if self.made else []
        return films[number].id if number < len(films) else f"{number:064x}"

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        assert self.made is not None
        return self.made.app(environ, start)


application = Deferred()
schemathesis.openapi.format("radiograph", st.integers(0, 7).map(application.radiograph))
schemathesis.openapi.format("film", st.integers(1, 9).map(lambda n: encode_png(picture(n))))
schemathesis.openapi.format("label-config", st.just(load_task("bone_age").config_xml))


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallBackend]:
    torch.set_num_threads(1)
    with small_backend(tmp_path_factory.mktemp("workspace"), nothing_uploaded) as made:
        application.made = made
        yield made
        application.made = None


MAY_REFUSE = ["2xx", 400, 422]
GONE = [400, 401, 410, 415]
OPERATIONS = [
    {
        # The network has no masks, so it cannot do as a well-formed `use_mask` says.
        "include-name": "POST /api/predict",
        "checks": {"positive_data_acceptance": {"expected-statuses": MAY_REFUSE}},
    },
    {
        # Another project, one that is labelled otherwise, and a webhook of none are refused.
        "include-name": ["POST /setup", "POST /predict", "POST /webhook"],
        "checks": {"positive_data_acceptance": {"expected-statuses": MAY_REFUSE}},
    },
    {
        # A small film as it is stored is refused.
        "include-name": "GET /radiographs/{radiograph_id}.png",
        "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", 400, 404]}},
    },
    {
        "include-name": "POST /job_status",
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["2xx", *GONE]},
            "negative_data_rejection": {"expected-statuses": GONE},
        },
    },
]

document = schemathesis.openapi.from_dict(
    openapi_document(),
    config=SchemathesisConfig.from_dict(
        {
            "auth": {"basic": {"username": USER, "password": PASSWORD}},
            "generation": {"database": "none", "deterministic": True},
            "operations": OPERATIONS,
        }
    ),
)
document.app = application


@document.parametrize()
@pytest.mark.usefixtures("backend")
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_requests_made_from_the_document_get_what_it_promises(case: Case) -> None:
    case.call_and_validate()

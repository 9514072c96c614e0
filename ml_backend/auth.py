"""Who may ask: basic authentication, and the secret header of our webhooks.

`/health`, `/v2/health/live` and `/v2/health/ready` are open, because Label Studio and supervisors
ask them before anything else, and `/openapi.json`, because it says how to ask. `/`, the page that
shows the loop, and those of dataset versions are open to a browser on this machine: they hold no
secret and change nothing. Films and the pages of cases are for whoever is signed in to Label
Studio in the same browser: its cookie comes along, for cookies are a host's and not a port's.
Everything else needs the name and password that Label Studio was given, except that a webhook may
bring `X-Carpal-Webhook-Secret` instead: webhooks that Label Studio makes by itself do not inherit
the backend's credentials.
"""

from __future__ import annotations

import hmac
import ipaddress

from flask import Flask, Request, Response, request

from data.errors import AccessError, StackError
from labeling_config.client_sessions import SESSION_COOKIE
from ml_backend.errors import problem
from ml_backend.pages import refusal_page
from ml_backend.services import Services
from workers.settings import Settings

WEBHOOK_SECRET_HEADER = "X-Carpal-Webhook-Secret"  # noqa: S105 the header's name
OPEN_ENDPOINTS = frozenset(
    {"label_studio.health", "inference.server_live", "inference.server_ready", "openapi.document"}
)
LOCAL_ENDPOINTS = frozenset(
    {
        *("status.page", "versions.page"),
        *("case.viewer", "case.icon"),
    }
)
FILM_ENDPOINTS = frozenset(
    {
        *("case.case_of_task", "case.case_of_film", "case.film"),
        *("case.heat_map_of_task", "case.heat_map_of_film"),
        "versions.picture",
    }
)
SIGN_IN = (
    "Films are shown to whoever is signed in to Label Studio: sign in there in this browser, under "
    "the same host name as here, and load this page again."
)
WEBHOOK_ENDPOINT = "label_studio.webhook"
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


def protect(app: Flask, services: Services) -> None:
    """Refuses requests without valid credentials before their body is read.

    Raises:
        StackError: A secret is missing: without it everybody could come in.
    """
    settings = services.settings
    for name in ("backend_user", "backend_password", "webhook_secret"):
        if not getattr(settings, name):
            raise StackError(
                f"CARPAL_{name.upper()} is empty: set it, or let `carpal up` make the secrets."
            )

    @app.before_request
    def check() -> Response | None:
        if request.endpoint in OPEN_ENDPOINTS:
            return None
        if request.endpoint in LOCAL_ENDPOINTS and is_local(request):
            return None
        films = request.endpoint in FILM_ENDPOINTS
        if films and services.signed_in(request.cookies.get(SESSION_COOKIE, "")):
            return None
        try:
            _check_credentials(request, settings)
        except AccessError as error:
            if films and request.authorization is None and is_local(request):
                # No challenge: the browser would ask for a password that readers do not have.
                return refusal_page(services, AccessError(SIGN_IN))
            answer = problem(error.http_status, str(error))
            answer.headers["WWW-Authenticate"] = (
                f'Basic realm="Carpal{request.script_root}", charset="UTF-8"'
            )
            return answer
        return None


def is_local(asked: Request) -> bool:
    """Returns whether a browser on this machine asks, directly and by a local name.

    A request that a proxy forwarded comes from a local address as well, and a web page elsewhere
    can point its own name at 127.0.0.1; the headers tell these apart.
    """
    forwarded = any(name in asked.headers for name in ("Forwarded", "X-Forwarded-For"))
    name = asked.host.lower()
    name = name[: name.index("]") + 1] if "]" in name else name.partition(":")[0]
    return not forwarded and name in LOCAL_NAMES and _is_loopback(asked.remote_addr or "")


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _check_credentials(asked: Request, settings: Settings) -> None:
    """Raises AccessError unless the credentials are right; takes the same time either way."""
    secret = asked.headers.get(WEBHOOK_SECRET_HEADER)
    if asked.endpoint == WEBHOOK_ENDPOINT and secret is not None:
        if _same(secret, settings.webhook_secret):
            return
        raise AccessError(f"The value of {WEBHOOK_SECRET_HEADER} is wrong.")
    given = asked.authorization
    if given is None or given.type != "basic":
        raise AccessError("This address needs the name and password of the backend.")
    known_user = _same(given.username or "", settings.backend_user)
    known_password = _same(given.password or "", settings.backend_password)
    if not (known_user and known_password):
        raise AccessError("The name or the password is wrong.")


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())

"""How Label Studio is started: closed to strangers, its secrets kept."""

from __future__ import annotations

import re

import psutil
import pytest
import requests

from carpal import label_studio
from data.errors import AccessError
from labeling_config.client import ProjectHandle
from tests.service.label_studio.studio_cases import PYTHON, Studio

pytestmark = pytest.mark.service


def test_it_listens_on_this_machine_only(studio: Studio) -> None:
    listening = [
        c.laddr.ip
        for c in psutil.Process(studio.process.pid).net_connections("tcp")
        if c.status == psutil.CONN_LISTEN
    ]

    assert listening == ["127.0.0.1"]


def test_no_secret_stands_on_its_command_line(studio: Studio) -> None:
    line = " ".join(psutil.Process(studio.process.pid).cmdline())

    for secret in (studio.settings.label_studio_token, studio.settings.label_studio_password):
        assert secret not in line


def test_strangers_cannot_sign_up(studio: Studio) -> None:
    session = requests.Session()
    page = f"{studio.settings.label_studio}/user/signup/"
    session.get(page, timeout=30)
    form = {
        "email": "stranger@example.org",
        "password": "long-enough-1",
        "csrfmiddlewaretoken": session.cookies["csrftoken"],
    }

    answer = session.post(page, data=form, headers={"Referer": page}, timeout=30)
    session.close()

    assert answer.status_code == 403
    assert set(studio.client.user_emails().values()) == {studio.settings.label_studio_email}


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_both_names_of_this_machine_lead_to_the_sign_in_page(studio: Studio, name: str) -> None:
    url = f"http://{name}:{studio.settings.label_studio_port}/user/login/"

    assert requests.get(url, timeout=30).status_code == 200


def test_no_other_name_is_answered(studio: Studio) -> None:
    url = f"http://127.0.0.1:{studio.settings.label_studio_port}/user/login/"

    answer = requests.get(url, headers={"Host": "evil.example.org"}, timeout=30)

    assert answer.status_code == 400


def test_its_secrets_are_readable_by_their_owner_alone(studio: Studio) -> None:
    folder = studio.settings.home / "label-studio"

    assert folder.stat().st_mode & 0o077 == 0


def test_the_list_of_banned_networks_is_label_studios_own() -> None:
    (source,) = PYTHON.parent.parent.glob("lib/*/site-packages/label_studio/core/utils/io.py")
    block = source.read_text().split("default_banned_subnets = [")[1].split("]")[0]

    assert re.findall(r"'([0-9a-f:./]+)'", block) == list(label_studio.BANNED_SUBNETS)


@pytest.mark.parametrize("host", ["127.0.0.2", "10.0.0.1", "169.254.169.254"])
def test_no_local_address_but_the_backends_can_be_reached_through_it(
    studio: Studio, handle: ProjectHandle, host: str
) -> None:
    port = studio.settings.backend_port

    with pytest.raises(AccessError, match="may not talk to"):
        studio.ensure(backend_url=f"http://{host}:{port}")

"""Settings come from the environment, then the workspace's own files, then the defaults."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

import workers.settings
from data.errors import InvalidInputError, StorageError
from workers.settings import GENERATED_SECRETS, SECRETS_FILE, Settings, ensure_secrets
from workers.workspace_file import WORKSPACE_FILE


def load(home: Path, **variables: str) -> Settings:
    return Settings.load({"CARPAL_HOME": str(home), **variables})


def test_the_environment_comes_before_the_secrets_file(tmp_path: Path) -> None:
    ensure_secrets(tmp_path)
    kept = load(tmp_path).redis_password

    assert len(kept) == 32
    assert load(tmp_path, CARPAL_REDIS_PASSWORD="mine").redis_password == "mine"


def test_what_the_workspace_keeps_comes_between_the_environment_and_the_defaults(
    tmp_path: Path,
) -> None:
    (tmp_path / WORKSPACE_FILE).write_text(
        'task = "hand"\nretrain_after = 7\ntest_share = 0.2\nlabel_studio_python = "ls/python"\n'
    )

    settings = load(tmp_path, CARPAL_RETRAIN_AFTER="8")

    assert (settings.task, settings.retrain_after, settings.test_share) == ("hand", 8, 0.2)
    assert settings.label_studio_python == Path("ls/python")
    assert settings.retrain_min_new == Settings().retrain_min_new


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('tusk = "hand"', "'tusk' is no setting"),
        ('home = "/elsewhere"', "'home' is no setting"),
        ('backend_password = "hush"', "'backend_password' is no setting"),
        ("retrain_after = true", "retrain_after must be a text or a number"),
        ("[task]", "task must be a text or a number"),
        ('retrain_after = "many"', "CARPAL_RETRAIN_AFTER='many' is not a number"),
        ("retrain_after = 0", "CARPAL_RETRAIN_AFTER must be at least 1"),
        ("task = ", "not readable as TOML"),
    ],
    ids=["unknown", "home", "secret", "bool", "table", "text", "range", "syntax"],
)
def test_what_a_workspace_cannot_keep_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / WORKSPACE_FILE).write_text(text)

    with pytest.raises(InvalidInputError, match=said):
        load(tmp_path)


def test_values_take_the_type_of_their_field(tmp_path: Path) -> None:
    settings = load(tmp_path, CARPAL_RETRAIN_AFTER="7", CARPAL_TEST_SHARE="0.2")

    assert (settings.retrain_after, settings.test_share) == (7, 0.2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CARPAL_BACKEND_PORT", "abc"),
        ("CARPAL_TEST_SHARE", "2"),
        ("CARPAL_CALIBRATION_SHARE", "0"),
        ("CARPAL_RETRAIN_AFTER", "0"),
        ("CARPAL_RECONCILE_INTERVAL_S", "0"),
        ("CARPAL_TRAIN_TIMEOUT_S", "-1"),
        ("CARPAL_MAX_IMAGE_PIXELS", "0"),
        ("CARPAL_REDIS_URL", "127.0.0.1:6379"),
        ("CARPAL_IMAGE_HOSTS", "https://bucket.example.org"),
        ("CARPAL_LABEL_STUDIO_URL", "localhost:8080"),
        ("CARPAL_BACKEND_URL", "ftp://backend:9090"),
        ("CARPAL_BACKEND_URL", "http://backend:90900"),
        ("CARPAL_REDIS_URL", "redis://:hush:port/0"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(InvalidInputError, match=name):
        load(tmp_path, **{name: value})


def test_an_address_that_is_none_is_not_quoted(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as refused:
        load(tmp_path, CARPAL_REDIS_URL="redis://:hush:port/0")

    assert "hush" not in str(refused.value)


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    ensure_secrets(tmp_path)
    path = tmp_path / SECRETS_FILE
    first = path.read_text()

    ensure_secrets(tmp_path)

    assert path.read_text() == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_missing_secret_is_added_and_the_others_are_kept(tmp_path: Path) -> None:
    (tmp_path / SECRETS_FILE).write_text('salt = "older"\n')

    ensure_secrets(tmp_path)

    settings = load(tmp_path)
    assert settings.salt == "older"
    assert all(getattr(settings, name) for name in GENERATED_SECRETS)


def test_secrets_that_another_process_writes_meanwhile_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read = tmp_path / SECRETS_FILE, workers.settings._read_secrets

    def read_before_the_other_writes(file: Path) -> dict[str, str]:
        found = read(file)
        if not path.exists():
            path.write_text('salt = "theirs"\n')
        return found

    monkeypatch.setattr(workers.settings, "_read_secrets", read_before_the_other_writes)
    ensure_secrets(tmp_path)

    assert load(tmp_path).salt == "theirs"


def test_a_damaged_secrets_file_is_said_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / SECRETS_FILE).write_text("salt = ")

    with pytest.raises(InvalidInputError, match=SECRETS_FILE):
        load(tmp_path)


def test_no_secret_is_shown_when_settings_are_printed(tmp_path: Path) -> None:
    ensure_secrets(tmp_path)
    settings = load(tmp_path)

    shown = repr(settings)

    assert not [name for name in GENERATED_SECRETS if getattr(settings, name) in shown]


def test_a_password_with_strange_characters_still_makes_an_address(tmp_path: Path) -> None:
    settings = load(tmp_path, CARPAL_REDIS_PASSWORD="p@ss/word:1")

    assert settings.redis == "redis://:p%40ss%2Fword%3A1@127.0.0.1:6390/0"


def test_a_workspace_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError, match="cannot be written"):
        ensure_secrets(tmp_path / "file" / "workspace")


def test_secrets_in_another_encoding_are_said(tmp_path: Path) -> None:
    (tmp_path / SECRETS_FILE).write_bytes('salt = "\xe4"'.encode("latin-1"))

    with pytest.raises(InvalidInputError, match="not readable as TOML"):
        ensure_secrets(tmp_path)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({}, "http://localhost:9090", id="both here"),
        pytest.param(
            {"label_studio_url": "https://studio.example.org"},
            "http://127.0.0.1:9090",
            id="Label Studio elsewhere",
        ),
        pytest.param(
            {"backend_url": "http://backend:9090/hands"},
            "http://backend:9090/hands",
            id="the backend elsewhere",
        ),
        pytest.param(
            {"backend_url": "http://127.0.0.1:9191/hands"},
            "http://localhost:9191/hands",
            id="below a prefix",
        ),
    ],
)
def test_pages_are_opened_under_label_studios_host_name(
    given: dict[str, str], expected: str
) -> None:
    assert Settings(**given).pages == expected  # type: ignore[arg-type]

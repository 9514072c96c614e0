"""The one place where the environment is read.

Every setting is a field of `Settings`; its environment variable is `CARPAL_` and the field's
name in capitals. Values come from the environment first, then from the workspace: `secrets.toml`
(made by `ensure_secrets`, readable by its owner alone) and `carpal.toml`
(`workers/workspace_file.py`), then from the defaults here.
A test holds this class against `.env.example`.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from data.atomic import storage_error, write_file
from data.errors import InvalidInputError
from labeling_config.image_hosts import read_image_hosts
from workers.workspace_file import WORKSPACE_FILE, read_table

PREFIX = "CARPAL_"
DEFAULT_HOME = "workspace"
SECRETS_FILE = "secrets.toml"
REVIEWS = ("off", "branch")
WORKING_SETS = ("pool", "chosen")
WEB = ("http://", "https://")
AT_LEAST_ONE = (
    *("retrain_first_after", "retrain_after", "retrain_min_new"),
    *("reconcile_interval_s", "train_timeout_s", "max_image_bytes", "max_image_pixels"),
)
URL_SCHEMES = {
    "redis_url": ("redis://", "rediss://", "unix://"),
    "label_studio_url": WEB,
    "backend_url": WEB,
}
"""What the addresses of other services must begin with."""
GENERATED_SECRETS: Mapping[str, int] = {
    "label_studio_password": 12,
    "label_studio_token": 20,
    "redis_password": 16,
    "backend_password": 16,
    "webhook_secret": 16,
    "salt": 32,
}
"""Secret field -> bytes of randomness (written as hexadecimal digits)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What an installation decides.

    Attributes:
        home: The workspace: pool, dataset repository, ledger, caches, logs.
        task: Name of the folder in `labeling_config` that this workspace works on.
        ledger_url: SQLAlchemy URL of the ledger; empty: SQLite in the workspace.
        redis_url: Redis that carries the queue; empty: the stack's own, on `redis_port`.
        redis_port: Loopback port of the stack's own Redis.
        redis_password: Password of the stack's own Redis.
        mlflow_uri: MLflow tracking and registry URI; empty: SQLite in the workspace.
        mlflow_port: Loopback port of the stack's MLflow pages.
        label_studio_url: How Carpal (and the browser) reach Label Studio; empty: the stack's own.
        label_studio_port: Loopback port of the stack's own Label Studio.
        label_studio_token: Access: a legacy 40-digit key or a personal access token.
        label_studio_email: The account that Carpal makes and uses.
        label_studio_password: Its password for the sign-in page.
        label_studio_python: Python of Label Studio's own environment.
        backend_host: Address that the ML backend binds to.
        backend_port: Port that the ML backend binds to.
        backend_url: How Label Studio reaches the backend; empty: host and port above. With a path
            (`http://host:9090/hand`): below it another workspace's backend serves this one.
        also_serves: Folders of other workspaces that this backend serves too, each below the last
            part of its name, by comma.
        backend_user: Name for the backend's basic authentication.
        backend_password: Password for the backend's basic authentication.
        webhook_secret: Value of the `X-Carpal-Webhook-Secret` header of our webhooks.
        salt: Salt of patient pseudonyms and of the split; never change it.
        retrain_first_after: Labels that start the very first training.
        retrain_after: New or changed labels that start each later training.
        retrain_max_wait_s: Seconds after which fewer new labels start one too; 0: never.
        retrain_min_new: Fewest new labels for a training by waiting or by request.
        retrain_min_interval_s: Fewest seconds between two starts.
        reconcile_interval_s: Seconds between two timer-driven reconciles.
        train_timeout_s: Seconds after which a training is ended.
        calibration_share: Share of the patients in the calibration split, 0..0.5.
        test_share: Share of the patients in the test split, 0..0.5.
        train_config: YAML file with training options; empty: the defaults of `TrainOptions`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        dvc_remote: DVC remote (folder or `s3://`) that versions are pushed to; empty: none.
        git_author: `Name <address>` of the dataset commits.
        git_remote: git remote (URL or folder) that versions are pushed to; empty: none.
        dataset_branch: Branch of the dataset repository that versions are committed on.
        review: `off`: a version counts at once; `branch`: after a human has merged its proposal.
        adjudicators: E-mail addresses of readers whose reading settles a disagreement, by comma.
        working_set: What is put before the experts: the whole `pool`, or what was `chosen` by
            `carpal extend`.
        xnat_user: Account (or alias token) on the XNAT server that is imported from.
        xnat_password: Its password (or the token's secret).
        dicomweb_user: Account on the DICOMweb server that is imported from.
        dicomweb_password: Password of that account.
        dicomweb_token: Bearer token for that server, instead of user and password.
        image_hosts: Hosts that images of cloud storages are read from where Label Studio sends us
            on to them, by comma: `name`, `name:port`, or `private:name` in a private network.
        max_image_bytes: Largest image file that is read.
        max_image_pixels: Largest image that is decoded.
    """

    home: Path = Path(DEFAULT_HOME)
    task: str = "bone_age"
    ledger_url: str = ""
    redis_url: str = ""
    redis_port: int = 6390
    redis_password: str = field(default="", repr=False)
    mlflow_uri: str = ""
    mlflow_port: int = 5050
    label_studio_url: str = ""
    label_studio_port: int = 8080
    label_studio_token: str = field(default="", repr=False)
    label_studio_email: str = "admin@carpal.example.org"
    label_studio_password: str = field(default="", repr=False)
    label_studio_python: Path = Path(".venv-ls/bin/python")
    backend_host: str = "127.0.0.1"
    backend_port: int = 9090
    backend_url: str = ""
    also_serves: str = ""
    backend_user: str = "label-studio"
    backend_password: str = field(default="", repr=False)
    webhook_secret: str = field(default="", repr=False)
    salt: str = field(default="", repr=False)
    retrain_first_after: int = 50
    retrain_after: int = 50
    retrain_max_wait_s: int = 24 * 3600
    retrain_min_new: int = 10
    retrain_min_interval_s: int = 0
    reconcile_interval_s: int = 30
    train_timeout_s: int = 24 * 3600
    calibration_share: float = 0.1
    test_share: float = 0.1
    train_config: str = ""
    device: str = "auto"
    dvc_remote: str = ""
    git_author: str = "Carpal <carpal@localhost>"
    git_remote: str = ""
    dataset_branch: str = "main"
    review: str = "off"
    adjudicators: str = ""
    working_set: str = "pool"
    xnat_user: str = ""
    xnat_password: str = field(default="", repr=False)
    dicomweb_user: str = ""
    dicomweb_password: str = field(default="", repr=False)
    dicomweb_token: str = field(default="", repr=False)
    image_hosts: str = ""
    max_image_bytes: int = 64 * 1024 * 1024
    max_image_pixels: int = 64_000_000

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Reads the environment (the process's own unless given) and the workspace's secrets.

        Raises:
            InvalidInputError: A value cannot be read as its field's type, or a file of the
                workspace cannot be read.
        """
        env = os.environ if environ is None else environ
        home = Path(env.get(PREFIX + "HOME") or DEFAULT_HOME).expanduser().resolve()
        values: dict[str, Any] = _kept_settings(home / WORKSPACE_FILE)
        values |= _read_secrets(home / SECRETS_FILE)
        for item in fields(cls):
            text = env.get(PREFIX + item.name.upper(), "")
            if text:
                values[item.name] = _convert(item.name, text, str(item.type))
        values["home"] = home
        settings = cls(**values)
        settings._check()
        return settings

    def _check(self) -> None:
        if not 0 < self.test_share <= 0.5 or not 0 < self.calibration_share <= 0.5:
            raise InvalidInputError(
                "CARPAL_TEST_SHARE and CARPAL_CALIBRATION_SHARE must lie above 0 and at most 0.5."
            )
        for name in AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise InvalidInputError(f"{PREFIX}{name.upper()} must be at least 1.")
        for name, allowed in (("review", REVIEWS), ("working_set", WORKING_SETS)):
            if getattr(self, name) not in allowed:
                raise InvalidInputError(
                    f"{PREFIX}{name.upper()}={getattr(self, name)!r} must be one of "
                    f"{', '.join(allowed)}."
                )
        for name, schemes in URL_SCHEMES.items():
            _check_url(name, getattr(self, name), schemes)
        read_image_hosts(self.image_hosts)

    @property
    def pool(self) -> Path:
        """Images by content hash."""
        return self.home / "pool"

    @property
    def masks(self) -> Path:
        """Hand masks by radiograph."""
        return self.home / "masks"

    @property
    def dataset(self) -> Path:
        """The dataset repository (git + DVC)."""
        return self.home / "dataset"

    @property
    def logs(self) -> Path:
        """One log file per service."""
        return self.home / "logs"

    @property
    def cache(self) -> Path:
        """What may be lost: decoded pixels, fetched models."""
        return self.home / "cache"

    @property
    def ledger(self) -> str:
        """SQLAlchemy URL of the ledger."""
        return self.ledger_url or f"sqlite:///{self.home / 'ledger.db'}"

    @property
    def redis(self) -> str:
        """URL of the Redis that carries the queue."""
        password = quote(self.redis_password, safe="")
        return self.redis_url or f"redis://:{password}@127.0.0.1:{self.redis_port}/0"

    @property
    def mlflow(self) -> str:
        """MLflow tracking and registry URI."""
        return self.mlflow_uri or f"sqlite:///{self.home / 'mlflow' / 'mlflow.db'}"

    @property
    def label_studio(self) -> str:
        """Base URL of Label Studio, without a slash at the end."""
        return (self.label_studio_url or f"http://localhost:{self.label_studio_port}").rstrip("/")

    @property
    def backend(self) -> str:
        """Base URL of the ML backend as Label Studio reaches it."""
        return (self.backend_url or f"http://127.0.0.1:{self.backend_port}").rstrip("/")

    @property
    def pages(self) -> str:
        """Base URL of the backend's pages as people open them.

        Where both are on this machine it has Label Studio's host name, because a browser's session
        with Label Studio counts there alone.
        """
        studio, backend = urlsplit(self.label_studio), urlsplit(self.backend)
        if {studio.hostname, backend.hostname} == {"localhost", "127.0.0.1"}:
            return f"http://{studio.hostname}:{backend.port}{backend.path}"
        return self.backend


def ensure_secrets(home: Path) -> None:
    """Writes `secrets.toml` with every secret that the workspace does not have yet.

    Existing values are kept, also those that another process writes at the same time. The file is
    readable by its owner alone.

    Raises:
        InvalidInputError: The file that is there cannot be read.
        StorageError: The workspace cannot be made or written.
    """
    path = home / SECRETS_FILE
    if all(_read_secrets(path).get(name) for name in GENERATED_SECRETS):
        return
    with _alone_in(home):
        known = {k: v for k, v in _read_secrets(path).items() if v}
        made = {k: secrets.token_hex(n) for k, n in GENERATED_SECRETS.items() if k not in known}
        text = "# Secrets of this workspace. Do not share or commit this file.\n"
        text += "".join(f'{k} = "{v}"\n' for k, v in {**known, **made}.items())
        write_file(path, text.encode(), mode=0o600)


@contextmanager
def _alone_in(home: Path) -> Iterator[None]:
    """Makes the workspace's folder and waits until this process alone writes its secrets."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        file = (home / "secrets.lock").open("w")
    except OSError as error:
        raise storage_error(error, home) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read_secrets(path: Path) -> dict[str, str]:
    return {k: str(v) for k, v in read_table(path).items() if k in GENERATED_SECRETS}


def _kept_settings(path: Path) -> dict[str, Any]:
    """Reads `carpal.toml`: every setting but the workspace's own place and what nobody may see."""
    types = {item.name: str(item.type) for item in fields(Settings) if item.repr}
    del types["home"]
    kept: dict[str, Any] = {}
    for name, value in read_table(path).items():
        if name not in types:
            raise InvalidInputError(f"{path}: '{name}' is no setting that can stand here.")
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InvalidInputError(f"{path}: {name} must be a text or a number.")
        if text := str(value):
            kept[name] = _convert(name, text, types[name])
    return kept


def _check_url(name: str, url: str, schemes: tuple[str, ...]) -> None:
    """Refuses an address that cannot be one; it is not quoted, for it may hold a password."""
    if not url:
        return
    if not url.startswith(schemes):
        raise InvalidInputError(f"{PREFIX}{name.upper()} must begin with {' or '.join(schemes)}.")
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise InvalidInputError(
            f"{PREFIX}{name.upper()} is no address: its port must be a number up to 65535."
        ) from None


def _convert(name: str, text: str, type_name: str) -> str | int | float | Path:
    try:
        if type_name == "int":
            return int(text)
        if type_name == "float":
            return float(text)
    except ValueError as error:
        raise InvalidInputError(f"{PREFIX}{name.upper()}={text!r} is not a number.") from error
    return Path(text) if type_name == "Path" else text

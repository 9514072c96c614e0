"""Other workspaces that a backend serves: which they are, and what is true of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import labeling_config
from data.errors import InvalidInputError, StackError, TaskConfigError
from labeling_config.tasks import load_task
from workers.settings import SECRETS_FILE, Settings, ensure_secrets
from workers.workspace_file import WORKSPACE_FILE
from workers.workspaces import other_workspaces, remember_task, settings_of

BONE_AGE = Path(labeling_config.__file__).parent / "bone_age"


@pytest.fixture
def main(tmp_path: Path) -> Settings:
    ensure_secrets(tmp_path / "main")
    return Settings.load({"CARPAL_HOME": str(tmp_path / "main")})


def workspace(folder: Path, kept: str = "redis_port = 6391\n") -> Path:
    """Makes a workspace whose file says this."""
    ensure_secrets(folder)
    (folder / WORKSPACE_FILE).write_text(kept)
    return folder


def serving(main: Settings, *folders: Path) -> Settings:
    return replace(main, also_serves=",".join(map(str, folders)))


def test_a_backend_serves_its_own_workspace_alone_unless_told(main: Settings) -> None:
    assert other_workspaces(main) == {}


def test_each_workspace_is_served_below_the_last_part_of_its_folders_name(
    main: Settings, tmp_path: Path
) -> None:
    hand = workspace(tmp_path / "hand")
    knee = workspace(tmp_path / "deep" / "knee-2", "redis_port = 6392\n")
    settings = replace(main, also_serves=f" {hand}/ , {knee},")

    assert other_workspaces(settings) == {"hand": hand, "knee-2": knee}


def is_file(folder: Path) -> None:
    folder.write_text("")


def lacks_a_secret(folder: Path) -> None:
    workspace(folder)
    (folder / SECRETS_FILE).write_text('webhook_secret = "hush"\n')


def has_the_redis_of_the_main_one(folder: Path) -> None:
    workspace(folder, "")


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("hand", lambda folder: None, "is no workspace"),
        ("hand", is_file, "is no workspace"),
        ("hand", lacks_a_secret, "lacks backend_password"),
        ("hand", has_the_redis_of_the_main_one, "has the same Redis as .*main"),
        ("left hand", workspace, "cannot be a prefix"),
        ('h"and', workspace, "cannot be a prefix"),
        ("main", lambda folder: None, "needs no prefix"),
    ],
    ids=["missing", "file", "secret", "redis", "blank", "quote", "own"],
)
def test_what_cannot_be_served_is_said_in_one_sentence(
    main: Settings, tmp_path: Path, name: str, make: Callable[[Path], object], said: str
) -> None:
    make(tmp_path / name)

    with pytest.raises(StackError, match=rf"CARPAL_ALSO_SERVES: .*{name} .*{said}.*\.$"):
        other_workspaces(serving(main, tmp_path / name))


def test_two_workspaces_of_one_name_are_refused(main: Settings, tmp_path: Path) -> None:
    one, other = workspace(tmp_path / "a" / "hand"), workspace(tmp_path / "b" / "hand", "")

    with pytest.raises(StackError, match=r"b/hand has the same name as .*a/hand"):
        other_workspaces(serving(main, one, other))


def test_a_damaged_workspace_does_not_keep_the_server_from_starting(
    main: Settings, tmp_path: Path
) -> None:
    hand = workspace(tmp_path / "hand", "redis_port = ")

    assert other_workspaces(serving(main, hand)) == {"hand": hand}
    with pytest.raises(InvalidInputError, match=WORKSPACE_FILE):
        settings_of(hand, "cpu")


def test_the_environment_of_the_server_does_not_reach_another_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = workspace(tmp_path / "hand", 'task = "hand"\nredis_port = 6391\n')
    for name, value in {
        "CARPAL_HOME": str(tmp_path / "main"),
        "CARPAL_TASK": "bone_age",
        "CARPAL_REDIS_PORT": "1",
        "CARPAL_LEDGER_URL": "sqlite:////main.db",
        "CARPAL_BACKEND_PASSWORD": "main",
        "CARPAL_LABEL_STUDIO_URL": "http://main",
        "CARPAL_RETRAIN_AFTER": "7",
    }.items():
        monkeypatch.setenv(name, value)

    found = settings_of(hand, "cuda:1")

    assert found == Settings.load({"CARPAL_HOME": str(hand), "CARPAL_DEVICE": "cuda:1"})
    assert (found.task, found.redis_port, found.retrain_after) == ("hand", 6391, 50)
    assert found.ledger == f"sqlite:///{hand}/ledger.db"
    assert found.backend_password not in ("", "main")


def test_a_workspace_remembers_its_task(main: Settings) -> None:
    remember_task(main)
    remember_task(main)

    text = (main.home / WORKSPACE_FILE).read_text()
    assert text.count('task = "bone_age"\n') == 1
    assert Settings.load({"CARPAL_HOME": str(main.home)}) == main


def test_a_task_from_elsewhere_is_remembered_by_its_whole_path(
    main: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(BONE_AGE, tmp_path / "tasks" / "hand")
    monkeypatch.chdir(tmp_path)

    remember_task(replace(main, task="tasks/hand"))

    again = Settings.load({"CARPAL_HOME": str(main.home)})
    assert again.task == str(tmp_path / "tasks" / "hand")
    assert load_task(again.task).name == "hand"


def test_a_task_that_the_file_names_in_another_way_is_the_same_task(
    main: Settings, tmp_path: Path
) -> None:
    shutil.copytree(BONE_AGE, tmp_path / "hand")
    (tmp_path / "link").symlink_to(tmp_path / "hand")
    workspace(main.home, f'task = "{tmp_path}/link"\n')

    remember_task(Settings.load({"CARPAL_HOME": str(main.home)}))

    assert (main.home / WORKSPACE_FILE).read_text() == f'task = "{tmp_path}/link"\n'


def test_remembering_keeps_what_else_the_file_says(main: Settings) -> None:
    workspace(main.home, "retrain_after = 7  # small\n")

    remember_task(main)

    assert "retrain_after = 7  # small\n" in (main.home / WORKSPACE_FILE).read_text()
    again = Settings.load({"CARPAL_HOME": str(main.home)})
    assert (again.task, again.retrain_after) == ("bone_age", 7)


def test_a_workspace_does_not_change_its_task(main: Settings, tmp_path: Path) -> None:
    remember_task(main)
    shutil.copytree(BONE_AGE, tmp_path / "hand")

    with pytest.raises(InvalidInputError, match=r"works on the task 'bone_age' .* has one task"):
        remember_task(replace(main, task=str(tmp_path / "hand")))


def test_a_task_that_there_is_not_is_not_remembered(main: Settings) -> None:
    with pytest.raises(TaskConfigError, match="'bone_ege'"):
        remember_task(replace(main, task="bone_ege"))

    assert not (main.home / WORKSPACE_FILE).exists()

"""The rules of the architecture that a machine can hold: imports, environment, settings."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path

from workers.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
MAY_IMPORT = {
    "data": set(),
    "labeling_config": {"data"},
    "trainer": {"data"},
    "workers": {"data", "labeling_config", "trainer"},
    "ml_backend": {"data", "labeling_config", "trainer", "workers"},
    "carpal": {"data", "labeling_config", "trainer", "workers"},
}
"""Package -> packages of ours below it."""
NARROWER = {
    "labeling_config": {
        "data": ("data.domain", "data.errors", "data.values", "data.images.decoding")
    },
    "ml_backend": {"trainer": ("trainer.predictor", "trainer.registry.registry")},
}
"""Package -> package below it -> the only modules there that it may import."""
LEDGER = ("data/ledger/*.py", "data/ledger/migrations/**/*.py")
ONLY_IN = {
    "alembic": LEDGER,
    "captum": ("trainer/explanations/heatmap.py",),
    "cv2": ("data/images/*.py", "data/phantoms/*.py"),
    "dicomweb_client": ("data/sources/dicomweb*.py",),
    "dvc": ("data/versions/*.py",),
    "flask": ("ml_backend/*.py",),
    "gunicorn": ("ml_backend/*.py",),
    "lightly": ("trainer/pretraining/*.py",),
    "lightning": ("trainer/fitting/*.py", "trainer/pretraining/*.py", "trainer/train.py"),
    "mlflow": ("trainer/registry/*.py", "trainer/pyfunc/*.py"),
    "PIL": ("data/images/*.py", "data/phantoms/*.py"),
    "pydicom": ("data/dicom/*.py",),
    "redis": ("workers/*.py",),
    "requests": ("labeling_config/client*.py", "data/sources/dicomweb*.py"),
    "rich": ("carpal/*.py",),
    "rq": ("workers/*.py",),
    "safetensors": ("trainer/*.py", "trainer/*/*.py"),
    "sqlalchemy": (*LEDGER, "trainer/registry/*.py"),
    "timm": ("trainer/*.py", "trainer/*/*.py"),
    "torch": ("trainer/**/*.py",),
    "torchvision": ("trainer/*.py", "trainer/*/*.py"),
    "typer": ("carpal/*.py",),
    "xnat": ("data/sources/xnat*.py",),
}
"""Third-party package -> the only files that may import it."""
TOUCH_ENVIRONMENT = {
    "workers/settings.py": "reads our settings",
    "carpal/processes.py": "hands the whole of it on to the services",
    "data/versions/git_calls.py": "hands it on to git, without git's own variables",
}
"""The only files that may, and why."""

MODULES = sorted(
    path.relative_to(ROOT).as_posix()
    for package in MAY_IMPORT
    for path in (ROOT / package).rglob("*.py")
)


@cache
def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text())


@cache
def imported(module: str) -> tuple[str, ...]:
    """Returns the dotted names that a file imports, wherever in it."""
    names: list[str] = []
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} uses a relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(names)


def matches(module: str, patterns: tuple[str, ...]) -> bool:
    return any(Path(module).match(p) or Path(module).match(p.replace("**/", "")) for p in patterns)


def test_imports_point_down() -> None:
    upward = [
        f"{module} imports {name}"
        for module in MODULES
        for name in imported(module)
        if (target := name.split(".")[0]) in MAY_IMPORT
        and target not in MAY_IMPORT[module.split("/")[0]] | {module.split("/")[0]}
    ]
    assert upward == []


def test_packages_know_no_more_of_those_below_than_they_need() -> None:
    for module in MODULES:
        for target, allowed in NARROWER.get(module.split("/")[0], {}).items():
            names = [name for name in imported(module) if name.split(".")[0] == target]
            wrong = [n for n in names if not f"{n}.".startswith(tuple(f"{a}." for a in allowed))]
            assert wrong == [], f"{module} may import only {allowed} of {target}"


def test_third_party_packages_stay_where_they_belong() -> None:
    astray = [
        f"{module} imports {name}"
        for module in MODULES
        for name in imported(module)
        if (files := ONLY_IN.get(name.split(".")[0])) and not matches(module, files)
    ]
    assert astray == []


def test_the_domain_needs_nothing_but_the_standard_library() -> None:
    names = {name.split(".")[0] for name in imported("data/domain.py")}
    assert names <= sys.stdlib_module_names


def environment_uses(module: str) -> list[str]:
    return [
        node.attr
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        and node.attr in ("environ", "environb", "getenv")
    ]


def test_the_environment_is_read_in_one_file() -> None:
    assert {module for module in MODULES if environment_uses(module)} == set(TOUCH_ENVIRONMENT)


def test_no_module_imports_the_environment_by_name() -> None:
    by_name = ("os.environ", "os.getenv", "os.environb")
    assert [m for m in MODULES if any(name in by_name for name in imported(m))] == []


def test_no_module_is_named_after_nothing() -> None:
    empty = {"utils", "helpers", "common", "misc", "manager"}
    assert [m for m in MODULES if Path(m).stem in empty] == []


def meanings() -> dict[str, str]:
    """Returns field -> what the docstring of Settings says of it."""
    found = re.findall(r"^        (\w+): (.*(?:\n            .*)*)", Settings.__doc__ or "", re.M)
    return {name: " ".join(text.split()) for name, text in found}


def documented(name: str, value: object) -> str:
    """Returns the entry of a setting in .env.example."""
    text = f'"{value}"' if re.search(r"[ <>]", str(value)) else str(value)
    return f"# {meanings()[name]}\n#{PREFIX}{name.upper()}={text}\n"


def test_every_setting_has_a_meaning() -> None:
    assert list(meanings()) == [field.name for field in fields(Settings)]


def test_the_example_environment_names_every_setting_with_its_default_and_no_other() -> None:
    text = (ROOT / ".env.example").read_text()
    expected = []
    for field in fields(Settings):
        assert field.default is not MISSING
        expected.append(documented(field.name, field.default))
    head, _, body = text.partition("\n\n")
    assert body == "\n".join(expected), ".env.example must say:\n\n" + "\n".join(expected)
    assert PREFIX not in head


def test_the_example_environment_is_read_as_the_defaults() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    chosen = [line[1:].split("=", 1) for line in lines if line.startswith(f"#{PREFIX}")]
    environment = {name: value.strip('"') for name, value in chosen}
    assert Settings.load(environment) == Settings.load({})


def test_the_operations_page_explains_every_setting() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    for field in fields(Settings):
        value = f"`{field.default}`" if str(field.default) else "–"
        row = f"| `{PREFIX}{field.name.upper()}` | {value} | {meanings()[field.name]} |"
        assert row in page, f"docs/operations.md must say:\n{row}"

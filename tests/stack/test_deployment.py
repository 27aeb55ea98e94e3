"""What is deployed: each route's function, with its time, its files and its packages, and nothing else."""

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from dev.functions import find_functions, find_public_paths
from dev.stack.config import ROOT
from dev.vercel_build import Built, build, copy_project, project_files, read, wrong_with
from lib.health import CHECK_TIMEOUT_S
from lib.ingest.request import LONGEST_BUDGET_S

CONFIG: dict[str, Any] = json.loads((ROOT / "vercel.json").read_text(encoding="utf-8"))
ROUTES = sorted((ROOT / "api").rglob("*.py"))
DEPLOYED = [*ROUTES, *sorted((ROOT / "lib").rglob("*.py"))]
BY_FILE = pytest.mark.parametrize("file", DEPLOYED, ids=lambda file: file.relative_to(ROOT).as_posix())

DISTRIBUTIONS = packages_distributions()

START_S = 5.0
"""What a function has beside its own deadline: a cold start, and the end of its last step."""

ELSEWHERE_S = {"api/internal/ingest-event.py": LONGEST_BUDGET_S, "api/health.py": CHECK_TIMEOUT_S}
"""Routes whose deadline is the caller's, or one of `lib`."""


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 11))


def deadline_s(route: Path) -> float:
    """The longest of the route's own constants in seconds."""
    own = [
        node.value.value
        for node in tree_of(route).body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, float)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id.endswith("_S")
    ]
    return max(own) if own else ELSEWHERE_S[name_of(route)]


def imports_of(file: Path) -> Iterator[str]:
    """The first part of the name of every module that the file imports, wherever in it."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            yield str(node.module).partition(".")[0]


def normal(name: str) -> str:
    """A distribution's name as an index compares it (PyPA, "Name normalization")."""
    return re.sub(r"[-_.]+", "-", name).lower()


def names_in(requirements: str) -> set[str]:
    """The distributions that a requirements file names, each at the beginning of a line."""
    text = (ROOT / requirements).read_text(encoding="utf-8")
    return {normal(name) for name in re.findall(r"^([A-Za-z0-9][\w.-]*)", text, re.MULTILINE)}


def pins_in(requirements: str) -> dict[str, str]:
    """Name and marker → version."""
    text = (ROOT / requirements).read_text(encoding="utf-8")
    found = re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==(\S+) *(?:; *([^\\\n]*))?", text, re.MULTILINE)
    return {f"{normal(name)};{marker.strip()}": version for name, version, marker in found}


def distributions_of(module: str) -> set[str]:
    return {normal(name) for name in DISTRIBUTIONS.get(module, [])}


def allowed() -> set[str]:
    """The names in the root that .vercelignore lets through: it ignores the rest of the root in its first rule."""
    lines = (ROOT / ".vercelignore").read_text(encoding="utf-8").splitlines()
    first, *others = [line for line in lines if not line.startswith("#")]
    assert first == "/*"
    assert all(line.startswith("!/") for line in others)
    return {line.removeprefix("!/") for line in others}


def uploaded() -> set[str]:
    """The files of the project, without what .vercelignore holds back."""
    return {name for name in project_files(ROOT) if name.partition("/")[0] in allowed()}


def test_every_route_has_its_entry_and_every_entry_its_route() -> None:
    assert list(map(name_of, ROUTES)) == sorted(CONFIG["functions"])


def test_every_cron_job_calls_a_route_once_a_day() -> None:
    """The Hobby plan refuses a finer schedule (Vercel, "Cron Jobs: usage and pricing")."""
    assert {job["path"] for job in CONFIG["crons"]} == {path for path in find_public_paths(ROOT) if "/cron/" in path}
    assert all(re.fullmatch(r"\d+ \d+ \* \* \*", job["schedule"]) for job in CONFIG["crons"])


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_a_function_may_run_longer_than_its_route_takes(route: Path) -> None:
    limit = CONFIG["functions"][name_of(route)]["maxDuration"]
    assert deadline_s(route) + START_S <= limit <= 60  # 60: what every plan allows, with Fluid compute or without


def test_only_the_code_and_its_requirements_are_uploaded() -> None:
    beside = {name for name in uploaded() if not name.startswith(("api/", "lib/"))}
    assert beside - {".python-version"} == {"public/robots.txt", "requirements.txt", "vercel.json"}
    assert {name for name in uploaded() if name not in beside} == set(map(name_of, DEPLOYED))


def test_a_function_gets_the_code_alone_even_where_nothing_was_held_back() -> None:
    """`vercel build` on a laptop takes files from the disk, .env among them, whatever .vercelignore says."""
    assert {function["excludeFiles"] for function in CONFIG["functions"].values()} == {"{!(api|lib),!(api|lib)/**}"}


def test_nothing_but_one_directory_is_public() -> None:
    """Without `outputDirectory` Vercel serves every file that is no function: /lib/settings.py, /requirements.txt."""
    assert CONFIG["outputDirectory"] == "public"
    assert [name_of(file) for file in (ROOT / "public").iterdir()] == ["public/robots.txt"]


def test_the_builder_finds_requirements_txt_and_nothing_before_it() -> None:
    """It looks for these first, and would install what they ask for: nothing (@vercel/python-analysis, manifests)."""
    earlier = ("pyproject.toml", "Pipfile", "Pipfile.lock", "requirements.frozen.txt", "requirements-frozen.txt")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    assert not [name for name in earlier if name in listed and (ROOT / name).exists()]


@BY_FILE
def test_what_is_deployed_imports_only_what_is_deployed_with_it(file: Path) -> None:
    """No package that comes along by luck: each is named in requirements.in, and pinned."""
    named, pinned = names_in("requirements.in"), names_in("requirements.txt")
    for module in set(imports_of(file)) - sys.stdlib_module_names - {"lib"}:
        assert distributions_of(module) & named & pinned, f"{module} is not in requirements.in"


LOOKED_FOR_BY_OTHERS = {"uvloop"}
"""Imported by none of ours, and looked for by Vercel's server (requirements.in)."""


def test_every_requirement_is_imported_somewhere() -> None:
    imported = {name for file in DEPLOYED for module in imports_of(file) for name in distributions_of(module)}
    assert names_in("requirements.in") - imported == LOOKED_FOR_BY_OTHERS


def test_the_laptop_runs_the_versions_that_are_deployed() -> None:
    deployed, laptop = pins_in("requirements.txt"), pins_in("requirements-dev.txt")
    assert deployed
    assert deployed.items() <= laptop.items()


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt"])
def test_a_lock_pins_every_package_with_its_hashes(lock: str) -> None:
    text = re.sub(r"^ *#.*\n", "", (ROOT / lock).read_text(encoding="utf-8"), flags=re.MULTILINE)
    pins = text.replace("\\\n", "").strip().splitlines()
    assert pins
    assert [pin for pin in pins if not re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+.* --hash=sha256:[0-9a-f]{64}", pin)] == []


def test_a_build_that_takes_too_much_or_too_little_is_told_what_is_wrong() -> None:
    good = {
        path: Built(path, {"maxDuration": one.max_duration_s}, files()) for path, one in find_functions(ROOT).items()
    }
    assert wrong_with(list(good.values()), {"robots.txt"}) == []
    bad = good | {
        "/api/health": Built("/api/health", {"maxDuration": 300}, files() | {"dev/cli.py": 1}),
        "/api/old": Built("/api/old", {"maxDuration": 15}, {"lib/log.py": 1}),
    }
    del bad["/api/cron"]
    assert sorted(wrong_with(list(bad.values()), {"robots.txt", "lib/log.py"})) == [
        "/api/cron: maxDuration is None",
        "/api/health: dev/cli.py does not belong in it",
        "/api/health: maxDuration is 300",
        "/api/old: no file is compiled, although VERCEL_PYTHON_COMPILEALL was set",
        "/api/old: no file of api/",
        "/api/old: what requirements.txt asks for is not in it",
        "lib/log.py would be public",
    ]


def files() -> dict[str, int]:
    return {
        "vc__handler__python.py": 1,
        "api/health.py": 1,
        "lib/log.py": 1,
        "_vendor/starlette/routing.py": 1,
        "_vendor/starlette/__pycache__/routing.cpython-313.pyc": 1,
    }


@pytest.mark.skipif(
    shutil.which("vercel") is None or shutil.which("uv") is None,
    reason="the Vercel CLI and uv are not installed (npm install --global vercel; pip install uv)",
)
def test_vercel_itself_builds_one_function_a_route(tmp_path: Path) -> None:
    copy_project(ROOT, tmp_path)
    (tmp_path / ".env").write_text("SECRET=1\n", encoding="utf-8")
    output = build(tmp_path)
    built = read(output)
    assert wrong_with(built, {file.name for file in (output / "static").rglob("*") if file.is_file()}) == []
    assert {function.config["handler"] for function in built} == {"vc__handler__python.vc_handler"}
    made = json.loads((output / "config.json").read_text(encoding="utf-8"))
    assert made["crons"] == CONFIG["crons"]
    assert any("noindex" in json.dumps(route.get("headers", {})) for route in made["routes"])

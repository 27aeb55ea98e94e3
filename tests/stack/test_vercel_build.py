"""`make vercel-build`: bytecode is asked for and counted, functions are counted, and a package can be laid out."""

from pathlib import Path

import pytest

from dev.functions import find_functions
from dev.stack.config import ROOT
from dev.vercel_build import Built, as_table, build_environment, near_limit, over_limit, read, unpack, wrong_with

FILES = {
    "vc__handler__python.py": 1,
    "api/health.py": 1,
    "lib/log.py": 1,
    "_vendor/starlette/routing.py": 1,
    "_vendor/starlette/__pycache__/routing.cpython-313.pyc": 1,
}
"""The files of a function, by name, with their sizes in bytes."""


def test_a_build_without_bytecode_is_a_problem() -> None:
    plain = {name: size for name, size in FILES.items() if not name.endswith(".pyc")}
    built = [Built(path, {"maxDuration": one.max_duration_s}, plain) for path, one in find_functions(ROOT).items()]
    assert wrong_with(built, set()) == [
        f"{function.path}: no file is compiled, although VERCEL_PYTHON_COMPILEALL was set" for function in built
    ]


def test_the_build_asks_for_bytecode_whatever_the_shell_says() -> None:
    for shell in ({}, {"VERCEL_PYTHON_COMPILEALL": "0"}):
        environment = build_environment({"PATH": "/usr/bin", "HOME": "/home/me", **shell})
        assert environment["VERCEL_PYTHON_COMPILEALL"] == "1"
        assert environment["HOME"] == "/home/me"


@pytest.mark.parametrize(("functions", "warned", "refused"), [(10, 0, 0), (11, 1, 0), (12, 1, 0), (13, 0, 1)])
def test_the_number_of_functions_is_warned_of_at_eleven_and_refused_above_twelve(
    functions: int, warned: int, refused: int
) -> None:
    assert [len(near_limit(functions)), len(over_limit(functions))] == [warned, refused]
    for sentence in near_limit(functions) + over_limit(functions):
        assert sentence.startswith(f"{functions} functions")
        assert "12" in sentence


def test_a_build_of_thirteen_functions_must_not_be_deployed() -> None:
    built = [Built(f"/api/{number}", {"maxDuration": 1.0}, FILES) for number in range(13)]
    assert over_limit(13)[0] in wrong_with(built, set())


def test_the_table_says_the_size_and_the_count_of_compiled_files() -> None:
    built = Built("/api/health", {"runtime": "python3.13", "maxDuration": 15}, FILES | {"lib/large.py": 2_000_000})
    _, line = as_table([built])
    assert line.split() == ["/api/health", "python3.13", "15", "6", "4", "1", "2.0", "MB"]


def test_a_function_is_unpacked_as_the_platform_lays_it_out(tmp_path: Path) -> None:
    """Most files of a function are only named, by where they lie in the project; a few are copies in its folder."""
    project, folder = tmp_path / "project", tmp_path / "project/.vercel/output/functions/api/health.func"
    (project / "lib").mkdir(parents=True)
    (project / "lib/log.py").write_text("LOG = 1\n", encoding="utf-8")
    folder.mkdir(parents=True)
    (folder / "vc__handler__python.py").write_text("START = 1\n", encoding="utf-8")
    (folder / ".vc-config.json").write_text('{"filePathMap": {"lib/log.py": "lib/log.py"}}', encoding="utf-8")
    unpack(project / ".vercel/output", "/api/health", tmp_path / "task")
    laid = {file.relative_to(tmp_path / "task").as_posix() for file in (tmp_path / "task").rglob("*.py")}
    assert laid == {"lib/log.py", "vc__handler__python.py"}
    [built] = read(project / ".vercel/output")
    assert built == Built("/api/health", {}, {"lib/log.py": 8, "vc__handler__python.py": 10})

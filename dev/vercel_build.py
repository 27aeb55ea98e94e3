"""`python -m dev vercel-build`: builds this project with Vercel's own CLI and checks the result. Needs no account.

The layout of a build's output is Vercel's: "Build Output API", functions/**.func and static/.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dev.functions import find_functions
from dev.stack.config import ROOT

LINK = {"projectId": "prj_local", "orgId": "team_local", "settings": {}}
"""The file that `vercel link` writes. `vercel build` needs the file, and does not look the project up."""

COMPILE_VARIABLE = "VERCEL_PYTHON_COMPILEALL"
"""The builder ships bytecode if this variable is 1 (@vercel/python, src/compileall.ts)."""

PACKAGES = "_vendor/"
"""The folder of a function in which the builder installs requirements.txt."""

OURS = ("api/", "lib/", PACKAGES)
STARTER = "vc__handler__python.py"
CONFIG = ".vc-config.json"
STATIC = {"robots.txt"}
BYTECODE = ".pyc"

MOST_FUNCTIONS = 12
"""Vercel's Hobby plan refuses a deployment with more functions."""

WARN_FROM = 11


@dataclass(frozen=True)
class Built:
    """One function as it would be deployed: its path, its configuration, and its files (name → size in bytes)."""

    path: str
    config: Mapping[str, Any]
    files: Mapping[str, int]

    @property
    def compiled(self) -> int:
        """How many of its files are bytecode."""
        return sum(name.endswith(BYTECODE) for name in self.files)


def project_files(root: Path) -> list[str]:
    """Returns the names of the files that git tracks or would add. Raises `click.ClickException` if git fails."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root,
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise click.ClickException(
            "git says what belongs to the project: this needs git, and a clone of it."
        ) from error
    return [name for name in listed.stdout.split("\0") if name]


def copy_project(root: Path, target: Path) -> None:
    """Copies every file of the project to `target`, because a build leaves files of its own in its directory.

    Raises `click.ClickException` if git can not list the files.
    """
    for name in project_files(root):
        if (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, target / name)


def build_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment for the build: this Python's tools come first, and bytecode is asked for."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    return {**environ, COMPILE_VARIABLE: "1", "PATH": path, "VERCEL_TELEMETRY_DISABLED": "1"}


def has_python(environment: Mapping[str, str]) -> bool:
    """Whether uv is installed and finds a Python that Vercel offers."""
    return not _fails(["uv", "python", "find", "--no-project", ">=3.12"], environment)


def build(target: Path, *, quiet: bool = False) -> Path:
    """Runs `vercel build` in `target` and returns the output directory.

    Raises `click.ClickException`, with what is missing, if the build is impossible or fails.
    """
    environment = build_environment(os.environ)
    if not has_python(environment):
        raise click.ClickException(
            "Vercel builds with uv and Python 3.12 or newer: pip install uv && uv python install 3.12"
        )
    (target / ".vercel").mkdir()
    (target / ".vercel" / "project.json").write_text(json.dumps(LINK), encoding="utf-8")
    cli = ["vercel"] if shutil.which("vercel") else ["npx", "--yes", "vercel"]
    if _fails([*cli, "build", "--yes"], environment, cwd=target, quiet=quiet):
        raise click.ClickException("vercel build failed" + ("." if quiet else "; its own message is above."))
    return target / ".vercel" / "output"


def _fails(command: Sequence[str], environment: Mapping[str, str], *, cwd: Path = ROOT, quiet: bool = True) -> bool:
    """Whether the command is missing or exits with an error."""
    found = shutil.which(command[0], path=environment["PATH"])
    if found is None:
        return True
    output = subprocess.DEVNULL if quiet else None
    finished = subprocess.run(
        [found, *command[1:]],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        check=False,
    )
    return finished.returncode != 0


def read(output: Path) -> list[Built]:
    """Returns the functions of a build, ordered by path."""
    functions = []
    for folder in sorted((output / "functions").rglob("*.func")):
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        config.pop("filePathMap", None)
        files = {name: file.stat().st_size for name, file in _sources(output, folder).items()}
        path = "/" + folder.relative_to(output / "functions").as_posix().removesuffix(".func")
        functions.append(Built(path, config, files))
    return functions


def unpack(output: Path, path: str, target: Path) -> None:
    """Writes the files of the function at `path` to `target`, in the layout that the function has on the platform."""
    for name, file in _sources(output, output / "functions" / f"{path.removeprefix('/')}.func").items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target / name)


def _sources(output: Path, folder: Path) -> dict[str, Path]:
    """The files of one function by their names in it. Most are only named, in `filePathMap`; the rest are copies."""
    linked: dict[str, str] = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("filePathMap", {})
    copied = (file for file in folder.rglob("*") if file.is_file() and file.name != CONFIG)
    return {name: output.parents[1] / where for name, where in linked.items()} | {
        file.relative_to(folder).as_posix(): file for file in copied
    }


def wrong_with(built: Sequence[Built], static: set[str], *, root: Path = ROOT) -> list[str]:
    """Returns the reasons why this build must not be deployed. The list is empty if it may be."""
    wanted = {path: function.max_duration_s for path, function in find_functions(root).items()}
    got = {function.path: function.config.get("maxDuration") for function in built}
    problems = [f"{path}: maxDuration is {got.get(path)}" for path in wanted if got.get(path) != wanted[path]]
    problems += [f"{path}: no file of api/" for path in got if path not in wanted]
    for function in built:
        foreign = [name for name in function.files if not name.startswith(OURS) and name != STARTER]
        problems += [f"{function.path}: {name} does not belong in it" for name in foreign]
        if not any(name.startswith(f"{PACKAGES}starlette/") for name in function.files):
            problems.append(f"{function.path}: what requirements.txt asks for is not in it")
        if not function.compiled:
            problems.append(f"{function.path}: no file is compiled, although {COMPILE_VARIABLE} was set")
    return problems + [f"{name} would be public" for name in sorted(static - STATIC)] + over_limit(len(built))


def over_limit(functions: int) -> list[str]:
    """Returns the problem of too many functions, or nothing if there are few enough."""
    if functions <= MOST_FUNCTIONS:
        return []
    return [
        f"{functions} functions, and Vercel's Hobby plan refuses a deployment with more than {MOST_FUNCTIONS}: let "
        "routes share a file of api/, with rewrites in vercel.json that keep their paths"
    ]


def near_limit(functions: int) -> list[str]:
    """Returns a warning if there is hardly room for another function, or nothing."""
    if not WARN_FROM <= functions <= MOST_FUNCTIONS:
        return []
    left = MOST_FUNCTIONS - functions
    return [f"{functions} functions; Vercel's Hobby plan allows {MOST_FUNCTIONS}, so there is room for {left} more"]


@click.command("vercel-build")
def vercel_build() -> None:
    """Build this checkout as Vercel does, in .local/vercel, and check what each function gets.

    Needs npm, uv and Python 3.12 or newer, and no account. The exit status is 1 if a route lacks its function, if a
    file would be deployed or public that should not, if nothing was compiled, or if Vercel would refuse the number of
    functions.
    """
    target = ROOT / ".local" / "vercel"
    shutil.rmtree(target, ignore_errors=True)
    copy_project(ROOT, target)
    output = build(target)
    built = read(output)
    for line in as_table(built):
        click.echo(line)
    static = output / "static"
    problems = wrong_with(built, {file.relative_to(static).as_posix() for file in static.rglob("*") if file.is_file()})
    for warning in near_limit(len(built)):
        click.echo(f"  Warning: {warning}", err=True)
    for problem in problems:
        click.echo(f"  {problem}", err=True)
    click.echo(f"\n{len(built)} functions, {len(problems)} problems. All of it: {output}")
    sys.exit(1 if problems else 0)


def as_table(built: Sequence[Built]) -> Iterator[str]:
    """Yields a heading and one line a function: the size of its package and the count of compiled files among it."""
    yield f"\n  {'function':<34} {'runtime':<11} {'seconds':>7} {'files':>6} {'of ours':>8} {'compiled':>9} {'size':>9}"
    for function in built:
        ours = sum(not name.startswith(PACKAGES) and not name.endswith(BYTECODE) for name in function.files)
        yield (
            f"  {function.path:<34} {function.config['runtime']:<11} {function.config['maxDuration']:>7} "
            f"{len(function.files):>6} {ours:>8} {function.compiled:>9} {sum(function.files.values()) / 1e6:>6.1f} MB"
        )

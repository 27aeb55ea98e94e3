"""`python -m dev vercel-build`: what Vercel makes of this project, built here by its own CLI; no account is needed.

Knows what a build leaves (Vercel, "Build Output API": functions/**.func, static/) and what may be in it. Must not know
what a function does.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dev.functions import find_functions
from dev.stack.config import ROOT

LINK = {"projectId": "prj_local", "orgId": "team_local", "settings": {}}
"""What `vercel link` would write; `vercel build` only wants it to be there."""

PACKAGES = "_vendor/"
"""Where the builder puts what requirements.txt asks for."""

OURS = ("api/", "lib/", PACKAGES)
STARTER = "vc__handler__python.py"
STATIC = {"robots.txt"}


@dataclass(frozen=True)
class Built:
    """One function as it would be deployed: its path, its configuration, and its files (name → size in bytes)."""

    path: str
    config: Mapping[str, Any]
    files: Mapping[str, int]


def project_files(root: Path) -> list[str]:
    """The names of the files that git knows or would take. Raises `click.ClickException` where git can not say."""
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
    """Every file of the project, below `target`: a build leaves files of its own where it runs.

    Raises `click.ClickException` where git can not say which they are.
    """
    for name in project_files(root):
        if (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, target / name)


def build(target: Path) -> Path:
    """Run the CLI in `target`; gives its output directory. Raises `click.ClickException` with what is missing."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "VERCEL_TELEMETRY_DISABLED": "1",
    }
    if _fails(["uv", "python", "find", "--no-project", ">=3.12"], environment):
        raise click.ClickException(
            "Vercel builds with uv and Python 3.12 or newer: pip install uv && uv python install 3.12"
        )
    (target / ".vercel").mkdir()
    (target / ".vercel" / "project.json").write_text(json.dumps(LINK), encoding="utf-8")
    cli = ["vercel"] if shutil.which("vercel") else ["npx", "--yes", "vercel"]
    if _fails([*cli, "build", "--yes"], environment, cwd=target, quiet=False):
        raise click.ClickException("vercel build failed; its own words are above.")
    return target / ".vercel" / "output"


def _fails(command: Sequence[str], environment: Mapping[str, str], *, cwd: Path = ROOT, quiet: bool = True) -> bool:
    """Whether the command is missing or ends badly."""
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
    """The functions of a build, by path."""
    found = []
    root = output.parents[1]
    for folder in sorted((output / "functions").rglob("*.func")):
        config = json.loads((folder / ".vc-config.json").read_text(encoding="utf-8"))
        linked: dict[str, str] = config.pop("filePathMap", {})
        files = {name: (root / where).stat().st_size for name, where in linked.items()}
        copied = (file for file in folder.rglob("*") if file.is_file() and file.name != ".vc-config.json")
        files |= {file.relative_to(folder).as_posix(): file.stat().st_size for file in copied}
        path = "/" + folder.relative_to(output / "functions").as_posix().removesuffix(".func")
        found.append(Built(path, config, files))
    return found


def wrong_with(built: Sequence[Built], static: set[str], *, root: Path = ROOT) -> list[str]:
    """Why this must not be deployed; empty where it may."""
    wanted = {path: function.max_duration_s for path, function in find_functions(root).items()}
    got = {function.path: function.config.get("maxDuration") for function in built}
    problems = [f"{path}: maxDuration is {got.get(path)}" for path in wanted if got.get(path) != wanted[path]]
    problems += [f"{path}: no file of api/" for path in got if path not in wanted]
    for function in built:
        foreign = [name for name in function.files if not name.startswith(OURS) and name != STARTER]
        problems += [f"{function.path}: {name} does not belong in it" for name in foreign]
        if not any(name.startswith(f"{PACKAGES}starlette/") for name in function.files):
            problems.append(f"{function.path}: what requirements.txt asks for is not in it")
    return problems + [f"{name} would be public" for name in sorted(static - STATIC)]


@click.command("vercel-build")
def vercel_build() -> None:
    """Build this checkout as Vercel does, in .local/vercel, and check what each function gets.

    Needs npm, uv and Python 3.12 or newer, and no account. The exit status is 1 where a route lacks its function, or a
    file would be deployed or public that should not.
    """
    target = ROOT / ".local" / "vercel"
    shutil.rmtree(target, ignore_errors=True)
    copy_project(ROOT, target)
    output = build(target)
    built = read(output)
    click.echo(f"\n  {'function':<34} {'runtime':<11} {'MB':>5} {'seconds':>8} {'files':>6} {'of ours':>8} {'size':>9}")
    for function in built:
        config, ours = function.config, sum(not name.startswith(PACKAGES) for name in function.files)
        click.echo(
            f"  {function.path:<34} {config['runtime']:<11} {config.get('memory', '-'):>5} {config['maxDuration']:>8} "
            f"{len(function.files):>6} {ours:>8} {sum(function.files.values()) / 1e6:>6.1f} MB"
        )
    static = output / "static"
    problems = wrong_with(built, {file.relative_to(static).as_posix() for file in static.rglob("*") if file.is_file()})
    for problem in problems:
        click.echo(f"  {problem}", err=True)
    click.echo(f"\n{len(built)} functions, {len(problems)} problems. All of it: {output}")
    sys.exit(1 if problems else 0)

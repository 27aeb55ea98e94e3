"""The TypeScript peer (`bench/peer/`): what people would write instead. It is built when its files have changed."""

import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import click

FOLDER = Path(__file__).with_name("peer")
OLDEST_NODE = 20


@cache
def bundle(name: str) -> tuple[str, ...]:
    """Returns the command that serves one route of the peer: webhook, ingest, consumer, or empty.

    The process listens at `PORT`. Raises `click.ClickException` if the peer cannot be built.
    """
    _build()
    return ("node", str(FOLDER / "dist" / f"{name}.mjs"))


@cache
def _build() -> None:
    if shutil.which("npm") is None or _node() < OLDEST_NODE:
        raise click.ClickException(
            f"Node.js {OLDEST_NODE} or newer with npm is needed for the TypeScript peer: https://nodejs.org"
        )
    installed, lock = FOLDER / "node_modules" / ".package-lock.json", FOLDER / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        _npm("ci", "--no-audit", "--no-fund", "--loglevel=error")
    _npm("run", "--silent", "check")
    _npm("run", "--silent", "build")


def _node() -> int:
    done = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    return int(done.stdout.removeprefix("v").partition(".")[0] or 0)


def _npm(*arguments: str) -> None:
    command: Sequence[str] = ["npm", *arguments]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"{' '.join(command)} failed in bench/peer: {(done.stderr or done.stdout)[-2000:]}")

"""The package of a function as Vercel builds it, from any checkout: once with bytecode, once without.

Vercel's CLI makes the package if the CLI and uv are installed. Otherwise the same files are put together here: the
packages of requirements.txt beside api/ and lib/.
"""

import atexit
import compileall
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode

import click

from dev.vercel_build import PACKAGES, build, build_environment, copy_project, has_python, read, unpack

BY_VERCEL = "built by Vercel's CLI for"
BY_HAND = "put together from requirements.txt, as Vercel's CLI or uv is not installed, for"
CACHE = "__pycache__"


@dataclass(frozen=True)
class Package:
    """A function's files in two folders, with bytecode and without, and the Python that runs them.

    `made` says in words how the package was made, and for which Python.
    """

    python: Path
    compiled: Path
    plain: Path
    made: str

    def folder(self, *, bytecode: bool) -> Path:
        """Returns the folder with the bytecode, or the folder without."""
        return self.compiled if bytecode else self.plain

    def run(
        self, *arguments: str, bytecode: bool, settings: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs Python in a fresh process that has the package and nothing else of this machine (`-S`).

        The result is expected on stderr: stdout has the function's own log and is dropped. As on the platform, no
        bytecode is written.
        """
        return subprocess.run(
            [str(self.python), "-S", *arguments],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(self.folder(bytecode=bytecode) / PACKAGES),
                "PYTHONDONTWRITEBYTECODE": "1",
                **(settings or {}),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )


@functools.cache
def make(checkout: Path) -> Package:
    """Makes the package of `checkout`, once a process. Raises `click.ClickException` if that fails."""
    temporary = tempfile.TemporaryDirectory(prefix="bench-package-")
    atexit.register(temporary.cleanup)
    directory = Path(temporary.name)
    compiled, plain = directory / "compiled", directory / "plain"
    if shutil.which("vercel") and has_python(build_environment(os.environ)):
        python, made = _build(checkout, directory / "build", compiled)
    else:
        python, made = _put_together(checkout, compiled)
    shutil.copytree(compiled, plain, ignore=shutil.ignore_patterns(CACHE))
    return Package(python, compiled, plain, made)


def _build(checkout: Path, work: Path, target: Path) -> tuple[Path, str]:
    """Returns the Python for which the builder compiled, and how the package was made."""
    copy_project(checkout, work)
    output = build(work, quiet=True)
    # The packages of the functions differ in the small file that starts the function, which is not used here.
    function = read(output)[0]
    unpack(output, function.path, target)
    python = (work / ".vercel" / "python" / ".venv" / "bin" / "python").resolve()
    return python, f"{BY_VERCEL} {function.config['runtime']}"


def _put_together(checkout: Path, target: Path) -> tuple[Path, str]:
    """Returns this process's Python, for which pip installs the packages, and how the package was made."""
    for part in ("api", "lib"):
        shutil.copytree(checkout / part, target / part, ignore=shutil.ignore_patterns(CACHE))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    wanted = ["--no-deps", "--require-hashes", "--requirement", str(checkout / "requirements.txt")]
    done = subprocess.run(
        [*pip, *wanted, "--target", str(target / PACKAGES)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise click.ClickException(f"pip could not install {checkout / 'requirements.txt'}: {done.stderr}")
    # The builder compiles in this mode, too (@vercel/python, templates/vc_compileall.py).
    compileall.compile_dir(target, quiet=2, workers=0, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
    return Path(sys.executable).resolve(), f"{BY_HAND} python{sys.version_info.major}.{sys.version_info.minor}"

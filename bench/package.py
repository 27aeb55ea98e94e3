"""The package of a function as Vercel builds it, from any checkout: once with bytecode, once without.

Vercel's CLI makes the package if the CLI and uv are installed. Otherwise the same files are put together here: the
packages of requirements.txt beside api/ and lib/.
"""

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

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

    def environment(self, *, bytecode: bool) -> dict[str, str]:
        """Returns the environment of a process that has the package and nothing else of this machine (with `-S`).

        As on the platform, no bytecode is written.
        """
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(self.folder(bytecode=bytecode) / PACKAGES),
            "PYTHONDONTWRITEBYTECODE": "1",
        }


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
    compile_for(Path(sys.executable), target)
    return Path(sys.executable).resolve(), f"{BY_HAND} python{sys.version_info.major}.{sys.version_info.minor}"


def compile_for(python: Path, folder: Path) -> None:
    """Compiles the modules in `folder` with `python`, in the mode of Vercel's builder.

    Source: @vercel/python, templates/vc_compileall.py.
    """
    command = [str(python), "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(folder)]
    subprocess.run(command, check=True, capture_output=True)

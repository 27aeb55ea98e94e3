"""Programs that tests start as a user does: Ctrl-C reaches them, and a test that fails leaves none behind."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from dev.stack import Ports, StackConfig
from dev.stack.config import ROOT

STOP_S = 20.0


@contextmanager
def started(command: Sequence[str], env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Yields the running `command`, with its standard output and errors in one pipe, and stops it at the end.

    The command is asked by SIGTERM first: a stack then stops its own children.
    """
    with _ctrl_c_not_ignored():
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
    with process:
        try:
            yield process
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.communicate(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def _ctrl_c_not_ignored() -> Iterator[None]:
    """A child inherits that SIGINT is ignored, as it is in the background jobs of many shells, but no handler."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def wait_for_line(process: subprocess.Popen[str], part: str) -> None:
    """Reads the output up to the line that contains `part`."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        if part in line:
            return
        lines.append(line)
    raise AssertionError(f"ended before {part!r}:\n{''.join(lines)}")


def dev_command(name: str, config: StackConfig) -> list[str]:
    """`python -m dev NAME` for the data directory and the ports of `config`, without the interpreter."""
    ports = [flag for port, number in vars(config.ports).items() for flag in (f"--{port}-port", str(number))]
    return ["-m", "dev", name, "--data-dir", str(config.data_dir), *ports]


def processes_of(data_dir: Path) -> list[str]:
    """Command lines that name the data directory, but for this process."""
    found = []
    for process in psutil.process_iter(["cmdline", "pid"]):
        command = " ".join(process.info["cmdline"] or [])
        if str(data_dir) in command and process.info["pid"] != os.getpid():
            found.append(command)
    return found


def refuses(port: int) -> bool:
    """Whether nothing listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def all_refuse(ports: Ports) -> bool:
    """Whether nothing listens on any of the ports."""
    return all(map(refuses, vars(ports).values()))

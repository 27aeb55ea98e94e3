"""The lock of a data directory, which one stack at a time holds, and the guard that shares it.

The lock is the kernel's (`flock`), so a crashed owner can't leave it behind.
"""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from dev.stack.errors import StackError

LOCK_NAME = "lock"
# How long a new stack waits for the guard of a killed stack: the grace of the guard, and a little.
LEFTOVER_WAIT_S = 6.0


class DataLock:
    """Holds `data_dir` for this process, and starts the guard that outlives it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._fd: int | None = None
        self._guard: subprocess.Popen[str] | None = None
        self._talking = threading.Lock()

    def acquire(self) -> None:
        """Takes the lock and starts the guard. Raises `StackError` if another stack runs on the directory."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._wait_for(fd)
            os.truncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(__file__).with_name("guard.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
                pass_fds=(fd,),
            )
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def _wait_for(self, fd: int) -> None:
        deadline = time.monotonic() + LEFTOVER_WAIT_S
        while not _try_lock(fd):
            owner = _owner(fd)
            if (owner is not None and _alive(owner)) or time.monotonic() > deadline:
                raise StackError(
                    f"A local stack already runs on {self.data_dir} (process {owner or 'unknown'}): "
                    "stop it with Ctrl-C there, or give this one its own --data-dir and --port-base."
                )
            time.sleep(0.05)

    def watch(self, pid: int, stop_signal: signal.Signals) -> None:
        """Registers `pid`: the guard ends it by `stop_signal` if this process goes away."""
        self._tell(f"+ {pid} {int(stop_signal)}")

    def forget(self, pid: int) -> None:
        """Takes `pid` off the guard's list. The process has ended, and its number may soon be another process's."""
        self._tell(f"- {pid}")

    def release(self) -> None:
        """Ends the guard, which ends the registered processes, and frees the lock. Safe to call twice."""
        if self._guard is not None:
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _tell(self, line: str) -> None:
        with self._talking:
            if self._guard is None:
                return
            assert self._guard.stdin is not None
            self._guard.stdin.write(line + "\n")
            self._guard.stdin.flush()


def is_running(data_dir: Path) -> bool:
    """Whether a stack runs on `data_dir` now."""
    try:
        fd = os.open(data_dir / LOCK_NAME, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(fd)
    finally:
        os.close(fd)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner(fd: int) -> int | None:
    text = os.pread(fd, 32, 0).decode(errors="replace").strip()
    return int(text) if text.isdecimal() else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

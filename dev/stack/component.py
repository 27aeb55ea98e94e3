"""One child process of the stack: started, waited for, signalled, stopped."""

import contextlib
import http.client
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dev.stack.errors import StackError
from dev.stack.lock import DataLock
from dev.stack.ports import HOST, is_free, taken

if TYPE_CHECKING:
    import psutil  # type: ignore[import-untyped]

POLL_S = 0.02
TAIL_LINES = 15
FAMILY_GONE_S = 5.0


@dataclass(frozen=True)
class Spec:
    """How to run one component. `before` runs right before each start, `ready` is called until it returns True."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    port: int
    ready: Callable[[], bool]
    cwd: Path
    before: Callable[[], None] | None = None
    uid: int | None = None
    gid: int | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 6.0
    ready_timeout_s: float = 30.0


class Component:
    """A running (or not running) `Spec`, logging to `log_path`."""

    def __init__(self, spec: Spec, log_path: Path, lock: DataLock, cancelled: threading.Event) -> None:
        self.spec = spec
        self.log_path = log_path
        self._lock = lock
        self._cancelled = cancelled
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the process exists. A process that SIGSTOP has stopped exists."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The child's process id, or None if the child does not run."""
        return self._process.pid if self._process is not None and self.running else None

    def start(self) -> None:
        """Starts the child and waits until it is ready. Raises `StackError` with the end of its log."""
        if self.running:
            return
        self._reap()
        if not is_free(self.spec.port):
            raise taken(self.spec.name, self.spec.port)
        if self.spec.before is not None:
            self.spec.before()
        with self.log_path.open("ab") as log:
            process = subprocess.Popen(
                self.spec.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(self.spec.env),
                cwd=self.spec.cwd,
                start_new_session=True,
                user=self.spec.uid,
                group=self.spec.gid,
                extra_groups=None if self.spec.uid is None else [],
            )
        self._process = process
        self._lock.watch(process.pid, self.spec.stop_signal)
        self._wait_until_ready(process)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self.spec.ready_timeout_s
        while not self.spec.ready():
            if self._cancelled.is_set():
                raise StackError(f"Starting {self.spec.name} was interrupted.")
            if process.poll() is not None:
                raise StackError(self.obituary("stopped while starting"))
            if time.monotonic() > deadline:
                raise StackError(self.obituary(f"did not get ready within {self.spec.ready_timeout_s:.0f} s"))
            time.sleep(POLL_S)

    @property
    def died(self) -> bool:
        """Whether the process has ended although nobody here has stopped it."""
        return self._process is not None and self._process.poll() is not None

    def obituary(self, what: str = "stopped by itself") -> str:
        """Returns `what` with the exit code, if there is one, and the end of the log."""
        code = self._process.poll() if self._process is not None else None
        exit_code = "" if code is None else f" (exit code {code})"
        return f"{self.spec.name} {what}{exit_code}. The end of {self.log_path}:\n{tail(self.log_path)}"

    def ask_to_stop(self) -> None:
        """Sends the stop signal, without waiting."""
        if self.running:
            assert self._process is not None
            self._process.send_signal(self.spec.stop_signal)
            # A child that SIGSTOP has stopped takes no signal until SIGCONT.
            _signal_family(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Stops the child, and kills it if it does not stop in time. Returns when the child is gone."""
        self.ask_to_stop()
        if self._process is not None:
            try:
                self._process.wait(self.spec.stop_timeout_s)
            except subprocess.TimeoutExpired:
                _signal_family(self._process.pid, signal.SIGKILL)
        self._reap()

    def kill(self, number: signal.Signals) -> None:
        """Sends the signal `number`. SIGKILL, SIGSTOP and SIGCONT reach the child's own children too.

        After SIGKILL the method returns when the process is gone and its port refuses connections.
        """
        if not self.running:
            return
        assert self._process is not None
        if number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT):
            _signal_family(self._process.pid, number)
        else:
            self._process.send_signal(number)
        if number == signal.SIGKILL:
            self._reap()

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._lock.forget(self._process.pid)
            self._process = None
            # A killed child of the child counts as a zombie while its last threads still hold the listening socket.
            deadline = time.monotonic() + FAMILY_GONE_S
            while not is_free(self.spec.port) and time.monotonic() < deadline:
                time.sleep(POLL_S)


def _signal_family(pid: int, number: signal.Signals) -> None:
    """Signals a process and its descendants. After SIGKILL it returns when the descendants are gone.

    The descendants share the listening socket, so the port stays taken as long as one of them lives.
    """
    import psutil  # noqa: PLC0415  70 ms, not wanted at the first start

    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        if number == signal.SIGKILL:
            parent.suspend()  # so that it does not fork while its children are listed
        children = parent.children(recursive=True)
        for process in [*children, parent]:
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)
        if number == signal.SIGKILL:
            deadline = time.monotonic() + FAMILY_GONE_S
            while time.monotonic() < deadline and any(_lives(child) for child in children):
                time.sleep(POLL_S)


def _lives(process: "psutil.Process") -> bool:
    import psutil  # noqa: PLC0415

    try:
        # A zombie holds no socket. In some containers nothing ever collects it.
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def http_status(port: int, path: str = "/", headers: Mapping[str, str] | None = None) -> int | None:
    """Returns the status of a local server's answer, or None if it does not answer. Ignores proxy settings."""
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    """Returns the last lines of a log, or "(empty)"."""
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - 16_384))
            text = log.read().decode(errors="replace")
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "(empty)"

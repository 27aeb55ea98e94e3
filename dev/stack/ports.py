"""The ports of the stack, and which program holds a port that is taken."""

import random
import socket
from dataclasses import dataclass, fields
from typing import Self

from dev.stack.errors import StackError

HOST = "127.0.0.1"
# Below the ranges of Linux and macOS for outgoing connections, so that no client socket takes a chosen port.
FREE_PORT_RANGE = range(20_000, 32_000)
CONNECT_TIMEOUT_S = 0.25


@dataclass(frozen=True)
class Ports:
    """One TCP port a component, all on 127.0.0.1."""

    functions: int = 3000
    qstash: int = 8080
    graph: int = 8090
    rest: int = 54321
    postgres: int = 54322
    postgrest: int = 54323

    @classmethod
    def free(cls) -> Self:
        """Returns ports that nothing uses at this moment, for tests and for a second stack."""
        chosen: list[int] = []
        for port in random.sample(FREE_PORT_RANGE, 500):
            if is_free(port):
                chosen.append(port)
            if len(chosen) == len(fields(cls)):
                return cls(*chosen)
        raise StackError(f"No free ports between {FREE_PORT_RANGE.start} and {FREE_PORT_RANGE.stop}.")

    @classmethod
    def from_base(cls, base: int) -> Self:
        """Returns `base` for the functions and the next five ports for the others, in the order of the fields."""
        return cls(*range(base, base + len(fields(cls))))


def free_port() -> int:
    """Returns a port that nothing uses at this moment."""
    return Ports.free().functions


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    # Asking first matters on macOS, where binding 127.0.0.1 succeeds next to a server on 0.0.0.0.
    if answers(port):
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether something accepts connections on 127.0.0.1:`port`."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_TIMEOUT_S)
        return probe.connect_ex((HOST, port)) == 0


def taken(name: str, port: int) -> StackError:
    """Returns the error for a port that another program holds."""
    return StackError(
        f"Port {port} ({name}) is already taken{_holder(port)}: stop that program, or choose another port "
        f"with --{name}-port (or move all of them with --port-base, or DEV_PORT_BASE in the environment)."
    )


def _holder(port: int) -> str:
    # The sockets of other users may be hidden. Then the sentence does not name the holder.
    import psutil  # type: ignore[import-untyped]  # noqa: PLC0415  70 ms, wanted only on the way to an error

    try:
        for connection in psutil.net_connections(kind="tcp"):
            local = connection.laddr
            if connection.status == psutil.CONN_LISTEN and local and local.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.Error, OSError):
        return ""
    return ""

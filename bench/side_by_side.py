"""Two servers of one route side by side: what a request costs in the process that answers it, and how long it takes."""

import asyncio
import contextlib
import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import psutil  # type: ignore[import-untyped]

from bench.bare import Job, drive
from bench.requests import ROUTES, request
from bench.section import Tell
from bench.serve import OURS
from dev.stack.ports import answers, free_port

AT_ONCE = (1, 16)
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Server:
    """A process that serves one route."""

    port: int
    process: psutil.Process

    def cpu_s(self) -> float:
        """Returns the processor time so far, of all its threads."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def rss(self) -> int:
        """Returns the resident memory in bytes."""
        return int(self.process.memory_info().rss)


@dataclass
class Cost:
    """Milliseconds a request of one side, by round: of the processor, and by the wall clock."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    @property
    def median_cpu(self) -> float:
        """The median of the processor time."""
        return statistics.median(self.cpu)

    @property
    def median_wall(self) -> float:
        """The median by the wall clock."""
        return statistics.median(self.wall)


@contextlib.contextmanager
def server(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Server]:
    """Runs a server that listens at `PORT`, and yields it when it does."""
    port = free_port()
    env = {**os.environ, **environment, "PORT": str(port)}
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_for(port, process)
            yield Server(port, psutil.Process(process.pid))
        finally:
            process.kill()


def ours(route: str, *, client: str = OURS) -> tuple[str, ...]:
    """Returns the command that serves our function of a route."""
    return (sys.executable, "-m", "bench.serve", f"{ROUTES[route].removeprefix('/')}.py", client)


_numbers = itertools.count(1)
"""Numbers the people of all requests, so that no event is told twice."""


def jobs(route: str, events: int, count: int, *, port: int, public_url: str) -> list[Job]:
    """Returns `count` requests of `events` new messages each, encoded."""
    return [
        Job.of([request(route, events, port=port, public_url=public_url, first=next(_numbers) * events)])
        for _ in range(count)
    ]


def measure(
    servers: Mapping[str, Server], route: str, events: int, *, count: int, rounds: int, public_url: str, tell: Tell
) -> dict[tuple[str, int], Cost]:
    """Returns the cost by side and by how many requests are made at once. The sides take turns.

    Before the first round each side answers as many requests as in two, so that it is loaded, compiled and connected.
    """
    costs = {(side, at_once): Cost() for at_once in AT_ONCE for side in servers}
    tell(f"{route}, {events} events: warming up")
    for one in servers.values():
        for at_once in AT_ONCE:
            asyncio.run(drive(jobs(route, events, count, port=one.port, public_url=public_url), at_once))
    for number in range(1, rounds + 1):
        tell(f"{route}, {events} events: round {number} of {rounds}")
        for (side, at_once), cost in costs.items():
            one = servers[side]
            made = jobs(route, events, count, port=one.port, public_url=public_url)
            before_s = one.cpu_s()
            took_s = asyncio.run(drive(made, at_once))
            cost.wall.append(took_s / count * 1e3)
            cost.cpu.append((one.cpu_s() - before_s) / count * 1e3)
    return costs


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s and process.poll() is None:
        if answers(port):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} does not listen at {port}")

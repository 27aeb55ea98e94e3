"""A bare HTTP client: it writes bytes that were made before, and reads an answer's head and length.

It puts load on a server and takes little of the machine itself, the same for all sides of a comparison.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dev.stack.ports import HOST

LIMIT_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Request:
    """One request to a port of this machine."""

    port: int
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    def encode(self) -> bytes:
        """Returns the bytes that go over the wire."""
        headers = {"host": f"{HOST}:{self.port}", "content-length": str(len(self.body)), **self.headers}
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


@dataclass(frozen=True)
class Job:
    """The requests of one event in order, encoded: (port, bytes)."""

    requests: tuple[tuple[int, bytes], ...]

    @classmethod
    def of(cls, requests: Iterable[Request]) -> "Job":
        """Encodes the requests, before the clock runs."""
        return cls(tuple((request.port, request.encode()) for request in requests))


@dataclass
class Lane:
    """The connections of one worker, one for each port."""

    _streams: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=dict)

    async def connect(self, port: int) -> None:
        """Opens the connection to a port."""
        self._streams[port] = await asyncio.open_connection(HOST, port, limit=LIMIT_BYTES)

    async def do(self, job: Job) -> None:
        """Sends the requests of `job`. Raises `RuntimeError` if an answer is not 2xx."""
        for port, content in job.requests:
            reader, writer = self._streams[port]
            writer.write(content)
            head = await reader.readuntil(b"\r\n\r\n")
            body = await _body(reader, head.lower())
            if head[9:10] != b"2":
                raise RuntimeError(f"port {port} answered {head[9:12].decode()}: {body[:300]!r}")

    def close(self) -> None:
        """Closes the connections."""
        for _, writer in self._streams.values():
            writer.close()


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if b"\r\ncontent-length: " in head:
        return await reader.readexactly(int(head.split(b"\r\ncontent-length: ")[1].split(b"\r\n")[0]))
    if b"\r\ntransfer-encoding: chunked" in head:
        return await reader.readuntil(b"\r\n0\r\n\r\n")  # only the last chunk: JSON has no bare line feeds
    return b""


async def drive(jobs: Iterable[Job], at_once: int) -> float:
    """Returns the seconds for all jobs, `at_once` at a time. The connections are opened before the clock runs."""
    left = deque(jobs)
    lanes = [Lane() for _ in range(at_once)]
    ports = {port for job in left for port, _ in job.requests}

    async def work(lane: Lane) -> None:
        while left:
            await lane.do(left.popleft())

    try:
        for lane in lanes:
            for port in ports:
                await lane.connect(port)
        began_s = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for lane in lanes:
                tasks.create_task(work(lane))
        return time.perf_counter() - began_s
    finally:
        for lane in lanes:
            lane.close()

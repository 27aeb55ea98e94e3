"""HTTP/1.1 framing for the gateway: heads, and bodies as raw pieces that keep their own framing.

Knows streams of bytes. Must not know routes, keys or who is on either side.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

HEAD_LIMIT_BYTES = 64 * 1024
PIECE_BYTES = 64 * 1024


class MalformedError(Exception):
    """The peer does not speak HTTP/1.1 as we understand it."""


@dataclass(frozen=True)
class Head:
    """A start line and headers, names in lower case, in order."""

    start: str
    headers: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str | None:
        """The first header of that name."""
        return next((value for key, value in self.headers if key == name), None)

    def has(self, name: str, token: str) -> bool:
        """Whether the comma-separated header `name` lists `token`."""
        listed = ",".join(value for key, value in self.headers if key == name)
        return token in (part.strip().lower() for part in listed.split(","))

    @property
    def framed(self) -> bool:
        """Whether the body's end can be told from the head."""
        return self.get("content-length") is not None or self.has("transfer-encoding", "chunked")

    def encode(self) -> bytes:
        """As it goes over the wire."""
        lines = [self.start, *(f"{name}: {value}" for name, value in self.headers), "", ""]
        return "\r\n".join(lines).encode("latin-1")


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """The next head, None when the peer has closed in good order.

    Raises `MalformedError`, `asyncio.IncompleteReadError` when the peer stops in the middle, `OSError`.
    """
    try:
        block = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise MalformedError("head too long") from error
    except asyncio.IncompleteReadError as end:
        if end.partial.strip():
            raise
        return None
    start, *lines = block.decode("latin-1").strip("\r\n").split("\r\n")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            raise MalformedError("header line")
        headers.append((name.lower(), value.strip()))
    return Head(start, tuple(headers))


async def body_pieces(reader: asyncio.StreamReader, head: Head) -> AsyncIterator[bytes]:
    """The body that `head` announces, as it is on the wire, chunk sizes included. Raises as `read_head`."""
    try:
        if head.has("transfer-encoding", "chunked"):
            async for piece in _chunked(reader):
                yield piece
        else:
            async for piece in _exactly(reader, int(head.get("content-length") or 0)):
                yield piece
    except (ValueError, asyncio.LimitOverrunError) as error:
        raise MalformedError("body framing") from error


async def _chunked(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    size = -1
    while size != 0:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        yield line
        if size:
            async for piece in _exactly(reader, size + 2):
                yield piece
    line = b""
    while line != b"\r\n":  # trailers, as a rule none
        line = await reader.readuntil(b"\r\n")
        yield line


async def _exactly(reader: asyncio.StreamReader, size: int) -> AsyncIterator[bytes]:
    left = size
    while left > 0:
        piece = await reader.read(min(left, PIECE_BYTES))
        if not piece:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(piece)
        yield piece

"""A network in memory for httpcore: every byte of a request is written and every byte of an answer is read."""

from typing import Any

import httpcore


class MemoryNetwork(httpcore.AsyncNetworkBackend):
    """Answers every request with the same JSON."""

    def __init__(self, content: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
        self._answer = head.encode() + content

    async def connect_tcp(self, *_args: Any, **_options: Any) -> httpcore.AsyncNetworkStream:
        """Returns a connection at once."""
        return _Stream(self._answer)


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._unread = b""

    async def read(self, max_bytes: int, *_args: Any, **_options: Any) -> bytes:
        piece, self._unread = self._unread[:max_bytes], self._unread[max_bytes:]
        return piece

    async def write(self, *_args: Any, **_options: Any) -> None:
        self._unread = self._answer

    async def aclose(self) -> None:
        pass

    async def start_tls(self, *_args: Any, **_options: Any) -> httpcore.AsyncNetworkStream:
        return self

    def get_extra_info(self, info: str) -> Any:
        return False if info == "is_readable" else None

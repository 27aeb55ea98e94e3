"""The functions in this process, in front of the running stack: for bytes that a server would not let through, and to
see what stays in memory.
"""

import asyncio
import sys
from collections.abc import Sequence
from types import ModuleType

import httpx

from dev.functions import find_public_paths
from dev.stack.config import ROOT
from lib.container import container

# The functions take over the streams and the hooks of their process. This process has its own to print to.
sys.modules.setdefault("lib.core.start_log", ModuleType("lib.core.start_log"))

HOST = "http://functions.example"


class Inside:
    """All functions, loaded; their settings are in the environment."""

    def __init__(self) -> None:
        self._functions = {path: public.function for path, public in find_public_paths(ROOT).items()}
        self._runner = asyncio.Runner()
        self._clients = {
            path: httpx.AsyncClient(transport=httpx.ASGITransport(function.load()), base_url=HOST)
            for path, function in self._functions.items()
        }

    def close(self) -> None:
        """Closes the connections of the functions."""
        self._runner.run(container().close())
        self._runner.close()

    def send(
        self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]] = (), body: bytes = b"", query: str = ""
    ) -> httpx.Response:
        """The answer of the function at `path`. Raises what it raises, and `TimeoutError` after its maxDuration."""
        return self._runner.run(self._send(method, path, headers, body, query))

    async def _send(
        self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]], body: bytes, query: str
    ) -> httpx.Response:
        url = f"{path}?{query}" if query else path
        async with asyncio.timeout(self._functions[path].max_duration_s):
            return await self._clients[path].request(method, url, headers=list(headers), content=body)

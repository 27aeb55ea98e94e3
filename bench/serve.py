"""One function of ours as Vercel's runtime runs it: `python -m bench.serve FILE [CLIENT]`. It listens at `PORT`.

With `CLIENT` the functions call others by another HTTP client: `httpx` is httpx's own, `aiohttp` is that of aiohttp
under httpx.
"""

import os
import sys
from typing import Any

import httpx
import uvicorn

from bench.cold_child import load
from dev.stack.config import ROOT
from dev.stack.ports import HOST
from lib.http import transport

OURS, HTTPX, AIOHTTP = "ours", "httpx", "aiohttp"
CLIENTS = (OURS, HTTPX, AIOHTTP)


def main(file: str, client: str = OURS) -> None:
    """Serves the function with uvicorn, `loop` and `http` at "auto"."""
    if client != OURS:
        transport.client = _other(client)
    app = load(str(ROOT / file))
    port = int(os.environ["PORT"])
    uvicorn.run(app, host=HOST, port=port, lifespan="off", access_log=False, log_config=None)


def _other(client: str) -> Any:
    def make(*, timeout_s: float, max_connections: int, max_idle: int, **_limits: int) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_idle)
        if client == AIOHTTP:
            import httpx_aiohttp  # noqa: PLC0415  only this side may pay for its import

            return httpx_aiohttp.HttpxAiohttpClient(timeout=timeout_s, limits=limits)
        return httpx.AsyncClient(timeout=timeout_s, limits=limits)

    return make


if __name__ == "__main__":
    main(*sys.argv[1:])

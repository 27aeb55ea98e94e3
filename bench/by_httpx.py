"""Sends requests by httpx alone, the library on which the functions' database client stands."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence

import httpx

from bench.bare import Request
from dev.stack.ports import HOST


async def drive(jobs: Sequence[Sequence[Request]], at_once: int) -> float:
    """Returns the seconds for all jobs, `at_once` at a time. Raises `httpx.HTTPStatusError` if an answer is not 2xx."""
    left = deque(jobs)
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)

    async def work(http: httpx.AsyncClient) -> None:
        while left:
            for request in left.popleft():
                url = f"http://{HOST}:{request.port}{request.target}"
                answer = await http.request(request.method, url, headers=request.headers, content=request.body)
                answer.raise_for_status()

    async with httpx.AsyncClient(limits=limits, trust_env=False, timeout=30) as http:
        began_s = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(at_once):
                tasks.create_task(work(http))
        return time.perf_counter() - began_s

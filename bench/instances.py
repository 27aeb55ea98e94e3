"""A stack with each function in a process of its own, and an empty application beside them.

Each function calls the next one by its `PUBLIC_URL`, so that a process does the work of one function only.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped]

from bench.load import own_stack
from bench.section import Tell
from dev.stack import Stack
from dev.stack.config import ROOT

WEBHOOK, INGEST, CONSUMER, EMPTY = "webhook", "internal endpoint", "consumer", "empty application (baseline)"
EMPTY_PATH = "/api/empty"
EMPTY_APP = """\
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


async def answer(request: Request) -> Response:
    await request.body()
    return JSONResponse({"status": "processed"})


app = Starlette(routes=[Route("/api/empty", answer, methods=["POST"])])
"""


@dataclass(frozen=True)
class Process:
    """One function instance."""

    url: str
    pid: int

    def rss(self) -> int:
        """Returns the resident memory in bytes."""
        return int(psutil.Process(self.pid).memory_info().rss)


@contextlib.contextmanager
def one_each(tell: Tell) -> Iterator[tuple[Stack, Mapping[str, Process]]]:
    """Runs the stack and yields it with the processes by name. QStash delivers to the process of the consumer."""
    with tempfile.TemporaryDirectory(prefix="bench-functions-") as directory:
        functions_dir = Path(directory)
        shutil.copytree(ROOT / "api", functions_dir / "api")
        shutil.copy(ROOT / "vercel.json", functions_dir)
        (functions_dir / "api" / "empty.py").write_text(EMPTY_APP, "utf-8")
        with (
            own_stack(tell, functions_dir=functions_dir) as stack,
            stack.functions({}) as consumer,
            stack.functions({"PUBLIC_URL": consumer}) as ingest,
            stack.functions({"PUBLIC_URL": ingest}) as webhook,
            stack.functions({}) as empty,
        ):
            stack.stop_component("functions")
            urls = {WEBHOOK: webhook, INGEST: ingest, CONSUMER: consumer, EMPTY: empty}
            yield stack, {name: Process(url, _pid(stack, url)) for name, url in urls.items()}


def _pid(stack: Stack, url: str) -> int:
    pid = stack.pid(f"functions-{urlsplit(url).port}")
    if pid is None:
        raise RuntimeError(f"the functions at {url} have ended")
    return pid

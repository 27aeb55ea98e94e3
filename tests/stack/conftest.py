"""A stack of its own for the laptop's tests: they break it, and they serve functions made for the purpose."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.stack import Ports, Stack, StackConfig

MIGRATION = """
create table public.notes (id integer primary key, text text not null);
create table public.private_notes (id integer primary key);
revoke all on table public.private_notes from anon, authenticated;
create function public.shout(words text) returns text language sql as $$ select upper(words) $$;
create function public.nap() returns void language sql as $$ select pg_sleep(20) $$;
"""

HELLO = """
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lib.greeting import GREETING

calls = 0

async def hello(request: Request) -> JSONResponse:
    global calls
    calls += 1
    body = await request.body()
    return JSONResponse({"path": request.url.path, "query": str(request.query_params), "bytes": len(body),
                         "greeting": GREETING, "calls": calls, "module": __name__})

app = Starlette(routes=[Route("/api/say/hello-world", hello, methods=["GET", "POST"])])
"""

BROKEN = """
async def app(scope, receive, send):
    raise RuntimeError("told to fail")
"""

SLOW = """
import asyncio

async def app(scope, receive, send):
    await asyncio.sleep(30)
"""

ENVIRONMENT = """
import json, os

async def app(scope, receive, send):
    body = json.dumps(dict(os.environ)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""

HALF = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise RuntimeError("told to fail half-way")
"""

VERCEL = '{"functions": {"api/slow.py": {"maxDuration": 1}, "api/say/*.py": {"maxDuration": 20}}}'


@pytest.fixture(scope="package")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A little project with functions that misbehave in known ways."""
    root = tmp_path_factory.mktemp("project")
    files = {
        "api/say/hello-world.py": HELLO,
        "api/broken.py": BROKEN,
        "api/unimportable.py": "import nothing_of_that_name\n",
        "api/no_app.py": "application = None\n",
        "api/slow.py": SLOW,
        "api/half.py": HALF,
        "api/environment.py": ENVIRONMENT,
        "api/_shared.py": HELLO,
        "lib/__init__.py": "",
        "lib/greeting.py": 'GREETING = "hello"\n',
        "vercel.json": VERCEL,
        "migrations/1_notes.sql": MIGRATION,
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture(scope="package")
def config(project: Path, tmp_path_factory: pytest.TempPathFactory) -> StackConfig:
    """The little project's stack."""
    return StackConfig(
        data_dir=tmp_path_factory.mktemp("data"),
        ports=Ports.free(),
        fast=True,
        functions_dir=project,
        migrations_dir=project / "migrations",
    )


@pytest.fixture(scope="package")
def stack(config: StackConfig) -> Iterator[Stack]:
    """The little project's stack, running. A test that breaks a part mends it."""
    with Stack(config) as running:
        yield running

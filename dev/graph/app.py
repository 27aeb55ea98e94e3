"""The stand-in as an ASGI application: routes Meta's paths, records each call, acts on its fault, answers.

One server plays both hosts: graph.instagram.com at the root, and graph.facebook.com below `/facebook`.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive

from dev.connection import close_idle, cut, hang
from dev.graph import admin, nodes, refusals
from dev.graph.admin import Standin
from dev.graph.answers import json_answer
from dev.graph.config import GraphConfig
from dev.graph.echoes import Echoes
from dev.graph.faults import CLOSES_AFTER_S, Fault, Faults, Setting
from dev.graph.nodes import FOLLOWER_FIELDS, Node, top_level_fields
from dev.graph.refusals import Refusal, RefusedError
from dev.graph.world import World

_CALLS_UNTIL_USAGE_SHOWS = 10
_CALLS_ALLOWED = 100_000
"""In an hour, for an app of some hundred users a day (Meta, "Rate Limits")."""

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
Silence: TypeAlias = Callable[[Receive], Awaitable[None]]

SILENT_BEFORE_ACCEPTING: Mapping[Fault, Silence] = {Fault.CUT_BEFORE_ACCEPT: cut, Fault.TIMEOUT_DROPPED: hang}
SILENT_AFTER_ACCEPTING: Mapping[Fault, Silence] = {Fault.CUT_AFTER_ACCEPT: cut, Fault.TIMEOUT_ACCEPTED: hang}


def create_app(config: GraphConfig | None = None) -> Starlette:
    """Returns the application. It needs uvicorn to cut connections."""
    config = config or GraphConfig()
    standin = Standin(World(config), Faults(), Echoes(config))

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await standin.echoes.close()

    def route(path: str, name: str, node: Node, *methods: str) -> Route:
        return Route(path, _endpoint(standin, name, node), methods=list(methods) or ["GET"])

    def host_routes(prefix: str) -> list[Route]:
        node_path = f"{prefix}/{{version}}/{{node_id}}"
        subscribing = ("GET", "POST", "DELETE")
        return [
            route(f"{prefix}/{{version}}/me", "me", nodes.me),
            route(node_path, "profile", nodes.node),
            route(f"{node_path}/messages", "send", nodes.send, "POST"),
            route(f"{node_path}/conversations", "conversations", nodes.conversations),
            route(f"{node_path}/subscribed_apps", "subscribed_apps", nodes.subscribed_apps, *subscribing),
        ]

    return Starlette(
        lifespan=lifespan,
        routes=[
            *admin.routes(standin),
            *host_routes(nodes.FACEBOOK),
            route("/refresh_access_token", "refresh", nodes.refresh),
            *host_routes(""),
            Route("/{path:path}", _unknown_path),
        ],
    )


def _endpoint(standin: Standin, route_name: str, node: Node) -> Endpoint:
    async def serve(request: Request) -> Response:
        # Our own account by its id is the same question as `me`.
        is_own = route_name == "profile" and "user_id" in top_level_fields(request.query_params.get("fields", ""))
        name = "me" if is_own else route_name
        body = await request.body()
        is_kept = standin.connections.meet(request.receive)
        setting = standin.faults.take(name, person=nodes.person(standin.world, name, request, body))
        record = _record(name, request, setting.fault, is_kept=is_kept)
        standin.calls.append(record)
        await asyncio.sleep(setting.latency_ms / 1000)
        response = await _before_accepting(request, setting, is_kept=is_kept)
        if response is None:
            response = await _answer(standin, node, request, body, record)
            if response.status_code == HTTPStatus.OK:
                response = await _after_accepting(request, setting) or response
        if isinstance(response, _NoAnswer):
            return response
        record["status"] = response.status_code
        if setting.fault in CLOSES_AFTER_S:
            response.background = BackgroundTask(close_idle, request.receive, CLOSES_AFTER_S[setting.fault])
        if len(standin.calls) >= _CALLS_UNTIL_USAGE_SHOWS:
            response.headers.setdefault("X-App-Usage", _usage(len(standin.calls)))
        return response

    return serve


class _NoAnswer(Response):
    """For Starlette, which wants a response. The connection for it is gone."""


async def _no_answer(request: Request, silence: Silence) -> Response:
    await silence(request.receive)
    return _NoAnswer()


async def _before_accepting(request: Request, setting: Setting, *, is_kept: bool) -> Response | None:
    """Returns the fault's answer before the call takes effect, or None if the call may take effect."""
    fault = setting.fault
    if fault is Fault.CLOSE_KEPT and is_kept:
        return await _no_answer(request, cut)
    if fault in SILENT_BEFORE_ACCEPTING:
        return await _no_answer(request, SILENT_BEFORE_ACCEPTING[fault])
    if fault is Fault.FIELD_REFUSED:
        fields = top_level_fields(request.query_params.get("fields", ""))
        return refusals.FIELD_REFUSED.response() if FOLLOWER_FIELDS.intersection(fields) else None
    return setting.refuses.response() if setting.refuses else None


async def _answer(standin: Standin, node: Node, request: Request, body: bytes, record: dict[str, object]) -> Response:
    try:
        visit = nodes.visit(standin.world, standin.echoes, request, body)
        record["account_id"] = visit.account.user_id
        return json_answer(await node(visit))
    except RefusedError as refused:
        return refused.refusal.response()


async def _after_accepting(request: Request, setting: Setting) -> Response | None:
    """Returns the fault's answer after the call took effect, or None if the real answer stands."""
    fault = setting.fault
    if fault in SILENT_AFTER_ACCEPTING:
        return await _no_answer(request, SILENT_AFTER_ACCEPTING[fault])
    if fault is Fault.GARBAGE:
        return Response("<!DOCTYPE html><title>Sorry, something went wrong.</title>", media_type="text/html")
    return setting.refuses_after_accepting.response() if setting.refuses_after_accepting else None


def _record(name: str, request: Request, fault: Fault, *, is_kept: bool) -> dict[str, object]:
    """Returns the record of a call. `account_id` is set once the token is known to be good, `status` at the end."""
    return {
        "at_ms": time.time_ns() // 1_000_000,
        "endpoint": name,
        "method": request.method,
        "host": nodes.host_of(request),
        "path": request.url.path.removeprefix(nodes.FACEBOOK),
        "fields": request.query_params.get("fields"),
        "appsecret_proof": "appsecret_proof" in request.query_params,
        "fault": fault,
        "kept_connection": is_kept,
        "account_id": None,
        "status": None,
    }


def _usage(calls: int) -> str:
    return json.dumps({"call_count": min(calls * 100 // _CALLS_ALLOWED, 99), "total_cputime": 0, "total_time": 1})


async def _unknown_path(request: Request) -> Response:
    return Refusal(2500, f"Unknown path components: {request.url.path}").response()

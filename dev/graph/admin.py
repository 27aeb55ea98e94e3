"""The stand-in's own switches under `/__dev/`: faults, echoes, people, what was sent and what was called.

They ask for no password, so they answer this machine only.
"""

import dataclasses
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dev.connection import Connections, is_of_this_machine
from dev.graph.answers import json_answer
from dev.graph.config import EchoMode
from dev.graph.echoes import Echoes
from dev.graph.faults import ENDPOINTS, EVERY, EVERYBODY, REFUSES, Fault, Faults, Setting
from dev.graph.world import REFRESHED_TOKEN_LIFE_S, Account, World


@dataclass(slots=True)
class Standin:
    """The parts that a route may need."""

    world: World
    faults: Faults
    echoes: Echoes
    connections: Connections = field(default_factory=Connections)
    calls: deque[dict[str, object]] = field(default_factory=lambda: deque(maxlen=10_000))


def routes(standin: Standin) -> list[Route]:
    """`POST faults, echo, profiles, comments, fields, accounts, reset` and `GET sent, calls`."""
    return [_Admin(standin).route(method, name) for method, name in _ROUTES]


_ROUTES = (
    ("POST", "faults"),
    ("POST", "echo"),
    ("POST", "profiles"),
    ("POST", "comments"),
    ("POST", "fields"),
    ("POST", "accounts"),
    ("POST", "reset"),
    ("GET", "sent"),
    ("GET", "calls"),
)


class _Admin:
    def __init__(self, standin: Standin) -> None:
        self._standin = standin

    def route(self, method: str, name: str) -> Route:
        async def serve(request: Request) -> Response:
            if not is_of_this_machine(request):
                return json_answer({"error": "for this machine only"}, 403)
            try:
                body = json.loads(await request.body() or b"{}")
                answer = await getattr(self, name)(body)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                return json_answer({"error": f"{type(error).__name__}: {error}"}, 400)
            return json_answer(answer)

        return Route(f"/__dev/{name}", serve, methods=[method])

    async def faults(self, body: dict[str, object]) -> object:
        """`{"endpoint": "send", "fault": "429", "person": "1784", "times": 2, "latency_ms": 0, "accepts": true}`.

        Or a part of it. `accepts`: the call takes effect, and the answer refuses it all the same.
        """
        endpoint = str(body.get("endpoint", EVERY))
        if endpoint not in (*ENDPOINTS, EVERY):
            raise ValueError(f"endpoint must be one of {', '.join((*ENDPOINTS, EVERY))}")
        times = body.get("times")
        setting = Setting(
            fault=Fault(str(body.get("fault", Fault.OK))),
            latency_ms=_whole(body.get("latency_ms", 0)),
            times=None if times is None else _whole(times),
            accepts=body.get("accepts") is True,
        )
        if setting.accepts and setting.fault not in REFUSES:
            raise ValueError(f"accepts is for one of {', '.join(REFUSES)}")
        person = str(body.get("person", EVERYBODY))
        self._standin.faults.set(endpoint, setting, person=person)
        return {"endpoint": endpoint, "person": person, **dataclasses.asdict(setting)}

    async def echo(self, body: dict[str, object]) -> object:
        """`{"mode": "late", "delay_ms": 3000, "webhook_url": "http://…"}`; the last two are optional."""
        echoes = self._standin.echoes
        delay_ms = body.get("delay_ms")
        if "mode" in body or delay_ms is not None:
            mode = EchoMode(str(body.get("mode", echoes.plan.mode)))
            echoes.plan = echoes.plan.changed(mode, None if delay_ms is None else _whole(delay_ms))
        if "webhook_url" in body:
            echoes.plan = dataclasses.replace(echoes.plan, webhook_url=str(body["webhook_url"]))
        return dataclasses.asdict(echoes.plan)

    async def profiles(self, body: Any) -> object:
        """`{"id": "1784", "username": "ada", …}` or a list of such: profiles instead of made-up ones."""
        people: list[dict[str, object]] = body if isinstance(body, list) else [body]
        self._standin.world.profiles.update({str(person["id"]): dict(person) for person in people})
        return {"profiles": len(people)}

    async def comments(self, body: dict[str, object]) -> object:
        """`{"id": "1801", "from": "1784"}`: the author of a comment, who gets the private reply to it."""
        self._standin.world.commenters[str(body["id"])] = str(body["from"])
        return {"comments": len(self._standin.world.commenters)}

    async def fields(self, body: dict[str, list[str]]) -> object:
        """`{"unknown": ["message_edit"], "forbidden": [], "unticked": []}`, or a part of it: webhook fields.

        Meta does not know them, the tokens have no permission for them, or the app is not subscribed to them.
        """
        world = self._standin.world
        world.unknown_fields = frozenset(body.get("unknown", []))
        world.forbidden_fields = frozenset(body.get("forbidden", []))
        world.unticked_fields = frozenset(body.get("unticked", []))
        return {"ok": True}

    async def accounts(self, body: dict[str, object]) -> object:
        """`{"token": "…", "account_id": "1784", "life_s": 3600}`: adds a token that is bound to its account.

        `life_s`, the life that a refresh of the token gives, is optional.
        """
        account = Account(str(body["account_id"]), life_s=_whole(body.get("life_s", REFRESHED_TOKEN_LIFE_S)))
        self._standin.world.accounts[str(body["token"])] = account
        return {"id": account.app_scoped_id, "user_id": account.user_id, "username": account.username}

    async def reset(self, _body: object) -> object:
        """Forgets faults, people, sends and calls, and drops echoes that are not yet posted. Tokens stay good."""
        self._standin.world.reset()
        self._standin.faults.clear()
        self._standin.calls.clear()
        await self._standin.echoes.reset()
        return {"ok": True}

    async def sent(self, _body: object) -> object:
        """Returns every accepted message, in order, with the statuses of its echo."""
        statuses = self._standin.echoes.statuses
        return [
            {
                **dataclasses.asdict(sent),
                "text": sent.text,
                "echo_statuses": statuses.get(sent.message_id, []),
            }
            for sent in self._standin.world.sent
        ]

    async def calls(self, _body: object) -> object:
        """Returns every call to the API itself, in order. Tokens are not kept."""
        return list(self._standin.calls)


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("times, latency_ms, delay_ms and life_s are whole numbers, not negative")
    return value

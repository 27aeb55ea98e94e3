"""The stand-in's endpoints, and what each answers without a fault."""

import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias
from urllib.parse import parse_qsl

from starlette.requests import Request

from dev.graph import refusals
from dev.graph.echoes import Echoes
from dev.graph.mids import conversation_id
from dev.graph.refusals import RefusedError, invalid_parameter, no_such_object
from dev.graph.sends import Recipient, accept, addressee
from dev.graph.world import DEFAULT_SUBSCRIPTIONS, Account, Host, SentMessage, World, proof_is_good

FACEBOOK = "/facebook"
"""The paths of graph.facebook.com are below this one, and those of graph.instagram.com at the root."""

FOLLOWER_FIELDS = frozenset(
    {"follower_count", "is_user_follow_business", "is_business_follow_user", "is_verified_user"}
)
_PROFILE_FIELDS = FOLLOWER_FIELDS | {"id", "name", "username", "profile_pic"}
_MESSAGES_LIMIT = re.compile(r"messages\.limit\((\d+)\)")
_MOST_MESSAGES = 20


@dataclass(frozen=True, slots=True)
class Visit:
    """One authenticated call."""

    world: World
    echoes: Echoes
    request: Request
    token: str
    account: Account
    body: bytes

    @property
    def node_id(self) -> str:
        return str(self.request.path_params.get("node_id", "me"))

    @property
    def host(self) -> Host:
        return host_of(self.request)

    def parameter(self, name: str) -> str:
        """Returns a parameter of the query or of a form, or ""."""
        is_form = self.request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        form = dict(parse_qsl(self.body.decode(errors="replace"))) if is_form else {}
        return self.request.query_params.get(name) or form.get(name, "")

    @property
    def fields(self) -> list[str]:
        return top_level_fields(self.request.query_params.get("fields", ""))


Answer: TypeAlias = Mapping[str, object]
Node: TypeAlias = Callable[[Visit], Awaitable[Answer]]


def host_of(request: Request) -> Host:
    """Returns which of Meta's two hosts is asked."""
    return "facebook" if request.url.path.startswith(f"{FACEBOOK}/") else "instagram"


def visit(world: World, echoes: Echoes, request: Request, body: bytes) -> Visit:
    """Returns the authenticated call. Raises `RefusedError` for a bad token or a wrong `appsecret_proof`."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    token = bearer if scheme.lower() == "bearer" else request.query_params.get("access_token")
    account = world.account_of(token)
    proof = request.query_params.get("appsecret_proof")
    if proof is not None and not proof_is_good(token or "", proof, world.config.app_secret):
        raise RefusedError(refusals.INVALID_PROOF)
    return Visit(world, echoes, request, token or "", account, body)


def person(world: World, endpoint: str, request: Request, body: bytes) -> str:
    """Returns the id of the person whom a call is about, or ""."""
    match endpoint:
        case "profile":
            return str(request.path_params["node_id"])
        case "conversations":
            return request.query_params.get("user_id", "")
        case "send":
            return addressee(world, body)
    return ""


async def send(visit: Visit) -> Answer:
    account = visit.world.acting(visit.account, visit.node_id)
    try:
        body = json.loads(visit.body)
    except ValueError:
        raise RefusedError(invalid_parameter("The parameter recipient is required")) from None
    accepted = accept(visit.world, account, body, now_ns=time.time_ns())
    if isinstance(accepted, Recipient):
        return {"recipient_id": accepted.igsid}
    await visit.echoes.after(accepted)
    return {"recipient_id": accepted.recipient_id, "message_id": accepted.message_id}


async def node(visit: Visit) -> Answer:
    """`/{id}`: a message, our own account, or a person."""
    for sent in visit.world.sent:
        if sent.message_id == visit.node_id:
            return _message(sent)
    if visit.node_id in ("me", visit.account.user_id, visit.account.app_scoped_id):
        return await me(visit)
    if "user_id" in visit.fields:  # only an account has one
        return _account(visit.world.acting(visit.account, visit.node_id), visit.fields)
    unknown = set(visit.fields) - _PROFILE_FIELDS
    if unknown:
        raise RefusedError(invalid_parameter(f"Tried accessing nonexisting field ({min(unknown)})"))
    profile = visit.world.profile(visit.node_id)
    wanted = visit.fields or ["name", "username"]
    # Meta leaves out fields without a value.
    fields = {name: profile[name] for name in wanted if profile.get(name) is not None}
    return {**fields, "id": visit.node_id}


async def me(visit: Visit) -> Answer:
    return _account(visit.account, visit.fields)


def _account(account: Account, fields: list[str]) -> Answer:
    every = {
        "id": account.app_scoped_id,
        "user_id": account.user_id,
        "username": account.username,
        "name": "The Local Shop",
        "account_type": "BUSINESS",
        "instagram_business_account": {"id": account.user_id, "username": account.username},
    }
    return {name: value for name, value in every.items() if name in {"id", *fields}}


async def conversations(visit: Visit) -> Answer:
    account = visit.world.acting(visit.account, visit.node_id)
    igsid = visit.request.query_params.get("user_id")
    if igsid is None:
        return {
            "data": [{"id": conversation_id(account.user_id, each)} for each in visit.world.partners(account.user_id)]
        }
    if not igsid.isdigit():
        raise RefusedError(no_such_object(igsid or visit.node_id))
    messages = visit.world.conversation(account.user_id, igsid)
    if not messages:
        return {"data": []}
    conversation: dict[str, object] = {"id": conversation_id(account.user_id, igsid)}
    if "messages" in visit.fields:
        limit_given = _MESSAGES_LIMIT.search(visit.request.query_params.get("fields", ""))
        limit = min(int(limit_given.group(1)), _MOST_MESSAGES) if limit_given else _MOST_MESSAGES
        conversation["messages"] = {"data": [_message(sent) for sent in messages[:limit]]}
    return {"data": [conversation]}


async def refresh(visit: Visit) -> Answer:
    if visit.request.query_params.get("grant_type") != "ig_refresh_token":
        raise RefusedError(invalid_parameter("Param grant_type must be ig_refresh_token"))
    return {
        "access_token": visit.world.refreshed(visit.token),
        "token_type": "bearer",
        "expires_in": visit.account.life_s,
        "permissions": "instagram_business_basic,instagram_business_manage_messages",
    }


async def subscribed_apps(visit: Visit) -> Answer:
    """The app's own subscription. An account has it from the start, until a test changes it.

    A POST replaces the whole list, and one name that the host does not take refuses the whole list.
    """
    # A Page's own id is the `id` in the answer of `me`.
    is_page = visit.host == "facebook" and visit.node_id == visit.account.app_scoped_id
    account_id = visit.world.acting(visit.account, "me" if is_page else visit.node_id).user_id
    subscriptions = visit.world.subscriptions
    if visit.request.method == "GET":
        fields = subscriptions.get(account_id, DEFAULT_SUBSCRIPTIONS[visit.host])
        return {"data": [{"id": "1000000000000001", "subscribed_fields": list(fields)}] if fields else []}
    subscriptions[account_id] = _fields_to_subscribe(visit) if visit.request.method == "POST" else ()
    return {"success": True}


def _fields_to_subscribe(visit: Visit) -> tuple[str, ...]:
    """Returns the names in the query or in a form. A JSON body is not read: some have seen Meta refuse it."""
    names = [name.strip() for name in visit.parameter("subscribed_fields").split(",")]
    if names == [""]:
        raise RefusedError(invalid_parameter("The parameter subscribed_fields is required"))
    return visit.world.fields_subscribed(visit.host, names)


def top_level_fields(fields: str) -> list[str]:
    """Returns the outer names in a `fields` parameter: id and messages of `id,messages{text}`."""
    nested = re.compile(r"\{[^{}]*\}")
    while nested.search(fields):
        fields = nested.sub("", fields)
    return [name.partition(".")[0].strip() for name in fields.split(",") if name.strip()]


def _message(sent: SentMessage) -> dict[str, object]:
    created = datetime.fromtimestamp(sent.sent_at_ms // 1000, UTC)
    account = Account(sent.account_id)
    return {
        "id": sent.message_id,
        "created_time": created.strftime("%Y-%m-%dT%H:%M:%S+0000"),
        "from": {"id": account.user_id, "username": account.username},
        "to": {"data": [{"id": sent.recipient_id}]},
        "message": sent.text or "",
    }

"""The calls to Instagram's Graph API: a profile, a send, a conversation, an account's own token and subscription.

No send is ever repeated after it may have reached Meta. `errors.classify` says what an error means.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx

from lib.errors.exceptions import GraphError, InvalidPayload
from lib.errors.graph_codes import refuses_fields
from lib.graph.transport import Call, Credentials, GraphTransport, unreadable
from lib.graph.usage import Usage
from lib.graph.webhook_fields import fields_in

MAX_CONVERSATION_MESSAGES = 20
"""Older messages have no details (Meta, "Conversations API")."""

MAX_TEXT_CHARS = 2000
MAX_COUNT = 2**31 - 1
MAX_ID_CHARS = 512
LONGEST_LIFE_S = 366 * 86_400
"""What Meta says is bounded here, so that every later step takes it. A token lives for 60 days."""

_BASIC_FIELDS = "name,username,profile_pic"
_FOLLOWER_FIELDS = "follower_count,is_user_follow_business,is_business_follow_user,is_verified_user"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileData:
    """A person as Meta shows them. None: Meta does not say. `profile_pic` expires within days."""

    name: str | None = None
    username: str | None = None
    profile_pic: str | None = None
    follower_count: int | None = None
    is_verified_user: bool | None = None
    is_user_follow_business: bool | None = None
    is_business_follow_user: bool | None = None


class GraphClient:
    """The calls. Each raises `GraphError`, `GraphTransportError` or `InvalidPayload`.

    `timeout_s` bounds a whole call. Sends go through `fresh_http` (`transport.GraphTransport`). The caller closes both.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        version: str,
        instagram_url: str,
        facebook_url: str,
        fresh_http: httpx.AsyncClient | None = None,
    ) -> None:
        self._graph = GraphTransport(
            http, version=version, instagram_url=instagram_url, facebook_url=facebook_url, fresh_http=fresh_http
        )

    async def profile(self, creds: Credentials, igsid: str, *, timeout_s: float) -> ProfileData:
        """Returns the profile of `igsid`. The follower fields are None if we may not ask for them.

        Meta refuses the whole request for one field that we may not ask for, so there is a second try.
        """
        deadline = time.monotonic() + timeout_s
        path = (_person(igsid),)
        wanted = {"fields": f"{_BASIC_FIELDS},{_FOLLOWER_FIELDS}"}
        try:
            return _profile(await self._graph.call(creds, Call("GET", path, wanted), timeout_s=timeout_s))
        except GraphError as error:
            if not refuses_fields(error.code, error.subcode):
                raise
        call = Call("GET", path, {"fields": _BASIC_FIELDS})
        return _profile(await self._graph.call(creds, call, timeout_s=deadline - time.monotonic()))

    async def send(
        self,
        creds: Credentials,
        *,
        recipient: Mapping[str, str],
        message: Mapping[str, object],
        timeout_s: float,
    ) -> str:
        """Sends one message. Returns its `message_id`, which is the `mid` of the echo.

        `recipient` is `{"id": IGSID}`, or `{"comment_id": …}` for a private reply.
        """
        body = {"recipient": recipient, "message": message}
        call = Call("POST", (_self(creds), "messages"), body=body, is_send=True)
        message_id = (await self._graph.call(creds, call, timeout_s=timeout_s)).get("message_id")
        if not isinstance(message_id, str) or not 0 < len(message_id) <= MAX_ID_CHARS:
            raise unreadable(call)
        return message_id

    async def conversation_messages(
        self, creds: Credentials, igsid: str, *, limit: int = MAX_CONVERSATION_MESSAGES, timeout_s: float
    ) -> list[dict[str, object]]:
        """Returns the latest messages with `igsid`, newest first, as Meta gives them.

        Each has `id` (the mid), `created_time` (ISO 8601), `from`, `to` and `message` (the text).
        """
        limit = min(max(limit, 1), MAX_CONVERSATION_MESSAGES)
        query = {
            "platform": "instagram",
            "user_id": _person(igsid),
            "fields": f"messages.limit({limit}){{id,created_time,from,to,message}}",
        }
        call = Call("GET", (_self(creds), "conversations"), query)
        answer = await self._graph.call(creds, call, timeout_s=timeout_s)
        return [
            message
            for conversation in _objects(answer.get("data"))
            for message in _objects(_data(conversation.get("messages")))
        ]

    async def refresh_token(self, creds: Credentials, timeout_s: float) -> tuple[str, int]:
        """Returns a fresh 60-day token and its life in seconds. Instagram Login only: page tokens do not expire.

        Meta refreshes a token that is at least a day old and not expired, and wants it in the query.
        """
        if creds.flavour != "instagram":
            raise InvalidPayload(None, "only a token of Instagram Login can be refreshed")
        query = {"grant_type": "ig_refresh_token", "access_token": creds.token}
        call = Call("GET", ("refresh_access_token",), query, versioned=False, bearer=False, changes=True)
        answer = await self._graph.call(creds, call, timeout_s=timeout_s)
        token, expires_in_s = answer.get("access_token"), answer.get("expires_in")
        is_life = isinstance(expires_in_s, int) and not isinstance(expires_in_s, bool) and expires_in_s > 0
        if not isinstance(token, str) or not token or not (is_life and isinstance(expires_in_s, int)):
            raise unreadable(call)
        return token, min(expires_in_s, LONGEST_LIFE_S)

    async def me(self, creds: Credentials, timeout_s: float) -> dict[str, object]:
        """Returns the token's own account.

        Instagram Login: `id` is app-scoped, `user_id` is what `entry.id` will be, and `username`.
        Facebook Login: the Page's `id` and `name`, and `instagram_business_account` with `id`, `username`.
        """
        own = "id,user_id,username"
        page = "id,name,instagram_business_account{id,username}"
        query = {"fields": own if creds.flavour == "instagram" else page}
        return await self._graph.call(creds, Call("GET", ("me",), query), timeout_s=timeout_s)

    async def own_account(self, creds: Credentials, timeout_s: float) -> dict[str, object]:
        """Returns the same as `me`, by the id of the account: a token of another account is refused.

        With Facebook Login the Page says which account it has.
        """
        if creds.flavour == "facebook":
            return await self.me(creds, timeout_s)
        call = Call("GET", (creds.account_id,), {"fields": "id,user_id,username"})
        return await self._graph.call(creds, call, timeout_s=timeout_s)

    async def subscribe(self, creds: Credentials, fields: Sequence[str], timeout_s: float) -> None:
        """Subscribes our app to these webhook fields of the account, in place of those that it had.

        Meta takes all of `fields` or none. `GraphError.refused_item` then names the one to leave out.
        """
        # In the query: some have seen Meta refuse a JSON body here.
        call = Call("POST", ("me", "subscribed_apps"), {"subscribed_fields": ",".join(fields)})
        await self._graph.call(creds, call, timeout_s=timeout_s)

    async def subscribed_fields(self, creds: Credentials, timeout_s: float) -> list[str]:
        """Returns the webhook fields that our app is subscribed to for the account. Only this answer is the truth."""
        call = Call("GET", ("me", "subscribed_apps"))
        return fields_in(await self._graph.call(creds, call, timeout_s=timeout_s))

    def usage(self, account_id: str) -> dict[str, Usage]:
        """Returns the use of each limit (`app`, `instagram`, …) that Meta last named. At 100 percent Meta throttles."""
        return self._graph.usage(account_id)


def _self(creds: Credentials) -> str:
    """Returns our side of a conversation. A Page token knows its Page, whose id is not the account's."""
    return creds.account_id if creds.flavour == "instagram" else "me"


def _person(igsid: str) -> str:
    """Returns `igsid`. Raises `InvalidPayload` for the word that means ourselves."""
    if igsid == "me":
        raise InvalidPayload(None, "not the id of a person")
    return igsid


def _profile(answer: Mapping[str, object]) -> ProfileData:
    return ProfileData(
        name=_text(answer.get("name")),
        username=_text(answer.get("username")),
        profile_pic=_text(answer.get("profile_pic")),
        follower_count=_count(answer.get("follower_count")),
        is_verified_user=_flag(answer.get("is_verified_user")),
        is_user_follow_business=_flag(answer.get("is_user_follow_business")),
        is_business_follow_user=_flag(answer.get("is_business_follow_user")),
    )


def _text(value: object) -> str | None:
    return value[:MAX_TEXT_CHARS] if isinstance(value, str) and value else None


def _count(value: object) -> int | None:
    """Returns a number that fits its column, or None."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT
    return value if is_count and isinstance(value, int) else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _data(edge: object) -> object:
    return edge.get("data") if isinstance(edge, dict) else None


def _objects(value: object) -> list[dict[str, object]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []

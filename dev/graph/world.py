"""What the stand-in remembers: accounts and their tokens, people, and every accepted message."""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from dev.graph import refusals
from dev.graph.config import LOCAL_TOKEN_PREFIX, GraphConfig
from dev.graph.refusals import RefusedError

Host: TypeAlias = Literal["instagram", "facebook"]

REFRESHED_TOKEN_LIFE_S = 60 * 24 * 3600

FIELDS: Mapping[Host, tuple[str, ...]] = {
    "instagram": (
        "messages",
        "message_edit",
        "message_reactions",
        "messaging_handover",
        "messaging_optins",
        "messaging_postbacks",
        "messaging_referral",
        "messaging_seen",
        "standby",
        "comments",
        "live_comments",
        "mentions",
        "story_insights",
    ),
    "facebook": (
        "messages",
        "message_echoes",
        "message_reactions",
        "message_reads",
        "messaging_handovers",
        "messaging_postbacks",
        "messaging_referrals",
        "standby",
    ),
}
"""The webhook fields that each host takes. An Instagram account has no `message_echoes`, and a Page no `comments`."""

DEFAULT_SUBSCRIPTIONS: Mapping[Host, tuple[str, ...]] = {
    "instagram": ("messages", "message_reactions", "messaging_postbacks", "messaging_seen", "comments"),
    "facebook": ("messages", "message_reactions", "messaging_postbacks", "message_reads"),
}

NOT_REFRESHED = ("young", "short")
"""The kinds of token that Meta does not refresh: one younger than a day, and one that lives for an hour."""

_NOT_REFRESHED = re.compile(rf"{re.escape(LOCAL_TOKEN_PREFIX)}(?:{'|'.join(NOT_REFRESHED)})-.*")
_OWN_ACCOUNT = re.compile(rf"{re.escape(LOCAL_TOKEN_PREFIX)}.*?-?(\d{{10,}})")
_FIRST_NAMES = ("Ada", "Björk", "Chidi", "Dana", "Émile", "Fatima", "Goran", "Hana", "Ines", "Jun")
_LAST_NAMES = (
    "Okafor",
    "Lindqvist",
    "Sato",
    "Núñez",
    "Kowalska",
    "Haddad",
    "Moreau",
    "Silva",
    "Nguyen",
    "Weiss",
)


@dataclass(frozen=True, slots=True)
class Account:
    """A professional account. If it is not `bound`, its token may act as any account in a path.

    `life_s` is the life of a refreshed token, in seconds.
    """

    user_id: str
    bound: bool = True
    life_s: int = REFRESHED_TOKEN_LIFE_S

    @property
    def app_scoped_id(self) -> str:
        """The `id` in the answer of `/me`. Webhooks carry another id of the account."""
        return str(2 * 10**16 + int(self.user_id[-12:])) if self.user_id.isdigit() else self.user_id

    @property
    def username(self) -> str:
        return f"shop.{self.user_id[-4:]}"


@dataclass(frozen=True, slots=True)
class SentMessage:
    """An accepted message, whatever answer its sender got."""

    message_id: str
    account_id: str
    recipient_id: str
    comment_id: str | None
    message: dict[str, object]
    sent_at_ms: int

    @property
    def text(self) -> str | None:
        text = self.message.get("text")
        return text if isinstance(text, str) else None


@dataclass(slots=True)
class World:
    """Everything that can be reset. `commenters` holds the authors of comments that a test has named.

    Of the webhook fields, the hosts do not know `unknown_fields`, the tokens have no permission for
    `forbidden_fields`, and the app itself is not subscribed to `unticked_fields`.
    """

    config: GraphConfig
    accounts: dict[str, Account] = field(default_factory=dict)
    profiles: dict[str, dict[str, object]] = field(default_factory=dict)
    commenters: dict[str, str] = field(default_factory=dict)
    sent: list[SentMessage] = field(default_factory=list)
    subscriptions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unknown_fields: frozenset[str] = frozenset()
    forbidden_fields: frozenset[str] = frozenset()
    unticked_fields: frozenset[str] = frozenset()
    _refreshes: int = 0

    def reset(self) -> None:
        """Forgets everything except for tokens."""
        self.profiles.clear()
        self.commenters.clear()
        self.sent.clear()
        self.subscriptions.clear()
        self.unknown_fields = self.forbidden_fields = self.unticked_fields = frozenset()

    def fields_subscribed(self, host: Host, names: Sequence[str]) -> tuple[str, ...]:
        """Returns the fields that an account has after it asked for `names`. Raises `RefusedError` for all of them.

        Meta silently leaves out a field that the app is not subscribed to. One name that it does not know, or that the
        token has no permission for, refuses the whole list.
        """
        known = [name for name in FIELDS[host] if name not in self.unknown_fields]
        for place, name in enumerate(names):
            if name not in known:
                raise RefusedError(refusals.unknown_item("subscribed_fields", place, known))
            if name in self.forbidden_fields:
                raise RefusedError(refusals.field_without_permission(name))
        return tuple(name for name in dict.fromkeys(names) if name not in self.unticked_fields)

    def account_of(self, token: str | None) -> Account:
        """Returns the token's account. Raises `RefusedError` (190) for no token, an unknown or an `EXPIRED…` one."""
        if token is not None and token.startswith("EXPIRED"):
            raise RefusedError(refusals.EXPIRED_TOKEN)
        if token is None:
            raise RefusedError(refusals.INVALID_TOKEN)
        if known := self.accounts.get(token):
            return known
        if own := _OWN_ACCOUNT.fullmatch(token):
            return Account(own.group(1))
        if token.startswith(LOCAL_TOKEN_PREFIX):
            return Account(self.config.account_id, bound=False)
        raise RefusedError(refusals.INVALID_TOKEN)

    def acting(self, account: Account, node_id: str) -> Account:
        """Returns the account of `/{node_id}/…`. Raises `RefusedError` (100/33) if the token is another account's.

        As Meta does, it refuses the app-scoped id too: messaging wants the id that webhooks carry.
        """
        if node_id in ("me", account.user_id):
            return account
        if account.bound or not node_id.isdigit():
            raise RefusedError(refusals.no_such_object(node_id))
        return Account(node_id)

    def refreshed(self, token: str) -> str:
        """Returns a new token for the same account. The old token stays good, as with Meta.

        Raises `RefusedError` for a token that is younger than a day or lives for an hour. Meta does not publish the
        numbers of that refusal.
        """
        if _NOT_REFRESHED.fullmatch(token):
            raise RefusedError(refusals.NOT_REFRESHED)
        self._refreshes += 1
        fresh = f"{LOCAL_TOKEN_PREFIX}refreshed-{self._refreshes}"
        self.accounts[fresh] = self.account_of(token)
        return fresh

    def profile(self, igsid: str) -> dict[str, object]:
        """Returns the profile that a test has set, or one made up from the id. Raises `RefusedError`."""
        if known := self.profiles.get(igsid):
            return known
        if refusal := refusals.of_person(igsid):
            if refusal in (refusals.NO_CONSENT, refusals.USER_GONE, refusals.NOT_FOUND):
                raise RefusedError(refusal)
        elif not igsid.isdigit():
            raise RefusedError(refusals.NOT_FOUND)
        return made_up_profile(igsid)

    def commenter(self, comment_id: str) -> str:
        """Returns the id of the person whom a private reply to `comment_id` reaches."""
        known = self.commenters.get(comment_id)
        return known or str(10**15 + _number(comment_id) % 10**15)

    def conversation(self, account_id: str, igsid: str) -> list[SentMessage]:
        """Returns the messages to `igsid`, newest first."""
        own = (sent for sent in self.sent if (sent.account_id, sent.recipient_id) == (account_id, igsid))
        return sorted(own, key=lambda sent: sent.sent_at_ms, reverse=True)

    def partners(self, account_id: str) -> list[str]:
        """Returns the recipients of an account's messages, each once."""
        return list(dict.fromkeys(sent.recipient_id for sent in self.sent if sent.account_id == account_id))


def made_up_profile(igsid: str) -> dict[str, object]:
    """Returns the same profile for the same id. One in ten has no name, as on Instagram."""
    number = _number(igsid)
    first, last = _FIRST_NAMES[number % 10], _LAST_NAMES[number // 10 % 10]
    return {
        "name": None if number // 100 % 10 == 0 else f"{first} {last}",
        "username": f"{first}.{last}.{igsid[-4:]}".lower(),
        "profile_pic": f"https://cdn.example.net/profile/{igsid}.jpg",
        "follower_count": number // 1000 % 5000,
        "is_user_follow_business": number // 7 % 2 == 0,
        "is_business_follow_user": number // 11 % 4 == 0,
        "is_verified_user": number // 13 % 20 == 0,
    }


def proof_is_good(token: str, proof: str, app_secret: str) -> bool:
    """Meta, "Secure Graph API Calls": HMAC-SHA256 of the token, keyed with the app secret."""
    wanted = hmac.new(app_secret.encode(), token.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted, proof)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])

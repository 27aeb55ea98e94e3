"""The webhook fields of an account: which we ask for, and which Meta says that the account has.

A Page has Messenger's names for the fields. Neither log-in takes the names of the other, and Meta refuses a whole list
for one name that it does not take.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from lib.core.settings import LoginFlavour

WANTED: Final[Mapping[LoginFlavour, tuple[str, ...]]] = {
    # Without `message_echoes`: Instagram Login refuses it, and echoes come with `messages`.
    "instagram": (
        "messages",
        "message_reactions",
        "message_edit",
        "messaging_postbacks",
        "messaging_seen",
        "messaging_referral",
        "messaging_optins",
        "messaging_handover",
        "standby",
        "comments",
        "live_comments",
    ),
    # Without `comments`, which a Page refuses: with Facebook Login, comments are ticked in the App Dashboard alone.
    "facebook": (
        "messages",
        "message_echoes",
        "message_reactions",
        "message_reads",
        "messaging_postbacks",
        "messaging_referrals",
        "messaging_handovers",
        "standby",
    ),
}
"""The fields that an account is subscribed to, as far as Meta takes them."""

NEEDED: Final = "messages"
"""Without this field no message arrives."""

EXPECTED: Final[Mapping[LoginFlavour, tuple[str, ...]]] = {
    "instagram": (NEEDED, "message_reactions", "messaging_postbacks", "messaging_seen", "comments"),
    "facebook": (NEEDED, "message_reactions", "messaging_postbacks", "message_reads"),
}
"""The fields that Meta gives to every account with our permissions. A person should know if one of them is missing."""

MOST_FIELDS: Final = 100
"""Meta has about forty fields. The rest of a longer answer is not read."""

_NAME = re.compile(r"[a-z0-9_]{1,64}")


def fields_in(answer: Mapping[str, object]) -> list[str]:
    """Returns the subscribed fields in Meta's answer to GET `subscribed_apps`, each once, in Meta's order.

    Meta answers `{"data": [{"id": …, "subscribed_fields": ["messages", …]}]}`. Without a subscription `data` is empty.
    The `id` there is not always our app's, so every entry counts. Whatever else the answer holds is passed over.
    """
    apps = answer.get("data")
    names = (name for app in _items(apps) if isinstance(app, Mapping) for name in _names(app.get("subscribed_fields")))
    return list(dict.fromkeys(names))[:MOST_FIELDS]


def _names(fields: object) -> Iterator[str]:
    """Yields the names in a list of strings, in a list of objects `{"name": …, "version": …}`, or in one string."""
    for field in fields.split(",") if isinstance(fields, str) else _items(fields):
        name = field.get("name") if isinstance(field, Mapping) else field
        if isinstance(name, str) and _NAME.fullmatch(name.strip().lower()):
            yield name.strip().lower()


def _items(value: object) -> list[object]:
    """Returns the items of a list. A single object counts as a list of one."""
    if isinstance(value, list):
        return value
    return [value] if isinstance(value, Mapping) else []

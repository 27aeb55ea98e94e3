"""Webhook bodies in Meta's shapes, for the tests of the parser. Values in, values out."""

from typing import Any

from lib.webhooks.parser import parse_webhook

ACCOUNT = "17841478214963307"
PERSON = "1038472915560274"
RECEIVED_AT = 1_789_400_000_000
SENT_AT = 1_789_376_400_403


def item(**about: Any) -> dict[str, Any]:
    """A messaging item from a person to the account; anything in it can be replaced, `...` removes."""
    made = {"sender": {"id": PERSON}, "recipient": {"id": ACCOUNT}, "timestamp": SENT_AT, **about}
    return {key: value for key, value in made.items() if value is not ...}


def from_account(**about: Any) -> dict[str, Any]:
    return item(**{"sender": {"id": ACCOUNT}, "recipient": {"id": PERSON}, **about})


def entry(*items: Any, under: str = "messaging", **more: Any) -> dict[str, Any]:
    return {"id": ACCOUNT, "time": SENT_AT + 700, under: list(items), **more}


def body(*entries: Any) -> dict[str, Any]:
    return {"object": "instagram", "entry": list(entries)}


def parse(*items: Any, under: str = "messaging") -> list[Any]:
    return list(parse_webhook(body(entry(*items, under=under)), received_at=RECEIVED_AT))


def parse_one(one: Any, *, under: str = "messaging", account: object = ACCOUNT, time: object = SENT_AT) -> Any:
    """The one event of a body with one item; `Any`, for a test reads the fields of the kind it expects."""
    [event] = parse_webhook(body({"id": account, "time": time, under: [one]}), received_at=RECEIVED_AT)
    return event


def change(field: str, value: Any) -> dict[str, Any]:
    return {"field": field, "value": value}

"""The requests of the comparisons: the same bytes for our functions and for the TypeScript peer."""

import json
from collections.abc import Mapping

from bench.bare import Request
from bench.message import WORDS, message, now_ms, webhook
from bench.round_trips import FIRST_PERSON, signed
from dev.stack import keys
from dev.stack.config import StackConfig
from dev.stack.stack import Stack
from lib.events.model import encode
from lib.webhooks.parser import parse_webhook
from lib.webhooks.signature import sign_hub

WEBHOOK, INGEST = "/api/webhooks/instagram", "/api/internal/ingest-event"
CONSUMER = "/api/qstash/instagram-ingestion"
ROUTES = {"webhook": WEBHOOK, "ingest": INGEST, "consumer": CONSUMER}
"""The routes by the name of the peer's bundle."""

PEOPLE = 10_000
"""How many people write."""


def settings(upstream: str) -> dict[str, str]:
    """Returns the environment of a function that calls nothing but `upstream`."""
    urls = dict.fromkeys(("PUBLIC_URL", "QSTASH_URL", "SUPABASE_URL"), upstream)
    return Stack(StackConfig()).env | urls


def webhook_body(events: int, *, first: int = 0) -> bytes:
    """Returns the body of a webhook with `events` messages, as Meta writes it. `first` is the number of the first."""
    at_ms = now_ms()
    items = [
        message(str(FIRST_PERSON + number % PEOPLE), WORDS.format(number=number), at_ms=at_ms, number=number)
        for number in range(first, first + events)
    ]
    return json.dumps(webhook(items, at_ms=at_ms)).encode("ascii")


def request(name: str, events: int, *, port: int, public_url: str, first: int = 0) -> Request:
    """Returns a signed request to the route with this name, about `events` new messages (the consumer takes one)."""
    body = webhook_body(events, first=first)
    if name == "webhook":
        return _post(port, WEBHOOK, body, {"X-Hub-Signature-256": sign_hub(body, keys.APP_SECRET)})
    made = parse_webhook(json.loads(body), received_at=now_ms())
    if name == "ingest":
        bearer = {"Authorization": f"Bearer {keys.INTERNAL_SECRET}", "X-Ingest-Budget-Ms": "3800"}
        return _post(port, INGEST, b'{"events":[%s]}' % b",".join(map(encode, made)), bearer)
    [sent] = map(encode, made)
    return _post(port, CONSUMER, sent, signed(sent, public_url + CONSUMER))


def _post(port: int, path: str, body: bytes, headers: Mapping[str, str]) -> Request:
    return Request(port, "POST", path, {"Content-Type": "application/json", **headers}, body)

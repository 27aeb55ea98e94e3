"""Damage to a body: bits, bytes and JSON tokens. `damaged(body, random)` does some of it.

Pure: what happens is what `random` says. Must not know what a body means.
"""

import base64
import re
from collections.abc import Callable
from random import Random

from dev.send.samples import samples
from lib.events.model import encode, event_of
from lib.webhooks.parser import parse_items
from lib.webhooks.request import read_items
from tests.fuzz.callers import FORMS
from tests.support.deliveries import failure_callback
from tests.support.world import CONSUMER, FAILURE, INGEST, WEBHOOK

WEBHOOKS = [sample.path.read_bytes() for sample in samples()]
EVENTS = [
    encode(event_of(event))
    for body in WEBHOOKS
    for event in parse_items(read_items(body)[0], received_at=1_795_000_000_000)
]

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?|true|false|null')
_KEY = re.compile(rb'"(?:[^"\\]|\\.)*"\s*:')

_DEPTHS = (40, 63, 64, 65, 900, 100_000)
_LENGTHS = (256, 513, 1001, 70_000, 300_000)
_VALUES = b'null true 0 -1 1.5 "" [] {} [[]] [{},null,"x"] {"":null}'.split()
_NUMBERS = (b"1e999", b"-1e999", b"1e-999", b"NaN", b"-Infinity", b"-0", b"9" * 30, b"9" * 10_000, b"0." + b"9" * 5000)
_ODD_TEXTS = (
    *(rb"\ud800", rb"\udfff\ud800", rb"\u0000", rb"\u001f", rb"\uffff", rb"\ud83d\ude00", rb"\x", rb"\u12"),
    *(text.encode() for text in ("\u202e", "e\u0301", "\ufeff", "\u2028")),
)
_BYTES = (*(b"\x00", b"\x01", b"\x1f", b"\x7f", b"\r\n"), *(b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"))


def damaged(body: bytes, random: Random) -> bytes:
    """`body` after one to three mishaps; now and then none."""
    for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
        body = random.choice(_MISHAPS)(body, random)
    return body


def _flip(body: bytes, random: Random) -> bytes:
    at = random.randrange(len(body) + 1)
    flipped = bytes(byte ^ 1 << random.randrange(8) for byte in body[at : at + 1])
    return body[:at] + flipped + body[at + 1 :]


def _cut(body: bytes, random: Random) -> bytes:
    start, end = _span(body, random)
    return body[:start] if random.randrange(2) else body[:start] + body[end:]


def _double(body: bytes, random: Random) -> bytes:
    start, end = _span(body, random)
    return body[:end] + body[start:]


def _splice(body: bytes, random: Random) -> bytes:
    other = random.choice(WEBHOOKS)
    start, end = _span(other, random)
    at = random.randrange(len(body) + 1)
    return body[:at] + other[start:end] + body[at:]


def _insert(body: bytes, random: Random) -> bytes:
    at = random.randrange(len(body) + 1)
    return body[:at] + random.choice(_BYTES) + body[at:]


def _other_value(body: bytes, random: Random) -> bytes:
    return _replace(body, random, random.choice(_VALUES))


def _other_number(body: bytes, random: Random) -> bytes:
    return _replace(body, random, random.choice(_NUMBERS))


def _odd_text(body: bytes, random: Random) -> bytes:
    return _replace(body, random, b'"x' + random.choice(_ODD_TEXTS) + b'"')


def _long_text(body: bytes, random: Random) -> bytes:
    return _replace(body, random, b'"' + b"x" * random.choice(_LENGTHS) + b'"')


def _deep(body: bytes, random: Random) -> bytes:
    depth = random.choice(_DEPTHS)
    opening, closing = random.choice(((b"[", b"]"), (b'{"a":', b"}")))
    return _replace(body, random, opening * depth + b"0" + closing * random.choice((depth, depth, 0)))


def _key_twice(body: bytes, random: Random) -> bytes:
    """A name that is there already, once more, in this object or another."""
    keys: list[bytes] = _KEY.findall(body)
    objects = [found.end() for found in re.finditer(rb"\{", body)]
    if not keys or not objects:
        return body
    at = random.choice(objects)
    return body[:at] + random.choice(keys) + random.choice(_VALUES) + b"," + body[at:]


def _other_key(body: bytes, random: Random) -> bytes:
    keys: list[bytes] = _KEY.findall(body)
    return body.replace(random.choice(keys), random.choice(keys), 1) if keys else body


def _replace(body: bytes, random: Random, value: bytes) -> bytes:
    """`value` for one of the values or names of `body`."""
    found = list(_TOKEN.finditer(body))
    if not found:
        return value
    gone = random.choice(found)
    return body[: gone.start()] + value + body[gone.end() :]


def _span(body: bytes, random: Random) -> tuple[int, int]:
    first, second = random.randrange(len(body) + 1), random.randrange(len(body) + 1)
    return min(first, second), max(first, second)


_MISHAPS: tuple[Callable[[bytes, Random], bytes], ...] = (
    *(_flip, _cut, _double, _splice, _insert),
    # Most of the above is no JSON any more, and goes no further than the decoder.
    *(_other_value, _other_value, _other_key, _key_twice, _other_number, _odd_text, _odd_text, _long_text, _deep),
)


LETTERS = [
    failure_callback(
        sourceMessageId=f"msg_{number}",
        url="https://pipeline.example/api/qstash/instagram-ingestion",
        sourceBody=base64.b64encode(event).decode(),
        createdAt=1_725_323_658_779,
    )
    for number, event in enumerate([*EVENTS, b"\x00 no event \xff"])
]


PAYLOADS = [
    b'{"algorithm": "HMAC-SHA256", "user_id": "6001234567890123", "issued_at": 1795000000, "expires": 1795003600}',
    b'{"algorithm": "HMAC-SHA256", "user_id": 17841400000000000}',
]


BATCHES = [b'{"events": [' + b", ".join(EVENTS[:3]) + b"]}", b'{"events": []}']


OF = {
    WEBHOOK: WEBHOOKS,
    INGEST: [*EVENTS, *BATCHES],
    CONSUMER: EVENTS,
    FAILURE: LETTERS,
    **dict.fromkeys(FORMS, PAYLOADS),
}
"""What each route is sent when nothing is wrong."""

"""Signs a webhook body as Meta does, and posts it."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from lib.webhooks.signature import sign_hub

WEBHOOK_PATH = "/api/webhooks/instagram"


@dataclass(frozen=True)
class Answer:
    """The webhook's answer. With status 0 no answer came, and `reason` says why.

    `body` is {} if it was no JSON object. `posted_at_ms` counts from the epoch.
    """

    status: int
    reason: str
    body: Mapping[str, Any]
    posted_at_ms: float
    took_ms: float

    @property
    def ok(self) -> bool:
        """Whether Meta takes the webhook as received."""
        return self.status == 200

    def count(self, name: str) -> int:
        """Returns a count of the answer (`received`, `queued`, `processed`, `ignored`), or 0 if it has none."""
        value = self.body.get(name)
        return value if isinstance(value, int) else 0


def post_webhook(http: httpx.Client, url: httpx.URL | str, body: bytes, *, app_secret: str) -> Answer:
    """Posts `body` byte for byte, signed with `app_secret`. Raises `httpx.ConnectError` if no server listens."""
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "facebookexternalua",
        "X-Hub-Signature-256": sign_hub(body, app_secret),
    }
    posted_at_ms = time.time() * 1000
    try:
        response = http.post(url, content=body, headers=headers)
    except httpx.ConnectError:
        raise
    except httpx.TransportError as error:
        return Answer(0, f"no answer ({type(error).__name__})", {}, posted_at_ms, time.time() * 1000 - posted_at_ms)
    took_ms = time.time() * 1000 - posted_at_ms
    reason = response.reason_phrase or httpx.codes.get_reason_phrase(response.status_code)
    return Answer(response.status_code, reason, _object(response.content), posted_at_ms, took_ms)


def as_meta_writes(body: object) -> bytes:
    """Returns JSON as Meta sends and signs it: ASCII, with \\u escapes (Meta, "Webhooks from Meta", payloads)."""
    return json.dumps(body).encode("ascii")


def _object(content: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}

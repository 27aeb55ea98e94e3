"""Deliveries of QStash: signed as QStash signs them."""

import base64
import hashlib
import json
import time
from typing import Any

import httpx
import jwt

from dev.stack import keys
from tests.support.builders import ACCOUNT, CONTACT, new_mid, now_ms
from tests.support.world import World


def signature(body: bytes, url: str, /, *, key: str = keys.QSTASH_CURRENT_SIGNING_KEY, **claims: Any) -> str:
    """`Upstash-Signature` as QStash makes it (Upstash, "Verifying signatures")."""
    now = int(time.time())
    body_hash = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode()
    standard = {"iss": "Upstash", "sub": url, "iat": now, "nbf": now, "exp": now + 300, "jti": "jwt_1"}
    return jwt.encode({**standard, "body": body_hash, **claims}, key, algorithm="HS256")


def post(world: World, path: str, body: bytes, /, **signing: Any) -> httpx.Response:
    """One delivery, as QStash makes it."""
    headers = {
        "Upstash-Signature": signature(body, world.stack.functions_url + path, **signing),
        "Upstash-Message-Id": "msg_test",
        "Upstash-Retried": "0",
    }
    return world.http.post(path, content=body, headers=headers)


def body_of(one: dict[str, Any]) -> bytes:
    return json.dumps(one).encode()


def failure_callback(**changes: Any) -> bytes:
    """QStash's failure callback (Upstash, "Callbacks")."""
    return json.dumps(
        {
            "status": 489,
            "header": {},
            "body": base64.b64encode(b'{"error": {"code": "invalid_payload"}}').decode(),
            "retried": 0,
            "maxRetries": 3,
            "dlqId": "1725323658779-0",
            "sourceMessageId": "msg_1",
            "url": "http://127.0.0.1/api/qstash/instagram-ingestion",
            "method": "POST",
            "sourceHeader": {},
            "sourceBody": base64.b64encode(body_of(event(event_id="ig_msg_dead", mid="dead"))).decode(),
            "createdAt": "1725323658779",
            **changes,
        }
    ).encode()


def event(**changes: Any) -> dict[str, Any]:
    """An event of ours as JSON."""
    mid = new_mid()
    return {
        "kind": "message",
        "event_id": f"ig_msg_{mid}",
        "mid": mid,
        "account_id": ACCOUNT,
        "contact_id": CONTACT,
        "occurred_at": now_ms(),
        "received_at": now_ms(),
        "text": "hello",
        "raw": {"message": {"mid": mid, "text": "hello"}},
        **changes,
    }

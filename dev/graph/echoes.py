"""Echoes: the signed webhook that Meta posts for every message that an account has sent, by whatever client."""

import asyncio
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, replace

import httpx

from dev.graph.config import EchoMode, GraphConfig
from dev.graph.world import SentMessage

_DEFAULT_DELAY_MS = {EchoMode.ON: 200, EchoMode.LATE: 5000}
_PATIENCE_S = 5.0
"""How long Meta waits for the answer to a webhook."""
_RETRY_AFTER_S = (0.2, 1.0)


@dataclass(frozen=True, slots=True)
class EchoPlan:
    """Where echoes go and when."""

    mode: EchoMode
    delay_ms: int
    webhook_url: str

    @classmethod
    def of(cls, config: GraphConfig) -> "EchoPlan":
        return cls(EchoMode.ON, 0, config.webhook_url).changed(config.echo, None)

    def changed(self, mode: EchoMode, delay_ms: int | None) -> "EchoPlan":
        return replace(self, mode=mode, delay_ms=_DEFAULT_DELAY_MS.get(mode, 0) if delay_ms is None else delay_ms)


class Echoes:
    """Posts echoes. `statuses` holds, by mid, the HTTP status of each attempt, or None for no answer."""

    def __init__(self, config: GraphConfig) -> None:
        self._config = config
        self._http = httpx.AsyncClient(timeout=_PATIENCE_S)
        self._pending: set[asyncio.Task[None]] = set()
        self.plan = EchoPlan.of(config)
        self.statuses: dict[str, list[int | None]] = {}

    async def after(self, sent: SentMessage) -> None:
        """Posts the echo of `sent` now (early), or in a task."""
        if self.plan.mode is EchoMode.OFF or not self.plan.webhook_url:
            return
        if self.plan.mode is EchoMode.EARLY:
            await self._deliver(sent, self.plan)
            return
        task = asyncio.create_task(self._deliver(sent, self.plan))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def reset(self) -> None:
        """Drops the echoes that are not yet posted, and returns to the echo mode of the start."""
        pending = list(self._pending)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        self.plan = EchoPlan.of(self._config)
        self.statuses.clear()

    async def close(self) -> None:
        await self.reset()
        await self._http.aclose()

    async def _deliver(self, sent: SentMessage, plan: EchoPlan) -> None:
        """Posts up to three times, until the answer is 2xx. Meta goes on for hours."""
        await asyncio.sleep(plan.delay_ms / 1000)
        for wait_s in (*_RETRY_AFTER_S, None):
            status = await self._post(plan.webhook_url, sent)
            self.statuses.setdefault(sent.message_id, []).append(status)
            if wait_s is None or (status is not None and 200 <= status < 300):
                return
            await asyncio.sleep(wait_s)

    async def _post(self, url: str, sent: SentMessage) -> int | None:
        # As json.dumps does, Meta writes non-ASCII as \uXXXX with lowercase hex, and signs those bytes.
        body = json.dumps(echo_payload(sent, now_ms=time.time_ns() // 1_000_000)).encode("ascii")
        key = self._config.app_secret.encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "facebookexternalua",
            "X-Hub-Signature": f"sha1={hmac.new(key, body, hashlib.sha1).hexdigest()}",
            "X-Hub-Signature-256": f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}",
        }
        try:
            return (await self._http.post(url, content=body, headers=headers)).status_code
        except httpx.HTTPError:
            return None


def echo_payload(sent: SentMessage, *, now_ms: int) -> dict[str, object]:
    """Returns the webhook body, as captured from production: without an app id or any other origin."""
    item = {
        "sender": {"id": sent.account_id},
        "recipient": {"id": sent.recipient_id},
        "timestamp": sent.sent_at_ms,
        "message": {"mid": sent.message_id, **_content(sent.message), "is_echo": True},
    }
    return {"object": "instagram", "entry": [{"time": now_ms, "id": sent.account_id, "messaging": [item]}]}


def _content(message: dict[str, object]) -> dict[str, object]:
    attached = message.get("attachments", message.get("attachment"))
    if attached is None:
        return {"text": message.get("text")}
    return {"attachments": attached if isinstance(attached, list) else [attached]}

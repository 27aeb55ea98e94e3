"""The check of the whole pipe: one event that means nothing to anybody, from the front door to the ledger.

Knows how such an event is made, followed, and taken away again. Must not know how it is processed.
"""

import asyncio
import base64
import json
import secrets
import time
from typing import Any

from cli.doctor.case import Case, json_object
from cli.doctor.finding import Finding, fail, ok, warn
from cli.doctor.front_door import DEPLOY_AGAIN, not_ours, post_signed
from cli.doctor.qstash import CONSOLE, attempts
from dev.send.webhook import WEBHOOK_PATH, as_meta_writes
from lib.database import connect
from lib.events.model import Event
from lib.qstash.publisher import conversation_key
from lib.webhooks.parser import parse_webhook
from lib.webhooks.payload import TEST_ENTRY_ID

LAND_WITHIN_S = 20.0
"""A cold start of each function, and one retry of QStash's."""

POLL_S = 0.1
POLLS_UNTIL_ASKED = 10
"""QStash's log is asked once in so many looks at the ledger."""

HOPELESS = (401, 403, 404, 489)
"""Answers of the consumer that another attempt does not change."""


async def whole_pipe(case: Case) -> Finding:
    """An event of unknown kind, flagged as a test, comes through; its row is deleted again."""
    body = {
        "object": "instagram",
        "entry": [{"id": TEST_ENTRY_ID, "messaging": [{"doctor": {"run": secrets.token_hex(8)}}]}],
    }
    started_ms = time.time_ns() // 1_000_000
    (event,) = parse_webhook(body, received_at=started_ms)
    began_s = time.monotonic()
    answer = await post_signed(case, as_meta_writes(body))
    tally = json_object(answer) or {}
    if answer.status_code == 503 and "failed" in tally:
        return fail(
            "the webhook is answered 503: neither QStash nor the database took the event",
            cause="The deployment reaches neither.",
            fix="See `qstash` and `health`.",
        )
    if answer.status_code != 200 or tally.get("received") != 1:
        return not_ours(answer, WEBHOOK_PATH)
    landed = await _landing(case, event, since_ms=started_ms)
    if landed is None:
        return await _explained(case, event, since_ms=started_ms)
    took_ms = round((time.monotonic() - began_s) * 1000)
    if landed["via"] == "direct":
        return warn(
            f"the event came through in {took_ms} ms, but around QStash",
            cause="The deployment could not publish: its QSTASH_TOKEN or QSTASH_URL, or QStash is away.",
            fix=f"See `qstash`. {DEPLOY_AGAIN}",
        )
    return ok(f"webhook, QStash, consumer, database in {took_ms} ms; nothing is left of it")


async def _landing(case: Case, event: Event, *, since_ms: int) -> dict[str, Any] | None:
    """The event's row of the ledger once it is processed, deleted by now; None where it does not come."""
    http, client = connect(case.settings)
    ends_s = time.monotonic() + LAND_WITHIN_S
    try:
        look = 0
        while True:
            look += 1
            rows = client.table("events").select("via,processed_at").eq("event_id", event.event_id)
            found = (await rows.execute()).data
            row = found[0] if found else None
            if isinstance(row, dict) and row["processed_at"] is not None:
                await client.table("events").delete().eq("event_id", event.event_id).execute()
                return dict(row)
            hopeless = look % POLLS_UNTIL_ASKED == 0 and await _last_status(case, event, since_ms) in HOPELESS
            if hopeless or time.monotonic() > ends_s:
                return None
            await asyncio.sleep(POLL_S)
    finally:
        await http.aclose()


async def _last_status(case: Case, event: Event, since_ms: int) -> int | None:
    logged = await attempts(case, flow_key=conversation_key(event), since_ms=since_ms)
    statuses = (entry["responseStatus"] for entry in logged if isinstance(entry.get("responseStatus"), int))
    return next(statuses, None)


async def _explained(case: Case, event: Event, *, since_ms: int) -> Finding:
    """Why it was queued and not processed, by what QStash logged of it."""
    logged = await attempts(case, flow_key=conversation_key(event), since_ms=since_ms)
    answered = next((entry for entry in logged if isinstance(entry.get("responseStatus"), int)), None)
    if logged and logged[0].get("state") == "DELIVERED":
        return fail(
            "the consumer took the event, but it did not reach our database",
            cause="The deployment writes to another project than SUPABASE_URL in .env.",
            fix=f"Use one and the same. {DEPLOY_AGAIN}",
        )
    if not logged:
        return fail(
            f"the event was queued, but QStash knows of no message to {case.settings.base_url}",
            cause="The deployment publishes for another address (PUBLIC_URL, PRODUCTION_DOMAIN), or to another account "
            "of Upstash.",
            fix=f"Make these settings the same in .env and at the deployment. {DEPLOY_AGAIN}",
        )
    if answered is None:
        said = f"{logged[0].get('state')}, {logged[0].get('error') or 'no answer yet'}"
        return fail(
            f"the event was queued, but not processed within {LAND_WITHIN_S:.0f} s; QStash says: {said}",
            cause="QStash does not reach the consumer, or has much to deliver before.",
            fix=f"Open {case.settings.base_url} from outside; look into Upstash Console: QStash > Logs.",
        )
    status = int(answered["responseStatus"])
    cause, fix = _of_status(status, is_ours=_is_ours(answered), base_url=case.settings.base_url)
    return fail(f"the event was queued, but the consumer answers QStash {status}", cause=cause, fix=fix)


def _of_status(status: int, *, is_ours: bool, base_url: str) -> tuple[str, str]:
    """Cause and fix of an answer that QStash got."""
    if status == 404:
        return (
            f"There is no consumer at {base_url}: the base URL is another deployment's.",
            f"Set PRODUCTION_DOMAIN (or PUBLIC_URL) to where these functions are. {DEPLOY_AGAIN}",
        )
    if status in (401, 403) and not is_ours:
        return (
            "Vercel's Deployment Protection stands before the consumer.",
            "Set VERCEL_AUTOMATION_BYPASS_SECRET (Vercel: Project > Settings > Deployment Protection > Protection "
            f"Bypass for Automation). {DEPLOY_AGAIN}",
        )
    if status == 401:
        return (
            "The signature does not fit: the deployment has other signing keys, or takes another address for its own.",
            f"Copy both keys from {CONSOLE}; make PUBLIC_URL or PRODUCTION_DOMAIN the address itself. {DEPLOY_AGAIN}",
        )
    return ("The consumer failed; its error has a code.", "See `health` and `database`; look into Vercel's logs.")


def _is_ours(entry: dict[str, Any]) -> bool:
    """Whether the answer in a log entry is an error of our own: JSON, not a page to log in."""
    try:
        body = json.loads(base64.b64decode(str(entry.get("responseBody", ""))))
    except ValueError:
        return False
    return isinstance(body, dict) and "error" in body

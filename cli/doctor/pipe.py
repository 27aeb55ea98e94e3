"""The check of the whole pipeline: one test event, from the webhook to its row in `events`."""

import asyncio
import base64
import json
import secrets
import time
from typing import Any

from cli.doctor.case import Case, json_object
from cli.doctor.finding import Finding, fail, ok, warn
from cli.doctor.front_door import DEPLOY_AGAIN, PROTECTED, not_ours, post_signed
from cli.doctor.qstash import CONSOLE, attempts
from dev.send.webhook import WEBHOOK_PATH, as_meta_writes
from lib.database import connect
from lib.events.model import Event
from lib.qstash.publisher import conversation_key
from lib.webhooks.parser import parse_webhook
from lib.webhooks.payload import TEST_ENTRY_ID

PROCESSED_WITHIN_S = 20.0
"""Enough for a cold start of each function and one retry of QStash."""

POLL_S = 0.1
POLLS_PER_LOG = 10
"""QStash's log is read once in so many reads of `events`."""

HOPELESS = (401, 403, 404, 489)
"""Answers of the consumer that a retry does not change."""


async def whole_pipe(case: Case) -> Finding:
    """A test event of unknown kind is processed. Its row is deleted again."""
    # The entry id marks the event as a test. No parser knows its key, so nothing but a row comes of it.
    body = {
        "object": "instagram",
        "entry": [{"id": TEST_ENTRY_ID, "messaging": [{"doctor": {"run": secrets.token_hex(8)}}]}],
    }
    started_ms = time.time_ns() // 1_000_000
    (event,) = parse_webhook(body, received_at=started_ms)
    started_s = time.monotonic()
    response = await post_signed(case, as_meta_writes(body))
    counts = json_object(response) or {}
    if response.status_code == 503 and "failed" in counts:
        return fail(
            "the webhook answers 503: neither QStash nor the database took the event",
            cause="The deployment reaches neither of them.",
            fix="See the checks `qstash` and `health`.",
        )
    if response.status_code != 200 or counts.get("received") != 1:
        return not_ours(response, WEBHOOK_PATH)
    row = await _processed_row(case, event, since_ms=started_ms)
    if row is None:
        return await _why_not_processed(case, event, since_ms=started_ms)
    took_ms = round((time.monotonic() - started_s) * 1000)
    if row["via"] == "direct":
        return warn(
            f"the event was processed in {took_ms} ms, but not through QStash",
            cause="The deployment could not publish: QSTASH_TOKEN or QSTASH_URL is wrong there, or QStash is down.",
            fix=f"See the check `qstash`. {DEPLOY_AGAIN}",
        )
    return ok(f"webhook, QStash, consumer, database in {took_ms} ms; the test event is deleted")


async def _processed_row(case: Case, event: Event, *, since_ms: int) -> dict[str, Any] | None:
    """Waits for the event's row and deletes it. Returns the row, or None if it is not processed in time."""
    http, client = connect(case.settings)
    ends_s = time.monotonic() + PROCESSED_WITHIN_S
    try:
        polls = 0
        while True:
            polls += 1
            query = client.table("events").select("via,processed_at").eq("event_id", event.event_id)
            rows = (await query.execute()).data
            row = rows[0] if rows else None
            if isinstance(row, dict) and row["processed_at"] is not None:
                await client.table("events").delete().eq("event_id", event.event_id).execute()
                return dict(row)
            hopeless = polls % POLLS_PER_LOG == 0 and await _last_status(case, event, since_ms) in HOPELESS
            if hopeless or time.monotonic() > ends_s:
                return None
            await asyncio.sleep(POLL_S)
    finally:
        await http.aclose()


async def _last_status(case: Case, event: Event, since_ms: int) -> int | None:
    entries = await attempts(case, flow_key=conversation_key(event), since_ms=since_ms)
    statuses = (entry["responseStatus"] for entry in entries if isinstance(entry.get("responseStatus"), int))
    return next(statuses, None)


async def _why_not_processed(case: Case, event: Event, *, since_ms: int) -> Finding:
    """Returns why the event was queued and not processed, by QStash's log."""
    entries = await attempts(case, flow_key=conversation_key(event), since_ms=since_ms)
    answered = next((entry for entry in entries if isinstance(entry.get("responseStatus"), int)), None)
    if entries and entries[0].get("state") == "DELIVERED":
        return fail(
            "the consumer took the event, but the event did not reach our database",
            cause="The deployment writes to another project than SUPABASE_URL in .env.",
            fix=f"Use the same project. {DEPLOY_AGAIN}",
        )
    if not entries:
        return fail(
            f"the event was queued, but QStash has no message to {case.settings.base_url}",
            cause="The deployment publishes for another address (PUBLIC_URL, PRODUCTION_DOMAIN), or to another Upstash "
            "account.",
            fix=f"Make these settings the same in .env and at the deployment. {DEPLOY_AGAIN}",
        )
    if answered is None:
        state = f"{entries[0].get('state')}, {entries[0].get('error') or 'no answer yet'}"
        return fail(
            f"the event was queued, but not processed within {PROCESSED_WITHIN_S:.0f} s; QStash says: {state}",
            cause="QStash does not reach the consumer, or has many messages to deliver first.",
            fix=f"Open {case.settings.base_url} from outside. Look into Upstash Console: QStash > Logs.",
        )
    status = int(answered["responseStatus"])
    cause, fix = _cause_and_fix(status, is_ours=_is_ours(answered), base_url=case.settings.base_url)
    return fail(f"the event was queued, but the consumer answers QStash {status}", cause=cause, fix=fix)


def _cause_and_fix(status: int, *, is_ours: bool, base_url: str) -> tuple[str, str]:
    """Returns the cause and the fix of a status that the consumer answered QStash with."""
    if status == 404:
        return (
            f"There is no consumer at {base_url}: the address is of another deployment.",
            f"Set PRODUCTION_DOMAIN (or PUBLIC_URL) to the address of these functions. {DEPLOY_AGAIN}",
        )
    if status in (401, 403) and not is_ours:
        return (
            f"{PROTECTED} to the consumer.",
            "Set VERCEL_AUTOMATION_BYPASS_SECRET (Vercel: Project > Settings > Deployment Protection > Protection "
            f"Bypass for Automation). {DEPLOY_AGAIN}",
        )
    if status == 401:
        return (
            "The signature does not match: the deployment has other signing keys, or another address of its own.",
            f"Copy both keys from {CONSOLE}. Set PUBLIC_URL or PRODUCTION_DOMAIN to this address. {DEPLOY_AGAIN}",
        )
    return ("The consumer failed.", "See the checks `health` and `database`, and Vercel's logs.")


def _is_ours(entry: dict[str, Any]) -> bool:
    """Returns whether the answer in a log entry is one of our own errors: JSON, and not a log-in page."""
    try:
        body = json.loads(base64.b64decode(str(entry.get("responseBody", ""))))
    except ValueError:
        return False
    return isinstance(body, dict) and "error" in body

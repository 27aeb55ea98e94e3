"""The checks of QStash: our token, the signing keys, and whether the consumer accepts what they sign.

Source: Upstash, API reference, "Signing Keys" and "Logs".
"""

import time
from typing import Any

import httpx

from cli.doctor.case import Case, error_code, is_loopback, json_object
from cli.doctor.finding import Finding, fail, ok, warn
from cli.doctor.front_door import DEPLOY_AGAIN, not_ours
from cli.schedule import SCHEDULE_ID, find_schedule
from dev.qstash.signing import SigningKeys
from lib.qstash.publisher import CONSUMER_PATH, SWEEP_PATH

CONSOLE = "Upstash Console: QStash > Signing Keys"
"""The place of both keys."""

URL_FIX = "Try again later, or copy QSTASH_URL from Upstash Console: QStash > Quickstart."


async def token(case: Case) -> Finding:
    """QStash accepts our token, and signs with our keys."""
    url = case.settings.qstash_url
    response = await _ask(case, "/v2/keys")
    if response.status_code in (401, 403, 404):
        return fail(
            f"{url} answers {response.status_code} to QSTASH_TOKEN",
            cause="The token is from another account or region, or was reset.",
            fix="Copy QSTASH_TOKEN and QSTASH_URL, which names the region: Upstash Console: QStash > Quickstart. "
            + DEPLOY_AGAIN,
        )
    keys = json_object(response)
    if response.status_code != 200 or keys is None:
        return fail(
            f"{url} answers {response.status_code}",
            cause="QStash is down, or QSTASH_URL is not its address.",
            fix=URL_FIX,
        )
    return _compare(str(keys.get("current")), str(keys.get("next")), case)


async def dead_letters(case: Case) -> Finding:
    """QStash's own dead letter queue holds nothing of ours that it may soon forget."""
    size = await case.services.dlq.measure()
    if not size.entries:
        return ok("QStash's dead letter queue has nothing of ours")
    entries = f"{size.entries}{'+' if size.more else ''} of ours in QStash's dead letter queue"
    if size.expires_soon:
        return warn(
            f"{entries}, the oldest for {size.oldest_hours or 0:.0f} hours",
            cause="QStash keeps an entry for 3 days on the free plan. The sweep takes entries in, and did not.",
            fix="Run `python -m cli dead-letters find-lost`, then `python -m cli dead-letters retry`.",
        )
    return ok(f"{entries}; the sweep takes them in")


async def sweep_schedule(case: Case) -> Finding:
    """QStash calls the sweep by a schedule, at the address of this deployment."""
    if case.is_local:
        return ok("the local stack needs no schedule: deliveries ask for sweeps")
    url, found = case.settings.base_url + SWEEP_PATH, await find_schedule(case.settings)
    fix = "Run `python -m cli schedule`."
    if found is None:
        return warn(
            f"QStash has no schedule {SCHEDULE_ID}",
            cause="It was never set up, or in another region than QSTASH_URL names. Deliveries ask for sweeps too, so "
            "only while no message arrives is a sweep rare: once a day.",
            fix=fix,
        )
    if found.destination != url or found.paused:
        what = "is paused" if found.paused else f"calls {found.destination}, and not {url}"
        return warn(f"the schedule {SCHEDULE_ID} {what}", cause="It was changed, or the address has changed.", fix=fix)
    return ok(f"QStash calls the sweep at {found.cron}")


def _compare(current: str, following: str, case: Case) -> Finding:
    ours = (case.settings.qstash_current_signing_key, case.settings.qstash_next_signing_key)
    if ours == (current, following):
        return ok(f"{case.settings.qstash_url} accepts the token; both signing keys are ours")
    if current not in ours:
        return fail(
            "QStash signs with a key that is neither QSTASH_CURRENT_SIGNING_KEY nor QSTASH_NEXT_SIGNING_KEY",
            cause="The keys are from another account or region, or were rolled twice.",
            fix=f"Copy both from {CONSOLE}. {DEPLOY_AGAIN}",
        )
    if current == ours[1]:
        return warn(
            "QSTASH_CURRENT_SIGNING_KEY is not QStash's; its current key is our QSTASH_NEXT_SIGNING_KEY",
            cause="The keys were rolled: the next key became the current one. Deliveries work until the next roll.",
            fix=f"Copy both from {CONSOLE}. {DEPLOY_AGAIN}",
        )
    return warn(
        "QSTASH_NEXT_SIGNING_KEY is not QStash's next key",
        cause="The setting is empty or old. Deliveries fail as soon as the keys are rolled.",
        fix=f"Copy it from {CONSOLE} > Next. {DEPLOY_AGAIN}",
    )


async def consumer(case: Case) -> Finding:
    """QStash can reach the consumer: our own function answers from outside."""
    url = case.settings.base_url + CONSUMER_PATH
    if is_loopback(url) and not is_loopback(case.settings.qstash_url):
        return fail(
            f"QStash would have to deliver to {case.settings.base_url}",
            cause="That is this machine, which the hosted QStash cannot reach.",
            fix="For a deployment, set PRODUCTION_DOMAIN or give --url. On a laptop, set PUBLIC_URL to a tunnel "
            "(ngrok), or remove QSTASH_URL to use the local stand-in.",
        )
    response = await case.http.post(url, content=b"{}", headers=case.bypass)
    if response.status_code == 401 and error_code(response) == "missing_signature":
        return ok("the consumer answers, and refuses what is not signed")
    return not_ours(response, CONSUMER_PATH)


async def consumer_keys(case: Case) -> Finding:
    """The consumer accepts what QStash signs, now and after the next roll. The signed body is no event."""
    keys = json_object(await _ask(case, "/v2/keys")) or {}
    for name, label in (("current", "QSTASH_CURRENT_SIGNING_KEY"), ("next", "QSTASH_NEXT_SIGNING_KEY")):
        response = await _deliver_no_event(case, SigningKeys(str(keys.get(name)), ""))
        if error_code(response) == "wrong_signature":
            message = str((json_object(response) or {})["error"].get("message"))
            # The next key signs nothing yet.
            finding = fail if name == "current" else warn
            return finding(
                f"the consumer answers 401 to a delivery with QStash's {name} key: {message}",
                cause=f"The deployment has another {label}, or another address than {case.settings.base_url} "
                "(PUBLIC_URL, PRODUCTION_DOMAIN).",
                fix=f"Copy both keys from {CONSOLE}. Use one address in .env and at the deployment. {DEPLOY_AGAIN}",
            )
        if error_code(response) != "invalid_payload":
            return not_ours(response, CONSUMER_PATH)
    return ok("the consumer accepts deliveries with either key")


async def _deliver_no_event(case: Case, keys: SigningKeys) -> httpx.Response:
    url, body = case.settings.base_url + CONSUMER_PATH, b"{}"
    headers = {**case.bypass, "Upstash-Signature": keys.sign(url=url, body=body, now_s=time.time())}
    return await case.http.post(url, content=body, headers=headers)


async def attempts(case: Case, *, flow_key: str, since_ms: int) -> list[dict[str, Any]]:
    """Returns QStash's log entries for the consumer and one flow-control key, newest first, or [] without any."""
    query = {"url": case.settings.base_url + CONSUMER_PATH, "fromDate": str(since_ms)}
    logged = (json_object(await _ask(case, "/v2/logs", query)) or {}).get("logs")
    entries = logged if isinstance(logged, list) else []
    return [entry for entry in entries if isinstance(entry, dict) and entry.get("flowControlKey") == flow_key]


async def _ask(case: Case, path: str, query: dict[str, str] | None = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {case.settings.qstash_token}"}
    return await case.http.get(case.settings.qstash_url + path, params=query, headers=headers)

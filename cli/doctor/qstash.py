"""The checks of QStash: its token, its signing keys, and whether the consumer takes what they sign.

Knows Upstash's API (Upstash, API reference, "Signing Keys" and "Logs"). Must not know what an event holds.
"""

import time
from typing import Any

import httpx

from cli.doctor.case import Case, error_code, is_loopback, json_object
from cli.doctor.finding import Finding, fail, ok, warn
from cli.doctor.front_door import DEPLOY_AGAIN, not_ours
from dev.qstash.signing import SigningKeys
from lib.qstash.publisher import CONSUMER_PATH

CONSOLE = "Upstash Console: QStash > Signing Keys"
"""Where both keys are."""

URL = "Try again later, or copy QSTASH_URL from Upstash Console: QStash > Quickstart."


async def token(case: Case) -> Finding:
    """QStash takes our token, and signs with the keys we have."""
    url = case.settings.qstash_url
    answer = await _ask(case, "/v2/keys")
    if answer.status_code in (401, 403, 404):
        return fail(
            f"{url} answers {answer.status_code} to QSTASH_TOKEN",
            cause="The token is of another account or region, or was reset.",
            fix="Copy QSTASH_TOKEN and QSTASH_URL, which names the region: Upstash Console: QStash > Quickstart. "
            + DEPLOY_AGAIN,
        )
    theirs = json_object(answer)
    if answer.status_code != 200 or theirs is None:
        return fail(
            f"{url} answers {answer.status_code}", cause="QStash is away, or QSTASH_URL is not QStash's.", fix=URL
        )
    return _compare(str(theirs.get("current")), str(theirs.get("next")), case)


def _compare(current: str, following: str, case: Case) -> Finding:
    ours = (case.settings.qstash_current_signing_key, case.settings.qstash_next_signing_key)
    if ours == (current, following):
        return ok(f"{case.settings.qstash_url} takes the token; both signing keys are ours")
    if current not in ours:
        return fail(
            "QStash signs with a key that is neither QSTASH_CURRENT_SIGNING_KEY nor QSTASH_NEXT_SIGNING_KEY",
            cause="The keys are of another account or region, or were rolled twice.",
            fix=f"Copy both from {CONSOLE}. {DEPLOY_AGAIN}",
        )
    if current == ours[1]:
        return warn(
            "QSTASH_CURRENT_SIGNING_KEY is not QStash's; its current key is our QSTASH_NEXT_SIGNING_KEY",
            cause="The keys were rolled: the next one became the current one. It still works, the next roll will not.",
            fix=f"Copy both from {CONSOLE}. {DEPLOY_AGAIN}",
        )
    return warn(
        "QSTASH_NEXT_SIGNING_KEY is not QStash's next key",
        cause="It is not set, or is an old one. Deliveries fail as soon as the keys are rolled.",
        fix=f"Copy it from {CONSOLE} > Next. {DEPLOY_AGAIN}",
    )


async def consumer(case: Case) -> Finding:
    """QStash can reach the consumer: it answers from outside, itself."""
    url = case.settings.base_url + CONSUMER_PATH
    if is_loopback(url) and not is_loopback(case.settings.qstash_url):
        return fail(
            f"QStash would have to deliver to {case.settings.base_url}",
            cause="That is this machine, which the hosted QStash can not reach.",
            fix="Deployed: set PRODUCTION_DOMAIN, or give --url. On a laptop: a tunnel (ngrok) as PUBLIC_URL, or leave "
            "QSTASH_URL out to use the local one.",
        )
    answer = await case.http.post(url, content=b"{}", headers=case.bypass)
    if answer.status_code == 401 and error_code(answer) == "missing_signature":
        return ok("it answers, and takes nothing unsigned")
    return not_ours(answer, CONSUMER_PATH)


async def consumer_keys(case: Case) -> Finding:
    """The consumer takes what QStash signs, now and after the next roll. What is signed holds no event."""
    keys = json_object(await _ask(case, "/v2/keys")) or {}
    for name, label in (("current", "QSTASH_CURRENT_SIGNING_KEY"), ("next", "QSTASH_NEXT_SIGNING_KEY")):
        answer = await _deliver_nothing(case, SigningKeys(str(keys.get(name)), ""))
        if error_code(answer) == "wrong_signature":
            said = str((json_object(answer) or {})["error"].get("message"))
            bad = fail if name == "current" else warn
            return bad(
                f"the consumer answers 401 to what QStash's {name} key signs: {said}",
                cause=f"The deployment has another {label}, or takes another address than {case.settings.base_url} "
                "for its own (PUBLIC_URL, PRODUCTION_DOMAIN).",
                fix=f"Copy both keys from {CONSOLE}; make the address the one QStash is given. {DEPLOY_AGAIN}",
            )
        if error_code(answer) != "invalid_payload":
            return not_ours(answer, CONSUMER_PATH)
    return ok("the consumer takes what QStash signs with either key")


async def _deliver_nothing(case: Case, keys: SigningKeys) -> httpx.Response:
    url, body = case.settings.base_url + CONSUMER_PATH, b"{}"
    headers = {**case.bypass, "Upstash-Signature": keys.sign(url=url, body=body, now_s=time.time())}
    return await case.http.post(url, content=body, headers=headers)


async def attempts(case: Case, *, flow_key: str, since_ms: int) -> list[dict[str, Any]]:
    """QStash's log of the messages to the consumer under one flow-control key, newest first; [] where it has none."""
    query = {"url": case.settings.base_url + CONSUMER_PATH, "fromDate": str(since_ms)}
    logged = (json_object(await _ask(case, "/v2/logs", query)) or {}).get("logs")
    entries = logged if isinstance(logged, list) else []
    return [entry for entry in entries if isinstance(entry, dict) and entry.get("flowControlKey") == flow_key]


async def _ask(case: Case, path: str, query: dict[str, str] | None = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {case.settings.qstash_token}"}
    return await case.http.get(case.settings.qstash_url + path, params=query, headers=headers)

"""The checks of what the outside world meets: the deployment, Meta's handshake, signed and unsigned webhooks.

Knows the contracts of those routes. Must not know what becomes of an event.
"""

import secrets

import httpx

from cli.doctor.case import Case, error_code, json_object
from cli.doctor.finding import Finding, fail, ok
from dev.send.webhook import WEBHOOK_PATH, as_meta_writes
from lib.webhooks.signature import sign_hub

HEALTH_PATH = "/api/health"
NO_OP = as_meta_writes({"object": "instagram", "entry": []})
PROTECTED = "Vercel's Deployment Protection stands before it"
DEPLOY_AGAIN = "Set it at Vercel (`npx vercel env add NAME production`) and deploy again: `npx vercel deploy --prod`."


async def settings(case: Case) -> Finding:
    """Each setting there and well-formed."""
    if not case.problems:
        return ok("all that are needed are set, and well-formed")
    where = "in .env" if case.is_local else "in .env, and the same at Vercel (`npx vercel env add NAME production`)"
    names = ", ".join(case.problems)
    return fail(f"missing or wrong: {names}", cause="\n".join(case.problems.values()), fix=f"Set {names} {where}.")


async def deployment(case: Case) -> Finding:
    """It answers, with our own voice, and has its settings."""
    try:
        answer = await case.http.get(case.url + HEALTH_PATH, headers=case.bypass)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        return _no_answer(case, error)
    body = json_object(answer)
    if body is None or "settings" not in body:
        return not_ours(answer, HEALTH_PATH)
    problems = body.get("problems")
    if isinstance(problems, dict):
        return fail(
            f"it answers {answer.status_code}; missing or wrong there: {', '.join(problems)}",
            cause="\n".join(map(str, problems.values())),
            fix=DEPLOY_AGAIN.replace("it", "each", 1),
        )
    return ok(f"{case.url} answers and has its settings")


def _no_answer(case: Case, error: Exception) -> Finding:
    if case.is_local:
        fix = "Start the stack with `make dev`, or give the deployment's address: --url https://YOUR-DOMAIN."
    else:
        fix = "Deploy (`npx vercel deploy --prod`), or give the right address: --url https://YOUR-DOMAIN."
    return fail(f"no answer from {case.url} ({type(error).__name__})", cause="Nothing answers there.", fix=fix)


def not_ours(answer: httpx.Response, path: str) -> Finding:
    """A finding about an answer that is not from our functions."""
    saw = f"{path} answers {answer.status_code} with something that is not ours"
    if answer.status_code == 404:
        return fail(saw, cause="No function is deployed at this address.", fix="Deploy this project, or correct --url.")
    if answer.status_code in (301, 302, 303, 307, 308, 401, 403):
        return fail(
            saw,
            cause=f"{PROTECTED}, or the address is a redirect to another one.",
            fix="Use the production domain itself, or set VERCEL_AUTOMATION_BYPASS_SECRET (Vercel: Project > "
            "Settings > Deployment Protection > Protection Bypass for Automation). For Meta it has to be off.",
        )
    return fail(saw, cause="Something else answers there, or the function crashed.", fix="Look into Vercel's logs.")


async def health(case: Case) -> Finding:
    """What it needs answers it, as it says to who holds the internal secret."""
    bearer = {"Authorization": f"Bearer {case.settings.internal_api_secret}"}
    answer = await case.http.get(case.url + HEALTH_PATH, headers={**case.bypass, **bearer})
    if answer.status_code == 401:
        return fail(
            "it answers 401 to our INTERNAL_API_SECRET",
            cause="The deployment has another INTERNAL_API_SECRET than .env.",
            fix=f"Use one and the same. {DEPLOY_AGAIN}",
        )
    checks = (json_object(answer) or {}).get("checks")
    if not isinstance(checks, dict):
        return not_ours(answer, HEALTH_PATH)
    bad = {name: check.get("code") for name, check in checks.items() if not check.get("ok")}
    if bad:
        return fail(
            "; ".join(f"{name} fails: {code}" for name, code in bad.items()),
            cause="The deployment does not get on with it, by the code it says.",
            fix="Correct its settings at the deployment; the checks of `database`, `qstash` and `graph` say more.",
        )
    return ok(f"{', '.join(checks)} answer the deployment")


async def handshake(case: Case) -> Finding:
    """Meta's verification: our token gets the challenge back, another one gets 403."""
    challenge = secrets.token_hex(8)
    answer = await _shake(case, case.settings.instagram_verify_token, challenge)
    if answer.status_code == 403 and error_code(answer) == "wrong_verify_token":
        return fail(
            "our verify token is answered 403",
            cause="The deployment has another INSTAGRAM_VERIFY_TOKEN than .env.",
            fix=f"Use one and the same, at Meta too (Webhooks > Verify token). {DEPLOY_AGAIN}",
        )
    if answer.status_code != 200 or answer.text != challenge:
        return not_ours(answer, WEBHOOK_PATH)
    if (await _shake(case, secrets.token_hex(8), challenge)).status_code != 403:
        return fail(
            "a wrong verify token is not answered 403",
            cause="Something that answers for everybody stands before the function.",
            fix="Let the webhook's address lead to the function alone.",
        )
    return ok("the challenge comes back; a wrong token gets 403")


async def _shake(case: Case, token: str, challenge: str) -> httpx.Response:
    query = {"hub.mode": "subscribe", "hub.verify_token": token, "hub.challenge": challenge}
    return await case.http.get(case.url + WEBHOOK_PATH, params=query)


async def signature(case: Case) -> Finding:
    """A signed webhook that holds nothing is accepted, an unsigned one refused."""
    answer = await post_signed(case, NO_OP)
    if answer.status_code == 401 and error_code(answer) == "wrong_signature":
        return fail(
            "a webhook signed with our INSTAGRAM_APP_SECRET is answered 401",
            cause="The deployment has another INSTAGRAM_APP_SECRET than .env, or a proxy changes the body.",
            fix=f"Use one and the same: Instagram-Login apps sign with the Instagram app secret. {DEPLOY_AGAIN}",
        )
    if answer.status_code != 200 or (json_object(answer) or {}).get("received") != 0:
        return not_ours(answer, WEBHOOK_PATH)
    if (await case.http.post(case.url + WEBHOOK_PATH, content=NO_OP)).status_code != 401:
        return fail(
            "an unsigned webhook is not answered 401",
            cause="Something stands before the function, or it is not this project's.",
            fix="Deploy this project; let the webhook's address lead to the function alone.",
        )
    return ok("signed: 200, nothing received; unsigned: 401")


async def post_signed(case: Case, body: bytes) -> httpx.Response:
    """Posts a webhook as Meta does: with no way around Deployment Protection."""
    signed = sign_hub(body, case.settings.instagram_app_secrets[0])
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signed}
    return await case.http.post(case.url + WEBHOOK_PATH, content=body, headers=headers)

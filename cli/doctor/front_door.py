"""The checks of the routes that face the outside: health, Meta's handshake, signed and unsigned webhooks."""

import secrets

import httpx

from cli.doctor.case import Case, error_code, json_object
from cli.doctor.finding import Finding, fail, ok, warn
from dev.send.webhook import WEBHOOK_PATH, as_meta_writes
from lib.webhooks.signature import sign_hub

HEALTH_PATH = "/api/health"
NO_OP = as_meta_writes({"object": "instagram", "entry": []})
PROTECTED = "Vercel's Deployment Protection blocks the request"
DEPLOY_AGAIN = "Set it at Vercel (`npx vercel env add NAME production`) and deploy again: `npx vercel deploy --prod`."


async def settings(case: Case) -> Finding:
    """Each needed setting is set, and each setting is well-formed."""
    if not case.problems:
        if case.settings.has_legacy_supabase_key and not case.is_local:
            return warn(
                "all needed settings are set and well-formed; SUPABASE_SERVICE_ROLE_KEY is a legacy key",
                cause="Supabase ends the legacy keys with 2026.",
                fix="Make a secret key (sb_secret_…) in the Supabase Dashboard: Project Settings > API Keys. Set "
                f"SUPABASE_SERVICE_ROLE_KEY to it, in .env too. {DEPLOY_AGAIN}",
            )
        return ok("all needed settings are set and well-formed")
    where = "in .env" if case.is_local else "in .env, and the same at Vercel (`npx vercel env add NAME production`)"
    names = ", ".join(case.problems)
    return fail(f"missing or wrong: {names}", cause="\n".join(case.problems.values()), fix=f"Set {names} {where}.")


async def deployment(case: Case) -> Finding:
    """The deployment answers, with our own functions, and has its settings."""
    try:
        response = await case.http.get(case.url + HEALTH_PATH, headers=case.bypass)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        return _no_answer(case, error)
    body = json_object(response)
    if body is None or "settings" not in body:
        return not_ours(response, HEALTH_PATH)
    problems = body.get("problems")
    if isinstance(problems, dict):
        return fail(
            f"the deployment answers {response.status_code}; missing or wrong there: {', '.join(problems)}",
            cause="\n".join(map(str, problems.values())),
            fix=DEPLOY_AGAIN.replace("it", "each", 1),
        )
    return ok(f"{case.url} answers and has its settings")


def _no_answer(case: Case, error: Exception) -> Finding:
    if case.is_local:
        fix = "Start the stack with `make dev`, or give the deployment's address: --url https://YOUR-DOMAIN."
    else:
        fix = "Deploy (`npx vercel deploy --prod`), or give the right address: --url https://YOUR-DOMAIN."
    return fail(
        f"no answer from {case.url} ({type(error).__name__})", cause="Nothing answers at this address.", fix=fix
    )


def not_ours(response: httpx.Response, path: str) -> Finding:
    """Returns the finding for an answer that is not from our functions."""
    saw = f"{path} answers {response.status_code}, but not with an answer of this project"
    if response.status_code == 404:
        return fail(saw, cause="No function is deployed at this address.", fix="Deploy this project, or correct --url.")
    if response.status_code in (301, 302, 303, 307, 308, 401, 403):
        return fail(
            saw,
            cause=f"{PROTECTED}, or the address redirects to another one.",
            fix="Use the production domain itself, or set VERCEL_AUTOMATION_BYPASS_SECRET (Vercel: Project > "
            "Settings > Deployment Protection > Protection Bypass for Automation). Meta needs it switched off.",
        )
    return fail(saw, cause="Another program answers there, or the function crashed.", fix="Look into Vercel's logs.")


async def health(case: Case) -> Finding:
    """The deployment reaches everything it depends on. It says so to a caller with the internal secret."""
    bearer = {"Authorization": f"Bearer {case.settings.internal_api_secret}"}
    response = await case.http.get(case.url + HEALTH_PATH, headers={**case.bypass, **bearer})
    if response.status_code == 401:
        return fail(
            "the deployment answers 401 to our INTERNAL_API_SECRET",
            cause="The deployment has another INTERNAL_API_SECRET than .env.",
            fix=f"Use the same value. {DEPLOY_AGAIN}",
        )
    checks = (json_object(response) or {}).get("checks")
    if not isinstance(checks, dict):
        return not_ours(response, HEALTH_PATH)
    bad = {name: check.get("code") for name, check in checks.items() if not check.get("ok")}
    if bad:
        return fail(
            "; ".join(f"{name} fails: {code}" for name, code in bad.items()),
            cause="The deployment gets this error from the service.",
            fix="Correct its settings at the deployment. The checks `database`, `qstash` and `graph` say more.",
        )
    return ok(f"{', '.join(checks)} answer the deployment")


async def handshake(case: Case) -> Finding:
    """Meta's verification: our token gets the challenge back, and another token gets 403."""
    challenge = secrets.token_hex(8)
    response = await _shake(case, case.settings.instagram_verify_token, challenge)
    if response.status_code == 403 and error_code(response) == "wrong_verify_token":
        return fail(
            "our verify token gets 403",
            cause="The deployment has another INSTAGRAM_VERIFY_TOKEN than .env.",
            fix=f"Use the same value everywhere, at Meta too (Webhooks > Verify token). {DEPLOY_AGAIN}",
        )
    if response.status_code != 200 or response.text != challenge:
        return not_ours(response, WEBHOOK_PATH)
    if (await _shake(case, secrets.token_hex(8), challenge)).status_code != 403:
        return fail(
            "a wrong verify token does not get 403",
            cause="Something before the function answers every request.",
            fix="Make the webhook's address lead to the function only.",
        )
    return ok("the challenge comes back; a wrong token gets 403")


async def _shake(case: Case, token: str, challenge: str) -> httpx.Response:
    query = {"hub.mode": "subscribe", "hub.verify_token": token, "hub.challenge": challenge}
    return await case.http.get(case.url + WEBHOOK_PATH, params=query)


async def signature(case: Case) -> Finding:
    """A signed webhook without events is accepted, and an unsigned one is refused."""
    response = await post_signed(case, NO_OP)
    if response.status_code == 401 and error_code(response) == "wrong_signature":
        return fail(
            "a webhook signed with our INSTAGRAM_APP_SECRET gets 401",
            cause="The deployment has another INSTAGRAM_APP_SECRET than .env, or a proxy changes the body.",
            fix=f"Use the same value: apps with Instagram Login sign with the Instagram app secret. {DEPLOY_AGAIN}",
        )
    if response.status_code != 200 or (json_object(response) or {}).get("received") != 0:
        return not_ours(response, WEBHOOK_PATH)
    if (await case.http.post(case.url + WEBHOOK_PATH, content=NO_OP)).status_code != 401:
        return fail(
            "an unsigned webhook does not get 401",
            cause="Something before the function answers, or the function is not of this project.",
            fix="Deploy this project. Make the webhook's address lead to the function only.",
        )
    return ok("signed: 200, nothing received; unsigned: 401")


async def post_signed(case: Case, body: bytes) -> httpx.Response:
    """Posts a webhook as Meta does: without the header that passes Deployment Protection."""
    signed = sign_hub(body, case.settings.instagram_app_secrets[0])
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signed}
    return await case.http.post(case.url + WEBHOOK_PATH, content=body, headers=headers)

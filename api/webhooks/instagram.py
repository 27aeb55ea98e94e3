"""GET and POST /api/webhooks/instagram: Meta's verification handshake, and Meta's webhooks."""

import lib.core.start_log  # noqa: F401  from here on, every line of the log is JSON

# isort: split

import time

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from lib.container import container
from lib.core.deadline import Deadline
from lib.ingest.webhook_response import webhook_response
from lib.web.app import function
from lib.web.responses import Refused, read_body
from lib.webhooks.parser import parse_items
from lib.webhooks.request import read_items
from lib.webhooks.signature import valid_challenge, verify_challenge_token, verify_hub

ANSWER_WITHIN_S = 4.0
"""Meta waits 5 s (Meta, "Webhooks from Meta"), and unsubscribes the app after an hour of failures."""


async def verify(request: Request) -> Response:
    """The handshake: answers the challenge, byte for byte, to a caller that knows the verify token."""
    params = request.query_params
    mode, token, challenge = (params.get(f"hub.{name}") for name in ("mode", "verify_token", "challenge"))
    if mode != "subscribe" or token is None or challenge is None or not valid_challenge(challenge):
        raise Refused(400, "invalid_handshake", "hub.mode=subscribe, hub.verify_token and hub.challenge are needed")
    if not verify_challenge_token(token, container().settings.instagram_verify_token):
        raise Refused(403, "wrong_verify_token", "hub.verify_token is not INSTAGRAM_VERIFY_TOKEN")
    return PlainTextResponse(challenge)


async def receive(request: Request) -> Response:
    """A webhook: 200 once every event in it is durable, 503 if Meta has to deliver it again."""
    started_s = time.monotonic()
    services, deadline = container(), Deadline.after(ANSWER_WITHIN_S)
    signature = request.headers.get("x-hub-signature-256")
    if signature is None:
        raise Refused(401, "missing_signature", "X-Hub-Signature-256 is missing")
    async with deadline.enforced():
        body = await read_body(request)
    if not verify_hub(body, signature, services.settings.instagram_app_secrets):
        raise Refused(401, "wrong_signature", "X-Hub-Signature-256 matches none of INSTAGRAM_APP_SECRET")
    items, ignored = read_items(body)
    events = parse_items(items, received_at=time.time_ns() // 1_000_000)
    results = await services.forwarder.forward(events, deadline=deadline)
    return webhook_response(results, ignored=ignored, started_s=started_s)


app = function(GET=verify, POST=receive)

"""GET and POST /api/webhooks/instagram: Meta's verification handshake, and Meta's webhooks.

Wiring only: authenticate, decode, hand on, answer. Must not know what becomes of an event.
"""

import time

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from lib.deadline import Deadline
from lib.instance import instance
from lib.parse import parse_body
from lib.responses import Refused, read_body
from lib.routing import function
from lib.signatures import valid_challenge, verify_challenge_token, verify_hub
from lib.webhook_request import read_payload
from lib.webhook_response import answer

ANSWER_WITHIN_S = 4.0
"""Meta waits 5 s (Meta, "Webhooks from Meta"); after an hour of failures it unsubscribes the app."""


async def verify(request: Request) -> Response:
    """The handshake: the challenge, byte for byte, for whoever knows the verify token."""
    asked = request.query_params
    mode, token, challenge = (asked.get(f"hub.{name}") for name in ("mode", "verify_token", "challenge"))
    if mode != "subscribe" or token is None or challenge is None or not valid_challenge(challenge):
        raise Refused(400, "invalid_handshake", "hub.mode=subscribe, hub.verify_token and hub.challenge are needed")
    if not verify_challenge_token(token, instance().settings.instagram_verify_token):
        raise Refused(403, "wrong_verify_token", "hub.verify_token is not INSTAGRAM_VERIFY_TOKEN")
    return PlainTextResponse(challenge)


async def receive(request: Request) -> Response:
    """A webhook: 200 once every event in it is durable, 503 if Meta has to deliver it again."""
    started_s = time.monotonic()
    here, deadline = instance(), Deadline.after(ANSWER_WITHIN_S)
    signature = request.headers.get("x-hub-signature-256")
    if signature is None:
        raise Refused(401, "missing_signature", "X-Hub-Signature-256 is missing")
    async with deadline.enforced():
        body = await read_body(request)
    if not verify_hub(body, signature, here.settings.instagram_app_secrets):
        raise Refused(401, "wrong_signature", "X-Hub-Signature-256 matches none of INSTAGRAM_APP_SECRET")
    parsed = parse_body(read_payload(body), received_at=time.time_ns() // 1_000_000)
    handled = await here.dispatcher.dispatch(parsed.events, deadline=deadline)
    return answer(handled, ignored=parsed.ignored, started_s=started_s)


app = function(get=verify, post=receive)

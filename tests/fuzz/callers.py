"""Who calls which route, and what they show to be let in."""

import time
from typing import Literal, TypeAlias, get_args
from urllib.parse import urlencode

from dev.qstash.signing import SigningKeys
from dev.stack import keys
from lib.privacy.signed_request import sign_request
from lib.webhooks.signature import sign_hub
from tests.support.world import CONSUMER, FAILURE, HEALTH, INGEST, SWEEP, WEBHOOK

Who: TypeAlias = Literal["right", "stranger", "borrower", "nobody"]
"""stranger: well formed, with a secret of their own. borrower: with a right one for something else. nobody: nothing."""

WHO: tuple[Who, ...] = get_args(Who)
OTHERS: tuple[Who, ...] = WHO[1:]

DELETION = "/api/privacy/data-deletion"
DEAUTHORIZE = "/api/privacy/deauthorize"
STATUS = "/api/privacy/deletion-status"

FORMS = (DELETION, DEAUTHORIZE)
DELIVERIES = (CONSUMER, FAILURE)
BODIES = (WEBHOOK, INGEST, *DELIVERIES, *FORMS)
"""Routes that read one."""

_STRANGER = "a-secret-of-nobody-here-with-32-bytes"
_SECRETS = {
    INGEST: keys.INTERNAL_SECRET,
    HEALTH: keys.INTERNAL_SECRET,
    SWEEP: keys.CRON_SECRET,
    "/api/cron/retention": keys.CRON_SECRET,
    "/api/cron/refresh-tokens": keys.CRON_SECRET,
}
_BORROWED = {keys.INTERNAL_SECRET: keys.CRON_SECRET, keys.CRON_SECRET: keys.INTERNAL_SECRET}

LOCKED = (WEBHOOK, *DELIVERIES, *_SECRETS)
"""Routes with a header that lets in (the handshake of the webhook has a parameter)."""


def shown(who: Who, *, url: str, path: str, body: bytes) -> dict[str, str]:
    """The header that `who` sends along with `body` to `path` below `url`; none where the route wants none."""
    if who == "nobody":
        return {}
    signed = body + b" " if who == "borrower" else body
    if path == WEBHOOK:
        return {"X-Hub-Signature-256": sign_hub(signed, _own(who, keys.APP_SECRET))}
    if path in DELIVERIES:
        key = _own(who, keys.QSTASH_CURRENT_SIGNING_KEY)
        return {"Upstash-Signature": SigningKeys(key, key).sign(url=url + path, body=signed, now_s=time.time())}
    if path in _SECRETS:
        secret = _SECRETS[path]
        return {"Authorization": f"Bearer {_BORROWED[secret] if who == 'borrower' else _own(who, secret)}"}
    return {}


def form(who: Who, payload: bytes) -> bytes:
    """The form in which Meta sends `payload`; of nobody, the payload as it is."""
    if who == "nobody":
        return payload
    signed = sign_request(payload, _own(who, keys.APP_SECRET))
    if who == "borrower":
        signed = f"{signed.partition('.')[0]}.{sign_request(payload + b' ', _STRANGER).partition('.')[2]}"
    return urlencode({"signed_request": signed}).encode()


def is_kept_out(who: Who, path: str) -> bool:
    """Has the route to refuse what `who` sends, whatever it is?"""
    return who != "right" and path in LOCKED and (who, path) != ("nobody", HEALTH)


def _own(who: Who, secret: str) -> str:
    return _STRANGER if who == "stranger" else secret

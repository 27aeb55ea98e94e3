"""Nobody gets in: of every deployed function, whatever is sent, and before a byte of it is parsed.

The functions are those of vercel.json, so that a route nobody thought of here is asked, too.
"""

import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pydantic_core
import pytest
from pydantic import BaseModel, TypeAdapter
from starlette.types import ASGIApp

from dev.functions import find_public_paths
from dev.stack import keys
from lib.container import container
from lib.privacy.signed_request import MAX_FORM_BYTES, sign_request
from lib.webhooks.signature import sign_hub
from tests.security.callers import (
    CONSUMER,
    CRON,
    DEAUTHORIZE,
    DELETION,
    FAILURE,
    HEALTH,
    INGEST,
    STATUS,
    STRANGER,
    WEBHOOK,
    credentials_of_a_stranger,
    qstash_token,
)
from tests.security.functions import HOST, ROOT, SETTINGS, Answer, ask, deployed_paths

Apps = dict[str, ASGIApp]

FORMS = (DELETION, DEAUTHORIZE)
BEARERS = (INGEST, *CRON)
PUBLIC = {HEALTH, STATUS}
"""Anybody may GET them: names of settings, and what became of a request whose code one holds."""

MARK = "a-mark-that-only-a-parser-would-meet"
HOSTILE = {
    "empty": b"",
    "cut": b'{"object": "instagram", "entry": [' + MARK.encode(),
    "not utf-8": b"\xff\xfe\x00" + MARK.encode(),
    "deep": b"[" * 40_000 + MARK.encode(),
    "digits": b'{"entry": ' + b"9" * 40_000 + b', "a": "' + MARK.encode() + b'"}',
    "fine": json.dumps({"object": "instagram", "entry": [], "events": [], "kind": MARK}).encode(),
}


def body_for(path: str, content: bytes) -> bytes:
    """`content` where the function would parse it: Meta's privacy callbacks carry it signed, in a form."""
    return urlencode({"signed_request": sign_request(content, STRANGER)}).encode() if path in FORMS else content


PATHS = deployed_paths()
EVERY_FUNCTION = pytest.mark.parametrize("path", PATHS)


def test_every_file_under_api_is_deployed_and_so_is_asked_here() -> None:
    files = {"/" + file.relative_to(ROOT).with_suffix("").as_posix() for file in Path(ROOT, "api").rglob("*.py")}
    assert files == {public.function.path for public in find_public_paths(ROOT).values()}


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that is given to a JSON decoder, of the standard library or of pydantic."""
    given: list[str] = []

    def watched(decode: Callable[..., Any], place: int) -> Callable[..., Any]:
        def decoding(*arguments: Any, **options: Any) -> Any:
            given.append(str(arguments[place]))
            return decode(*arguments, **options)

        return decoding

    monkeypatch.setattr(json.JSONDecoder, "decode", watched(json.JSONDecoder.decode, 1))
    monkeypatch.setattr("lib.core.safe_json.from_json", watched(pydantic_core.from_json, 0))
    monkeypatch.setattr(TypeAdapter, "validate_json", watched(TypeAdapter.validate_json, 1))
    validate = BaseModel.__dict__["model_validate_json"].__func__
    monkeypatch.setattr(BaseModel, "model_validate_json", classmethod(watched(validate, 1)))
    return given


@EVERY_FUNCTION
@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_what_a_stranger_posts_is_refused_for_who_they_are_and_not_parsed(
    apps: Apps, parsed: list[str], path: str, content: bytes
) -> None:
    body = body_for(path, content)
    answer = ask(apps[path], path, headers=credentials_of_a_stranger(path, body), body=body)
    if answer.status == 405:
        assert answer.pieces_read == 0
        return
    assert (answer.status, json.loads(answer.body)["error"]["kind"]) == (401, "permanent")
    assert not [text for text in parsed if MARK in text]


def test_what_the_right_caller_posts_is_parsed(apps: Apps, parsed: list[str]) -> None:
    body = HOSTILE["cut"]
    answer = ask(
        apps[WEBHOOK], WEBHOOK, headers=[(b"x-hub-signature-256", sign_hub(body, keys.APP_SECRET).encode())], body=body
    )
    assert answer.status == 400
    form = urlencode({"signed_request": sign_request(body, keys.APP_SECRET)}).encode()
    assert ask(apps[DELETION], DELETION, body=form).status == 400
    # The webhook's fast decoder, the standard library's for the complaint, and pydantic for the signed request.
    assert len([text for text in parsed if MARK in text]) == 3


@EVERY_FUNCTION
def test_without_credentials_a_body_is_not_even_read(apps: Apps, path: str) -> None:
    answer = ask(apps[path], path, body=b"x" * 1_000_000)
    if path in FORMS:  # the signature is in the form, and a form is not so large
        assert (answer.status, answer.pieces_read) == (413, 2)
    else:
        assert answer.status in (401, 405)
        assert answer.pieces_read == 0


@EVERY_FUNCTION
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_another_method_is_no_way_in(apps: Apps, path: str, method: str) -> None:
    answer = ask(apps[path], path, method=method, headers=credentials_of_a_stranger(path, b""))
    if method in ("GET", "HEAD") and path in PUBLIC:
        assert answer.status in (200, 400, 401)
    elif method in ("GET", "HEAD") and path == WEBHOOK:
        assert answer.status == 400
    else:
        assert answer.status in (401, 405)


@pytest.mark.parametrize("path", [WEBHOOK, CONSUMER, FAILURE, *FORMS])
def test_no_more_of_a_body_is_read_than_the_platform_lets_in(apps: Apps, path: str) -> None:
    limit = MAX_FORM_BYTES if path in FORMS else 4_500_000
    headers = credentials_of_a_stranger(path, b"")
    endless = ask(apps[path], path, headers=headers, body=b"x" * 6_000_000, piece_bytes=32_768)
    assert endless.status == 413
    assert endless.pieces_read <= limit // 32_768 + 1
    announced = ask(apps[path], path, headers=[*headers, (b"content-length", b"6000000")], body=b"x")
    assert (announced.status, announced.pieces_read) == (413, 0)


@EVERY_FUNCTION
def test_no_answer_is_for_a_cache_or_for_a_browser_to_guess_about(apps: Apps, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        headers = ask(apps[path], path, method=method).headers
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


# One comparison lets in, and it takes the same time for every secret of one length.


def knock(apps: Apps, door: str, secret: str) -> Answer:
    """The request that `secret` would let in, and that asks for something that is not there."""
    body, bearer = b"{", (b"authorization", f"Bearer {secret}".encode())
    match door:
        case "hub signature":
            return ask(
                apps[WEBHOOK], WEBHOOK, headers=[(b"x-hub-signature-256", sign_hub(body, secret).encode())], body=body
            )
        case "verify token":
            asked = {"hub.mode": "subscribe", "hub.verify_token": secret, "hub.challenge": "1"}
            return ask(apps[WEBHOOK], WEBHOOK, method="GET", query=urlencode(asked).encode())
        case "internal secret":
            return ask(apps[INGEST], INGEST, headers=[bearer], body=body)
        case "cron secret":
            return ask(apps[CRON[0]], CRON[0], method="GET", headers=[bearer])
        case "qstash signature":
            token = qstash_token(body, HOST + CONSUMER, key=secret)
            return ask(apps[CONSUMER], CONSUMER, headers=[(b"upstash-signature", token.encode())], body=body)
        case _:
            form = urlencode({"signed_request": sign_request(body, secret)}).encode()
            return ask(apps[DELETION], DELETION, body=form)


DOORS = {
    "hub signature": keys.APP_SECRET,
    "verify token": keys.VERIFY_TOKEN,
    "internal secret": keys.INTERNAL_SECRET,
    "cron secret": keys.CRON_SECRET,
    "qstash signature": keys.QSTASH_CURRENT_SIGNING_KEY,
    "signed request": keys.APP_SECRET,
}
EVERY_DOOR = pytest.mark.parametrize(("door", "secret"), DOORS.items(), ids=DOORS)
REFUSED = (401, 403)


@EVERY_DOOR
def test_a_door_opens_for_its_secret_alone(apps: Apps, door: str, secret: str) -> None:
    assert knock(apps, door, secret).status not in REFUSED
    others = {*DOORS.values(), *SETTINGS.values(), STRANGER, secret + "x", secret[:-1], secret.upper(), " "} - {secret}
    if "sign" in door:  # all app secrets sign, and both signing keys
        others -= {*SETTINGS["INSTAGRAM_APP_SECRET"].split(","), SETTINGS["QSTASH_NEXT_SIGNING_KEY"]}
    for other in others:
        assert knock(apps, door, other).status in REFUSED, other


@EVERY_DOOR
def test_the_comparison_in_constant_time_alone_decides(
    apps: Apps, monkeypatch: pytest.MonkeyPatch, door: str, secret: str
) -> None:
    compared: list[tuple[Any, Any]] = []

    def all_equal(one: Any, other: Any) -> bool:
        compared.append((one, other))
        return True

    monkeypatch.setattr(hmac, "compare_digest", all_equal)
    assert knock(apps, door, STRANGER).status not in REFUSED
    assert compared
    assert {type(side) for pair in compared for side in pair} == {bytes}
    monkeypatch.setattr(hmac, "compare_digest", lambda _one, _other: False)
    assert knock(apps, door, secret).status in REFUSED


def test_every_app_secret_is_compared_even_after_one_has_fitted(apps: Apps, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bool] = []
    compare = hmac.compare_digest

    def watched(one: bytes, other: bytes) -> bool:
        compared.append(compare(one, other))
        return compared[-1]

    monkeypatch.setattr(hmac, "compare_digest", watched)
    knock(apps, "hub signature", keys.APP_SECRET)
    knock(apps, "signed request", keys.APP_SECRET)
    assert compared == [True, False] * 2


@EVERY_DOOR
def test_a_secret_that_is_not_set_lets_nobody_in(
    apps: Apps, monkeypatch: pytest.MonkeyPatch, door: str, secret: str
) -> None:
    for name, value in SETTINGS.items():
        if secret in value:
            monkeypatch.setenv(name, "")
    container.cache_clear()
    for guess in (secret, "undefined", "None", " ", ""):
        answer = knock(apps, door, guess)
        assert json.loads(answer.body)["error"]["code"] == (
            "wrong_cron_secret" if door == "cron secret" else "bad_configuration"
        )


@EVERY_DOOR
def test_what_is_not_ascii_is_a_wrong_secret_and_no_fault(apps: Apps, door: str, secret: str) -> None:
    assert knock(apps, door, f"{secret}é").status in REFUSED
    junk = [
        (name, b"\xff\xfe\x80 \xc3\xa9") for name in (b"authorization", b"x-hub-signature-256", b"upstash-signature")
    ]
    for path in (WEBHOOK, INGEST, CONSUMER, CRON[0]):
        method = "GET" if path in CRON else "POST"
        assert ask(apps[path], path, method=method, headers=junk).status == 401


def test_a_secret_with_other_letters_than_ascii_opens_its_door(apps: Apps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSTAGRAM_APP_SECRET", "geheimniß")
    monkeypatch.setenv("INSTAGRAM_VERIFY_TOKEN", "geheimniß")
    container.cache_clear()
    assert knock(apps, "hub signature", "geheimniß").status == 400
    assert knock(apps, "verify token", "geheimniß").status == 200

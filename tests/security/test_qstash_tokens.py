"""Upstash-Signature: one algorithm, one issuer, one address, one body, and a few minutes."""

import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp

from dev.stack import keys
from lib.qstash.signature import verify_qstash
from tests.security.callers import CONSUMER, FAILURE, STRANGER, qstash_token
from tests.security.functions import HOST, ask

BODY = b'{"kind": "nothing we know"}'
URL = HOST + CONSUMER
BOTH = (keys.QSTASH_CURRENT_SIGNING_KEY, keys.QSTASH_NEXT_SIGNING_KEY)
LEEWAY_S = 5
"""For clocks that differ."""


def is_accepted(came: bytes = BODY, of_ours: tuple[str, ...] = BOTH, /, **how: Any) -> bool:
    """Is a token for `BODY`, made like this, accepted with the body that came?"""
    return verify_qstash(came, qstash_token(BODY, URL, **how), url=URL, keys=of_ours)


@pytest.mark.parametrize("key", BOTH)
def test_both_keys_of_a_rotation_are_accepted(key: str) -> None:
    assert is_accepted(key=key)
    assert not is_accepted(key=STRANGER)


def test_the_next_key_is_none_where_it_is_not_set() -> None:
    assert is_accepted(BODY, (BOTH[0], ""))
    assert not is_accepted(BODY, (BOTH[0], ""), key="")
    assert not is_accepted(BODY, ("", ""), key="")


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "HS384", "HS512", "RS256", "ES256", "PS256", "hs256", ""]
)
def test_a_token_does_not_choose_how_it_is_verified(algorithm: str) -> None:
    key = "long enough for any of them, and the right one".ljust(64, "!")
    assert is_accepted(BODY, (key,), key=key)
    assert not is_accepted(BODY, (key,), key=key, algorithm=algorithm)


@pytest.mark.parametrize("claim", ["iss", "sub", "exp", "nbf", "body"])
def test_a_token_that_leaves_a_claim_out_is_refused(claim: str) -> None:
    left_out: dict[str, Any] = {claim: None}
    assert not is_accepted(**left_out)


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "upstash"},
        {"iss": ["Upstash"]},
        {"sub": HOST + FAILURE},
        {"sub": URL + "/"},
        {"sub": URL + "?x=1"},
        {"sub": [URL]},
        {"exp": "never"},
        {"body": ""},
        {"body": "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"},
    ],
    ids=str,
)
def test_a_token_that_says_another_thing_is_refused(claims: dict[str, Any]) -> None:
    assert not is_accepted(**claims)


@given(
    place=st.integers(0, 600),
    new=st.text(st.sampled_from("AZaz09-_.=+/ é"), max_size=3),
    gone=st.integers(0, 40),
    claims=st.fixed_dictionaries(
        {},
        optional={
            "iss": st.sampled_from(["Upstash", "", 1, None]),
            "sub": st.sampled_from([URL, URL + "/", 1]),
            "nbf": st.sampled_from([0, 1.5, "0", 2**40, True]),
            "exp": st.sampled_from([0, 2**40, 2**40 + 0.5, "1", []]),
        },
    ),
)
def test_nothing_is_accepted_that_the_library_refuses(place: int, new: str, gone: int, claims: dict[str, Any]) -> None:
    token = qstash_token(BODY, URL, **claims)
    token = token[:place] + new + token[place + gone :]
    try:
        jwt.decode(token, BOTH[0], algorithms=["HS256"], issuer="Upstash", subject=URL, leeway=LEEWAY_S)
    except Exception:
        assert not verify_qstash(BODY, token, url=URL, keys=BOTH)


def test_a_token_is_for_one_body() -> None:
    assert not is_accepted(BODY + b" ")


def test_a_token_ends_and_begins_within_seconds_of_its_time() -> None:
    now = int(time.time())
    assert is_accepted(exp=now - 1)
    assert not is_accepted(exp=now - LEEWAY_S - 1)
    assert is_accepted(nbf=now + LEEWAY_S - 2)
    assert not is_accepted(nbf=now + LEEWAY_S + 30)


@pytest.mark.parametrize("name", [b"host", b"x-forwarded-host", b"forwarded"])
def test_our_address_is_the_one_we_are_set_up_with_and_not_the_one_a_request_names(
    apps: dict[str, ASGIApp], name: bytes
) -> None:
    elsewhere = "https://elsewhere.example"
    value = b"host=elsewhere.example" if name == b"forwarded" else b"elsewhere.example"
    headers = [(name, value), (b"x-forwarded-proto", b"https")]
    stolen = qstash_token(BODY, elsewhere + CONSUMER).encode()
    ours = qstash_token(BODY, URL).encode()
    answers = [
        ask(apps[CONSUMER], CONSUMER, headers=[*headers, (b"upstash-signature", token)], body=BODY).status
        for token in (stolen, ours)
    ]
    assert answers == [401, 489]

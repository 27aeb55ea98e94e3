"""Meta's signed_request: whoever has no secret of ours is told nothing, and whoever has one is read or refused."""

import base64
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors.exceptions import InvalidPayload
from lib.privacy.signed_request import SignedRequest, read_signed, sign_request, signed_request_in, verified

SECRETS = ("current", "previous")


def payload(**changes: Any) -> bytes:
    said = {"algorithm": "HMAC-SHA256", "issued_at": 1291836800, "user_id": "218471", **changes}
    return json.dumps({name: value for name, value in said.items() if value is not None}).encode()


def opened(signed: str) -> SignedRequest | None:
    """As the routes open it."""
    inside = verified(signed, SECRETS)
    return None if inside is None else read_signed(inside)


def proof_of(inside: str) -> str:
    return hashlib.sha256(inside.encode()).hexdigest()


def form(signed: str) -> bytes:
    return urlencode({"signed_request": signed}).encode()


def test_it_is_signed_as_meta_documents_it() -> None:
    # PHP of Meta's page: hash_hmac('sha256', $payload, $secret, $raw = true), both parts with strtr('+/', '-_').
    inside = base64.urlsafe_b64encode(payload()).decode()
    signature = base64.urlsafe_b64encode(hmac.new(b"previous", inside.encode(), hashlib.sha256).digest()).decode()
    assert opened(f"{signature}.{inside}") == SignedRequest("218471", 1291836800, proof_of(inside))


@given(st.sampled_from(SECRETS), st.from_regex(r"\A[0-9]{1,20}\Z"), st.integers(0, 4_102_444_800) | st.none())
def test_what_any_of_the_secrets_signed_is_read(secret: str, user_id: str, issued_at: int | None) -> None:
    signed = sign_request(payload(user_id=user_id, issued_at=issued_at), secret)
    assert opened(signed) == SignedRequest(user_id, issued_at, proof_of(signed.partition(".")[2]))


@given(st.integers(0, 2**63))
def test_an_id_may_be_a_number(user_id: int) -> None:
    read = opened(sign_request(payload(user_id=user_id), "current"))
    assert read is not None
    assert read.user_id == str(user_id)


@given(st.integers(0, 3), st.integers(0, 3))
def test_padding_may_be_there_or_not(before: int, after: int) -> None:
    signature, inside = sign_request(payload(), "current").split(".")
    padded = signature + "=" * before
    whole = f"{padded}.{inside}"
    assert (verified(whole, SECRETS) is not None) == (before <= 2)
    # The payload is signed as it is written, its padding with it.
    assert (verified(f"{whole}{'=' * after}", SECRETS) is not None) == (before <= 2 and after == 0)


@given(st.binary())
def test_any_bytes_somebody_of_ours_signed_are_read_or_refused(inside: bytes) -> None:
    signed = sign_request(inside, "current")
    try:
        read = opened(signed)
    except InvalidPayload:
        return
    assert read is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda of: st.lists(of) | st.dictionaries(st.text(), of),
)


@given(st.fixed_dictionaries({}, optional={"algorithm": JSON, "user_id": JSON, "issued_at": JSON, "expires": JSON}))
def test_any_json_somebody_of_ours_signed_is_read_or_refused(inside: dict[str, Any]) -> None:
    try:
        read = opened(sign_request(json.dumps(inside).encode(), "current"))
    except InvalidPayload:
        return
    assert read is not None
    assert read.user_id == str(inside["user_id"])


@given(st.text())
def test_any_text_without_a_signature_of_ours_is_nobodys(signed: str) -> None:
    assert verified(signed, SECRETS) is None


@given(st.binary(), st.binary(min_size=1), st.integers(0))
def test_a_changed_payload_is_nobodys(inside: bytes, other: bytes, at: int) -> None:
    signature, encoded = sign_request(inside, "current").split(".")
    changed = base64.urlsafe_b64encode(other).decode().rstrip("=")
    if changed != encoded:
        assert verified(f"{signature}.{changed}", SECRETS) is None
    position = at % len(signature)
    flipped = signature[:position] + ("A" if signature[position] != "A" else "Q") + signature[position + 1 :]
    if base64.urlsafe_b64decode(flipped + "=") != base64.urlsafe_b64decode(signature + "="):
        assert verified(f"{flipped}.{encoded}", SECRETS) is None


@pytest.mark.parametrize("secrets", [(), ("",), ("", "")])
def test_an_empty_secret_signs_nothing(secrets: tuple[str, ...]) -> None:
    assert verified(sign_request(payload(), ""), secrets) is None


def test_a_secret_of_somebody_else_signs_nothing() -> None:
    assert verified(sign_request(payload(), "of somebody else"), SECRETS) is None


def test_nothing_is_read_before_it_is_known_who_wrote_it() -> None:
    # Not even base64, let alone JSON: what fails on it would tell a stranger something.
    assert verified("AAAA.!!!! no base64", SECRETS) is None
    assert verified(sign_request(b"{", "of somebody else"), SECRETS) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"user_id": None},
        {"user_id": ""},
        {"user_id": " 1"},
        {"user_id": "1\u0000"},
        {"user_id": "é"},
        {"user_id": "1" * 513},
        {"user_id": True},
        {"user_id": 1.5},
        {"user_id": ["1"]},
        {"algorithm": "none"},
        {"algorithm": "HMAC-SHA1"},
        {"algorithm": None},
        {"issued_at": -1},
        {"issued_at": 10**18},
        {"issued_at": "yesterday"},
    ],
    ids=str,
)
def test_what_names_nobody_or_is_signed_in_another_way_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidPayload) as refused:
        opened(sign_request(payload() if not changes else payload(**changes), "current"))
    assert "1" * 513 not in str(refused.value)


def test_fields_nobody_told_us_of_are_let_be() -> None:
    assert opened(sign_request(payload(expires=0, oauth_token="x", user={"country": "de"}), "current"))


def test_json_that_is_too_deep_is_refused() -> None:
    with pytest.raises(InvalidPayload):
        opened(sign_request(b'{"algorithm": "HMAC-SHA256", "user_id": "1", "x": ' + b"[" * 20_000, "current"))


def test_the_field_is_found_in_its_form() -> None:
    signed = sign_request(payload(), "current")
    assert signed_request_in(form(signed)) == signed
    assert signed_request_in(b"a=1&" + form(f"{signed}==") + b"&b") == f"{signed}=="
    assert signed_request_in(b"signed_request=") is None
    assert signed_request_in(b"") is None


@pytest.mark.parametrize(
    "body",
    [b"\xff", "signed_request=é".encode(), b"signed_request=a&signed_request=b", b"a=b&" * 30 + b"signed_request=a"],
)
def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidPayload):
        signed_request_in(body)


@given(st.binary())
def test_any_body_is_a_form_or_refused(body: bytes) -> None:
    try:
        found = signed_request_in(body)
    except InvalidPayload:
        return
    assert found is None or verified(found, SECRETS) is None

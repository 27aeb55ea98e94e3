"""Who is calling: each caller is known by one thing, and nothing empty, mangled or foreign passes for it."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.web.auth import verify_bearer
from lib.webhooks.signature import sign_hub, valid_challenge, verify_challenge_token, verify_hub

SECRETS = ("current", "previous")


@given(st.binary(), st.sampled_from(SECRETS))
def test_a_body_signed_with_any_of_the_secrets_is_metas(body: bytes, secret: str) -> None:
    assert verify_hub(body, sign_hub(body, secret), SECRETS)


@given(st.binary(), st.binary())
def test_a_signature_covers_one_body_only(body: bytes, other: bytes) -> None:
    assert verify_hub(other, sign_hub(body, "current"), SECRETS) == (body == other)


def test_the_signature_is_the_one_meta_documents() -> None:
    expected = hmac.new(b"key", b"{}", hashlib.sha256).hexdigest()
    assert sign_hub(b"{}", "key") == f"sha256={expected}"
    assert verify_hub(b"{}", f"sha256={expected.upper()}", ("key",))


@pytest.mark.parametrize("header", [None, "", "sha256=", "sha1=" + "0" * 40, "0" * 64, "sha256=" + "g" * 64])
def test_no_signature_is_no_signature(header: str | None) -> None:
    assert not verify_hub(b"{}", header, SECRETS)


@pytest.mark.parametrize("secrets", [(), ("",), ("", "")])
def test_an_empty_secret_signs_nothing(secrets: tuple[str, ...]) -> None:
    assert not verify_hub(b"{}", sign_hub(b"{}", ""), secrets)


@given(st.text() | st.none())
def test_any_header_is_looked_at_without_a_fault(header: str | None) -> None:
    assert not verify_hub(b"{}", header, SECRETS)
    assert not verify_bearer(header, "a-secret-nobody-draws")
    assert not verify_bearer(header, "")


def test_the_bearer_is_the_secret_whatever_the_case_of_its_scheme() -> None:
    assert verify_bearer("Bearer s3", "s3")
    assert verify_bearer("bearer s3", "s3")
    for wrong in ("Bearer s", "Bearer s33", "Basic s3", "s3", "Bearer"):
        assert not verify_bearer(wrong, "s3")


def test_an_empty_verify_token_lets_nobody_in() -> None:
    assert verify_challenge_token("t", "t")
    assert not verify_challenge_token("", "")
    assert not verify_challenge_token(None, "t")


@pytest.mark.parametrize(("challenge", "fits"), [("1158201444", True), ("aB3", True), ("", False), ("<b>", False)])
def test_only_a_harmless_challenge_is_answered(challenge: str, fits: bool) -> None:
    assert valid_challenge(challenge) is fits

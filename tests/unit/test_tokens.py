"""Tokens at rest: only the account they are for, and only with a key of ours."""

import base64
import subprocess
import sys
import traceback

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from lib.accounts.tokens import is_under_first_key, seal, unseal
from lib.errors.classify import classify
from lib.errors.exceptions import BadConfiguration, TokenUnreadable

ACCOUNT, OTHER = "17841400000000001", "17841400000000002"
TOKEN = "IGAA-very-secret"

OLD, NEW, STRANGE = (base64.b64encode(bytes([number]) * 32).decode() for number in (0, 0xFB, 0xFF))
"""The last two have a + or a / in them, as openssl may make them."""


def sealed(token: str = TOKEN, *, account_id: str = ACCOUNT, keys: tuple[str, ...] = (OLD,)) -> str:
    return seal(token, account_id=account_id, keys=keys)


@given(st.text(), st.text(), st.binary(min_size=32, max_size=32))
def test_whatever_was_sealed_is_unsealed(token: str, account_id: str, key: bytes) -> None:
    keys = (base64.b64encode(key).decode(),)
    ciphertext = sealed(token, account_id=account_id, keys=keys)
    assert ciphertext.startswith("gAAAA")
    assert unseal(ciphertext, account_id=account_id, keys=keys) == token


def test_the_same_token_never_looks_the_same() -> None:
    assert sealed() != sealed()


def test_a_ciphertext_in_another_accounts_row_is_refused() -> None:
    with pytest.raises(TokenUnreadable, match="another account"):
        unseal(sealed(), account_id=OTHER, keys=(OLD,))


def test_a_changed_ciphertext_is_refused_wherever_it_was_changed() -> None:
    content = base64.urlsafe_b64decode(sealed())
    for position in range(len(content)):
        changed = content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
        with pytest.raises(TokenUnreadable):
            unseal(base64.urlsafe_b64encode(changed).decode(), account_id=ACCOUNT, keys=(OLD,))


@given(st.text())
def test_what_is_no_ciphertext_is_unreadable_and_nothing_worse(ciphertext: str) -> None:
    with pytest.raises(TokenUnreadable):
        unseal(ciphertext, account_id=ACCOUNT, keys=(OLD, NEW))
    assert not is_under_first_key(ciphertext, (OLD, NEW))


def test_what_another_program_sealed_with_our_key_is_no_token_of_ours() -> None:
    foreign = Fernet(OLD).encrypt(b"IGAA-bare-token").decode()
    with pytest.raises(TokenUnreadable, match="no token of ours"):
        unseal(foreign, account_id=ACCOUNT, keys=(OLD,))


def test_a_key_is_changed_without_losing_a_token() -> None:
    before = sealed(keys=(OLD,))
    during = sealed(keys=(NEW, OLD))
    assert unseal(before, account_id=ACCOUNT, keys=(NEW, OLD)) == TOKEN
    assert [is_under_first_key(ciphertext, (NEW, OLD)) for ciphertext in (before, during)] == [False, True]
    assert unseal(during, account_id=ACCOUNT, keys=(NEW,)) == TOKEN
    with pytest.raises(TokenUnreadable, match="no key in TOKEN_ENCRYPTION_KEY decrypts it"):
        unseal(before, account_id=ACCOUNT, keys=(NEW,))


def test_without_a_key_nothing_is_sealed_and_the_message_says_how_to_make_one() -> None:
    with pytest.raises(BadConfiguration, match=r"TOKEN_ENCRYPTION_KEY is not set\. .*openssl rand -base64 32"):
        sealed(keys=())
    with pytest.raises(TokenUnreadable, match="TOKEN_ENCRYPTION_KEY is not set"):
        unseal(sealed(), account_id=ACCOUNT, keys=())


@pytest.mark.parametrize("keys", [(), (NEW,), (STRANGE, NEW), (OLD,)])
def test_an_unreadable_token_is_an_outage_and_its_error_shows_neither_token_nor_key(keys: tuple[str, ...]) -> None:
    with pytest.raises(TokenUnreadable) as caught:
        unseal(sealed(), account_id=OTHER, keys=keys)
    verdict = classify(caught.value)
    assert (verdict.retryable, verdict.code, verdict.account_stop) == (True, "token_unreadable", False)
    shown = f"{verdict} {caught.value!r} {vars(caught.value)} {''.join(traceback.format_exception(caught.value))}"
    assert not any(secret in shown for secret in (TOKEN, OLD, NEW, STRANGE))


def test_the_cipher_is_not_loaded_before_a_token_is_read() -> None:
    loaded = "import sys, lib.accounts.tokens, lib.accounts.access; print('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

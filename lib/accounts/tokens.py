"""Encryption of stored access tokens, with a key from the environment (Fernet, of `cryptography`).

No error that is raised here contains a token or a key.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError

from lib.core.env_vars import WHERE
from lib.core.model import Model
from lib.core.settings import LoginFlavour
from lib.errors.exceptions import BadConfiguration, TokenUnreadable

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

KEY = "TOKEN_ENCRYPTION_KEY"


class StoredToken(Model):
    """An encrypted token, and the log-in that issued it."""

    ciphertext: str
    flavour: LoginFlavour


class _Sealed(Model):
    """The plaintext. It names the account, so that a ciphertext in the row of another account is refused."""

    account_id: str
    token: str = Field(repr=False)

    def __repr__(self) -> str:
        return f"the token of {self.account_id}"


def seal(token: str, *, account_id: str, keys: Sequence[str]) -> str:
    """Returns `token`, encrypted for `account_id` with the first of `keys`. Raises `BadConfiguration` without a key."""
    if not keys:
        raise BadConfiguration({KEY: f"{KEY} is not set. {WHERE[KEY]}"})
    sealed = _Sealed(account_id=account_id, token=token)
    return _cipher(keys).encrypt(sealed.model_dump_json().encode()).decode()


def unseal(ciphertext: str, *, account_id: str, keys: Sequence[str]) -> str:
    """Returns the token in `ciphertext`, decrypted with any of `keys`. Raises `TokenUnreadable`."""
    if not keys:
        raise TokenUnreadable(f"{KEY} is not set")
    from cryptography.fernet import InvalidToken  # noqa: PLC0415

    try:
        sealed = _Sealed.model_validate_json(_cipher(keys).decrypt(ciphertext.encode()))
    except InvalidToken:
        raise TokenUnreadable(f"no key in {KEY} decrypts it") from None
    except ValidationError:
        raise TokenUnreadable("the decrypted value is no token of ours") from None
    if sealed.account_id != account_id:
        raise TokenUnreadable("the token belongs to another account")
    return sealed.token


def is_under_first_key(ciphertext: str, keys: Sequence[str]) -> bool:
    """Returns whether the first of `keys` alone decrypts `ciphertext`."""
    from cryptography.fernet import InvalidToken  # noqa: PLC0415

    try:
        _cipher(keys[:1]).decrypt(ciphertext.encode())
    except InvalidToken:
        return False
    return True


def _cipher(keys: Sequence[str]) -> "MultiFernet":
    """Returns the cipher that encrypts with the first key and decrypts with any."""
    # Imported here for the cold start: only an instance that uses a stored token needs it.
    from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415

    # openssl writes the standard base64 alphabet. Fernet reads the URL-safe one.
    return MultiFernet([Fernet(key.replace("+", "-").replace("/", "_")) for key in keys])

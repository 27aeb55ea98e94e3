"""Access tokens at rest: encrypted before they reach the database, readable only with a key from the environment.

Pure. Knows the cipher (Fernet, of `cryptography`: authenticated) and that a ciphertext belongs to one account. Must
not know where one is kept; lets no token and no key into an error.
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
    """A token as the database keeps it, and the log-in that issued it."""

    ciphertext: str
    flavour: LoginFlavour


class _Sealed(Model):
    """What is inside. The account is in it, so that a ciphertext put into another account's row is refused."""

    account_id: str
    token: str = Field(repr=False)

    def __repr__(self) -> str:
        return f"the token of {self.account_id}"


def seal(token: str, *, account_id: str, keys: Sequence[str]) -> str:
    """`token`, for `account_id` alone, under the first of `keys`. Raises `BadConfiguration` without one."""
    if not keys:
        raise BadConfiguration({KEY: f"{KEY} is not set. {WHERE[KEY]}"})
    sealed = _Sealed(account_id=account_id, token=token)
    return _cipher(keys).encrypt(sealed.model_dump_json().encode()).decode()


def unseal(ciphertext: str, *, account_id: str, keys: Sequence[str]) -> str:
    """The token in `ciphertext`, whichever of `keys` it is under. Raises `TokenUnreadable`."""
    if not keys:
        raise TokenUnreadable(f"{KEY} is not set")
    from cryptography.fernet import InvalidToken  # noqa: PLC0415

    try:
        sealed = _Sealed.model_validate_json(_cipher(keys).decrypt(ciphertext.encode()))
    except InvalidToken:
        raise TokenUnreadable(f"no key in {KEY} opens it") from None
    except ValidationError:
        raise TokenUnreadable("what is in it is no token of ours") from None
    if sealed.account_id != account_id:
        raise TokenUnreadable("it is another account's")
    return sealed.token


def is_under_first_key(ciphertext: str, keys: Sequence[str]) -> bool:
    """Would `ciphertext` still open with the first of `keys` alone?"""
    from cryptography.fernet import InvalidToken  # noqa: PLC0415

    try:
        _cipher(keys[:1]).decrypt(ciphertext.encode())
    except InvalidToken:
        return False
    return True


def _cipher(keys: Sequence[str]) -> "MultiFernet":
    """Encrypts with the first key, decrypts with any. Keys are base64 in either alphabet: openssl writes the
    standard one, Fernet reads the URL-safe one.
    """
    # Only an instance that acts for an account of the table needs it (cold start).
    from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415

    return MultiFernet([Fernet(key.replace("+", "-").replace("/", "_")) for key in keys])

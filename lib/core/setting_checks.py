"""The form of each setting's value. A check returns a complaint, or None if the value is well-formed.

No complaint contains the value: it may be a secret.
"""

import base64
import binascii
import json
import re
from ipaddress import ip_address
from urllib.parse import urlsplit

_VERSION = re.compile(r"v\d{1,3}\.\d{1,2}")
_ENCRYPTION_KEY = re.compile(r"[A-Za-z0-9_+/-]{43}=")
"""32 bytes in either base64 alphabet: a Fernet key (cryptography, "Fernet")."""


def destination(value: str) -> str | None:
    """A URL that we send to. It must be HTTPS, because keys and people's words go there, unless it is this machine."""
    try:
        parts = urlsplit(value)
        host = parts.hostname or ""
        usable = parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(host))
        usable = usable and bool(host) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in value):
        return "must be a URL that begins with https:// (http:// only for localhost)"
    return None


def _is_this_machine(host: str) -> bool:
    # A container reaches the laptop it runs on as host.docker.internal.
    if host in ("localhost", "host.docker.internal") or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def base_url(value: str) -> str | None:
    """A URL that paths are appended to."""
    complaint = destination(value)
    if complaint is None and ("?" in value or "#" in value):
        return "must be a URL without ? and #"
    return complaint


def app_id(value: str) -> str | None:
    """The id of the Meta app."""
    return None if value.isascii() and value.isdigit() else "must be the number that Meta gave the app"


def api_version(value: str) -> str | None:
    """A version of the Graph API."""
    return None if _VERSION.fullmatch(value) else "must look like v26.0"


def encryption_key(value: str) -> str | None:
    """A key, or several with commas between, that encrypt tokens."""
    keys = (key.strip() for key in value.split(","))
    if not all(_ENCRYPTION_KEY.fullmatch(key) for key in keys):
        return "must be a key of 32 bytes in base64, or several with commas between"
    return None


def header_value(value: str) -> str | None:
    """A value that goes into an HTTP header."""
    # A value that was copied from a page or a chat can have invisible characters.
    usable = value.isascii() and value.isprintable() and " " not in value
    return None if usable else "has a blank in it, or a letter that is not plain ASCII: copy it again"


def service_role_key(value: str) -> str | None:
    """A Supabase key with all rights (Supabase, "Understanding API keys"). The usual mistake is the public key."""
    if complaint := header_value(value):
        return complaint
    role = "anon" if value.startswith("sb_publishable_") else role_in_jwt(value)
    if role not in (None, "service_role"):
        return "is the public key, which row-level security keeps out"
    return None


def role_in_jwt(value: str) -> str | None:
    """Returns the `role` claim of a legacy Supabase key, or None if `value` is no JWT with a role."""
    try:
        payload = value.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims["role"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return None

"""The form of each setting's value. A check returns a complaint, or None if the value is well-formed.

A check gets a value that is not empty, and without blanks around it. `paste_slips.py` has the slips that no value can
have. No complaint contains the value: it may be a secret.
"""

import base64
import binascii
import json
import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from lib.core.paste_slips import slip_in, slip_in_url, trimmed

MIN_SECRET_LENGTH = 16
"""The fewest characters of a secret that we make up. `openssl rand -hex 32` makes 64."""

_VERSION = re.compile(r"v\d{1,3}\.\d{1,2}")
_ENCRYPTION_KEY = re.compile(r"[A-Za-z0-9_+/-]{43}=")
"""32 bytes in either base64 alphabet: a Fernet key (cryptography, "Fernet")."""

_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?=[a-z0-9-]*[a-z])[a-z0-9-]{2,63}", re.IGNORECASE)
_URL_FORM = "must be a URL that begins with https:// (http:// only for localhost)"
_SUPABASE_FORM = "enter the project's URL, https://….supabase.co"
_DATABASE_PORTS = (5432, 6543)


def secret(value: str) -> str | None:
    """A secret, a token or a key of anybody's: one word, as it was issued.

    The commands that take a token from a person use this check, too.
    """
    if complaint := slip_in(value):
        return complaint
    if re.match(r"[a-z]+://", value, re.IGNORECASE):
        return "is a URL: enter the secret itself"
    return None


def header_value(value: str) -> str | None:
    """A secret that goes into an HTTP header."""
    if complaint := secret(value):
        return complaint
    return None if value.isascii() else "has a letter in it that is not plain ASCII: copy it again"


def own_secret(value: str) -> str | None:
    """A secret that we make up, and that opens a route of ours."""
    if complaint := header_value(value):
        return complaint
    if len(value) < MIN_SECRET_LENGTH:
        return f"is shorter than {MIN_SECRET_LENGTH} characters, which somebody could guess"
    return None


def app_secret(value: str) -> str | None:
    """The secret of a Meta app."""
    if complaint := secret(value):
        return complaint
    # An app's id has 15 or 16 digits, and stands above the secret in the dashboard. The secret has 32 hex digits.
    return "is a number, like the app's id: enter the app's secret" if value.isdigit() and len(value) < 32 else None


def qstash_token(value: str) -> str | None:
    """The token of QStash."""
    if complaint := header_value(value):
        return complaint
    return "is a signing key: enter the token" if value.startswith("sig_") else None


def service_role_key(value: str) -> str | None:
    """A Supabase key with all rights (Supabase, "Understanding API keys"). The usual mistake is the public key."""
    if complaint := header_value(value):
        return complaint
    role = "anon" if value.startswith("sb_publishable_") else role_in_jwt(value)
    if role not in (None, "service_role"):
        return "is the public key, which row-level security keeps out"
    if value.startswith("sbp_"):
        return "is a personal access token of Supabase's CLI: enter a key of the project"
    return None


def role_in_jwt(value: str) -> str | None:
    """Returns the `role` claim of a legacy Supabase key, or None if `value` is no JWT with a role."""
    try:
        payload = value.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims["role"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return None


def encryption_key(value: str) -> str | None:
    """A key, or several with commas between, that encrypt tokens."""
    keys = [trimmed(key) for key in value.split(",")]
    if all(_ENCRYPTION_KEY.fullmatch(key) for key in keys):
        return None
    slip = next((slip for key in keys if key and (slip := slip_in(key))), None)
    return _joined(slip, "must be a key of 32 bytes in base64, or several with commas between")


def app_id(value: str) -> str | None:
    """The id of the Meta app."""
    return _number_of_meta(value, "must be the number that Meta gave the app")


def account_id(value: str) -> str | None:
    """The id of an Instagram account."""
    return _number_of_meta(value, "must be the number that Meta gave the account, and not its name")


def _number_of_meta(value: str, form: str) -> str | None:
    return None if value.isascii() and value.isdigit() else _joined(slip_in(value), form)


def api_version(value: str) -> str | None:
    """A version of the Graph API."""
    return None if _VERSION.fullmatch(value) else _joined(slip_in(value), "must look like v26.0")


def destination(value: str) -> str | None:
    """A URL that we send to. It must be HTTPS, because keys and people's words go there, unless it is this machine."""
    parts = _split(value)
    slip = slip_in_url(value)
    if slip is not None or parts is None:
        return _joined(slip, _URL_FORM)
    host = parts.hostname or ""
    usable = parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(host))
    return None if usable and host else _URL_FORM


def base_url(value: str) -> str | None:
    """A URL that paths are appended to."""
    if complaint := destination(value):
        return complaint
    if "?" in value or "#" in value:
        return "must be a URL without ? and #"
    if "@" in urlsplit(value).netloc:
        # The address gets into logs and answers, so it may hold no password.
        return "must be a URL without a user and a password"
    return None


def public_url(value: str) -> str | None:
    """The address of the functions."""
    if complaint := base_url(value):
        return complaint
    return "must be the address alone, without /api and what comes after" if _has_path(value, r"/api(?:/|$)") else None


def qstash_url(value: str) -> str | None:
    """The address of QStash's API."""
    if complaint := base_url(value):
        return complaint
    host = urlsplit(value).hostname or ""
    if host.endswith("upstash.com") or (host.endswith(".upstash.io") and not host.startswith("qstash")):
        return "is another address of Upstash's: enter the URL of QStash, such as https://qstash.upstash.io"
    return "must be the address alone, without /v2 and what comes after" if _has_path(value, r"/v\d") else None


def graph_url(value: str) -> str | None:
    """An address of the Graph API."""
    if complaint := base_url(value):
        return complaint
    return "must be the address alone: GRAPH_API_VERSION has the version" if _has_path(value, r"/v\d") else None


def supabase_url(value: str) -> str | None:
    """The address of a Supabase project."""
    if slip := _other_supabase_address(value):
        return f"is {slip}: {_SUPABASE_FORM}"
    if complaint := base_url(value):
        return complaint
    parts = urlsplit(value)
    if not _is_this_machine(parts.hostname or "") and parts.port in _DATABASE_PORTS:
        return f"has the port of the database: {_SUPABASE_FORM}"
    if parts.path.strip("/"):
        return f"has a path (such as /rest/v1), which is appended for each call: {_SUPABASE_FORM}"
    return None


def _other_supabase_address(value: str) -> str | None:
    """Returns which other address of Supabase's `value` is, or None. The dashboard shows them side by side."""
    parts = _split(value)
    host = (parts.hostname or "") if parts else ""
    of_project = host.endswith(".supabase.co")
    if value.lower().startswith(("postgres://", "postgresql://")) or (of_project and host.startswith("db.")):
        return "the address of the database"
    if host.endswith(".pooler.supabase.com"):
        return "the address of the database's pooler"
    if host in ("supabase.com", "supabase.co", "supabase.io") or host.endswith((".supabase.com", ".supabase.io")):
        return "the dashboard's address, or another page of Supabase's"
    return "the address of one service of the project" if of_project and host.count(".") > 2 else None


def _has_path(value: str, pattern: str) -> bool:
    return re.match(pattern, urlsplit(value).path) is not None


def _split(value: str) -> SplitResult | None:
    """Returns the parts of a URL, or None if it is no URL."""
    try:
        parts = urlsplit(value)
        return None if parts.port == 0 else parts
    except ValueError:
        return None


def _is_this_machine(host: str) -> bool:
    # A container reaches the laptop it runs on as host.docker.internal.
    if host in ("localhost", "host.docker.internal") or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def domain(value: str) -> str | None:
    """A domain, and nothing else of its URL: QStash signs the address that is made of it."""
    slip = slip_in(value)
    has_scheme = "//" in value or re.match(r"[a-z]+:/?(?!\d)", value, re.IGNORECASE) is not None
    rest = re.sub(r"^[A-Za-z]*:?//*", "", value) if has_scheme else value
    parts = {
        "a scheme": has_scheme,
        "a user": "@" in rest,
        "a port": re.search(r":\d", rest) is not None,
        "a path": any(character in rest for character in "/?#\\"),
        "capitals": value != value.lower(),
    }
    found = [name for name, is_there in parts.items() if is_there]
    if slip is None and found:
        slip = f"has {' and '.join(found)} in it"
    if slip is None and _DOMAIN.fullmatch(value):
        return None
    return _joined(slip, "must be the domain alone, in small letters, such as shop.example.com")


def choice(value: str, choices: tuple[str, ...]) -> str | None:
    """One word of several. Capitals do not matter."""
    if value.lower() in map(str.lower, choices):
        return None
    return _joined(slip_in(value) if value else None, f"must be one of {', '.join(choices)}")


def whole(value: str, unit: str, *, least: int, most: int) -> str | None:
    """A whole number of a unit."""
    if value.isascii() and value.isdigit() and least <= int(value[:12]) <= most:
        return None
    form = f"must be a whole number of {unit}, {'one' if least else 'zero'} or more"
    slip = slip_in(value) if value else None
    if slip is None and value and not value.isdigit():
        slip = "has more than digits in it"
    return _joined(slip, f"{form}, in digits alone: no unit, no separator, no quotes")


def _joined(slip: str | None, form: str) -> str:
    """Returns which slip it is, if it is one, and how the value has to be."""
    return f"{slip}; it {form}" if slip else form

"""Slips of copy and paste: what a value can never have in it, whichever variable the value is for.

Each complaint says which slip it is and what to do. No complaint contains the value: it may be a secret.
"""

import re
import unicodedata

from lib.core.env_vars import NEEDED, OPTIONAL

AROUND = " \t\r\n"
"""Blanks around a value are taken off in silence: a terminal or a form leaves them, and they change nothing."""

_ASSIGNMENT = re.compile(
    r"""(?:export\s+|set\s+)?                                   # a line of a shell
        (?:[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\s*=|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+:\s|access_token["']?\s*[=:]|apikey["']?\s*[=:])
        \s*[^=\s]                                               # base64 ends with =, and nothing comes after""",
    re.VERBOSE,
)
_AUTHORIZATION = re.compile(r"(?:authorization\s*[:=]\s*)?(?:bearer|basic)(?:\s|:|%20|$)|authorization\s*[:=]", re.I)
_ESCAPED_BREAK = re.compile(r"\\+[nrt]|%0[AaDd]$")
_QUOTES = frozenset("\"'`\u00b4\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb\u2039\u203a\uff02\uff07")
_MASKED = re.compile(r"[*\u2022\u25cf\u00b7]{3,}")
_PLACEHOLDER = re.compile(
    r"""<[^<>]*>|\$\(|\$\{|\{\{|x{6,}
        |(?:^|[^a-z])your[-_](?:own[-_])?(?:secret|token|key|project|domain|app|ref|url|password|value|id|verify|qstash
            |supabase|instagram|service|access|internal|cron|super|tunnel)
        |^(?:your|change|replace|insert|paste|enter)[-_ ]?(?:me|this|it|here)
        |placeholder|^x{3,}$
        |^(?:todo|tbd|none|null|nil|undefined|n/a)$""",
    re.IGNORECASE | re.VERBOSE,
)
_PLACEHOLDER_OF_THE_GUIDE = re.compile(
    r"\$[A-Za-z_]+$|(?:https?://)?(?:REF|NAME|VALUE|SECRET|TOKEN|KEY|YOUR-[A-Z]+|OLD-DOMAIN|PREVIEW-URL)(?:[./]|$)"
)
"""What docs/ and .env.example write in the place of a value; and a shell variable that no shell has replaced."""

_INVISIBLE = {
    "\ufeff": "a byte order mark",
    "\u00a0": "a non-breaking blank",
    "\u202f": "a non-breaking blank",
    "\u00ad": "a soft hyphen",
    **dict.fromkeys("\u180e\u200b\u200c\u200d\u2060", "a zero-width character"),
}
_NAMES = frozenset((*NEEDED, *OPTIONAL))


def trimmed(value: str) -> str:
    """Returns `value` without the blanks around it."""
    return value.strip(AROUND)


def slip_in(value: str) -> str | None:
    """Returns the complaint about a slip that no value can have, or None. `value` is trimmed."""
    return (
        _whole_line(value)
        or _quotes(value)
        or _line_break(value)
        or _invisible(value)
        or _not_copied(value)
        or ("has a blank in it: copy it again" if any(map(str.isspace, value)) else None)
    )


def slip_in_url(value: str) -> str | None:
    """Returns the complaint about a slip in a URL, or None. An apostrophe may stand inside a URL (RFC 3986)."""
    return slip_in(value[:1] + value[1:-1].replace("'", "") + value[-1:] if len(value) > 1 else value)


def _whole_line(value: str) -> str | None:
    if _ASSIGNMENT.match(value):
        return "begins with the name of a variable: enter only the part after the name"
    if _AUTHORIZATION.match(value):
        return "begins with Bearer, or another part of a header: enter the token alone"
    if value[0] in "{[" and value[-1] in "}]":
        return "is a piece of JSON: enter only the value in it"
    return None


def _quotes(value: str) -> str | None:
    if any(character in _QUOTES for character in value):
        return "has quotes in it: enter it without quotes"
    return None


def _line_break(value: str) -> str | None:
    if _ESCAPED_BREAK.search(value):
        return r"has a line break in it that is written out (\n, as `vercel env pull` writes it): remove it"
    if "\n" in value or "\r" in value:
        return "has a line break in it: it must be one line"
    return None


def _invisible(value: str) -> str | None:
    for character in value:
        if character in "\t ":
            continue
        category = unicodedata.category(character)
        if category in ("Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"):
            what = _INVISIBLE.get(character, "a control character" if category == "Cc" else "an invisible character")
            return f"has {what} in it, which is not plain ASCII text: copy it again, or type it"
    return None


def _not_copied(value: str) -> str | None:
    """Returns the complaint about a value that stands for another one, or None."""
    if "\u2026" in value or "..." in value:
        return "is cut off, and its dots are not plain ASCII text of a value: copy it whole"
    if _MASKED.search(value):
        return "is hidden behind stars or dots: reveal it, then copy it"
    if value in _NAMES:
        return "is the name of a variable: enter its value"
    if _PLACEHOLDER.search(value) or _PLACEHOLDER_OF_THE_GUIDE.match(value):
        return "is a placeholder: enter the value that it stands for"
    return None

"""The page on which a person sees the state of their erasure request.

The page is one HTML file: it loads nothing, runs no script, and has a light and a dark form. It shows the confirmation
code and never whose data it is.
"""

import base64
import hashlib
from datetime import UTC, datetime
from html import escape
from typing import Literal, NamedTuple

from starlette.responses import HTMLResponse, Response

from lib.privacy.erasure import LookUp
from lib.privacy.store import Erasure
from lib.web.responses import error_body, json_response

RETRY_AFTER_S = 60


class _Words(NamedTuple):
    """The words of the page for one state, and its HTTP status. `sign` names the icon."""

    status: int
    name: str
    sign: Literal["done", "wait", "ask"]
    title: str
    text: str


_ERASED = _Words(
    200,
    "done",
    "done",
    "Your data has been erased",
    "Everything that was stored here about you is deleted. What was still on its way when you asked "
    "is not kept either.",
)
_NOTHING = _Words(
    200,
    "done",
    "done",
    "Nothing was stored about you",
    "Your request was checked, and there was nothing to erase. What was still on its way when you asked "
    "is not kept either.",
)
_PENDING = _Words(
    200,
    "pending",
    "wait",
    "Your data is being erased",
    "Your request has been received and is being carried out. There is nothing more you have to do; "
    "look at this page again tomorrow at the latest.",
)
_UNKNOWN = _Words(
    404,
    "unknown_code",
    "ask",
    "This code is not known",
    "No request was received under this code. Please compare it with the one you were given.",
)
_MALFORMED = _Words(
    400,
    "malformed_code",
    "ask",
    "This is not a confirmation code",
    "A code has 24 capital letters and digits. Please use the whole address you were given.",
)
_UNAVAILABLE = _Words(
    503,
    "unavailable",
    "wait",
    "The state can’t be shown right now",
    "Your request is not affected. Please look at this page again in a few minutes.",
)

_STYLE = """
:root { color-scheme: light dark; --back: #f4f5f7; --card: #fff; --text: #1c1e21; --soft: #5b616b; --line: #e3e5e9;
  --done: #13703c; --wait: #8a5300; --ask: #4a5160; }
@media (prefers-color-scheme: dark) { :root { --back: #121416; --card: #1d2023; --text: #eceef1; --soft: #a5acb6;
  --line: #33383e; --done: #63d297; --wait: #f0b45c; --ask: #b4bcc9; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem 1rem; background: var(--back);
  color: var(--text); font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { width: 100%; max-width: 34rem; padding: clamp(1.5rem, 6vw, 2.5rem); border: 1px solid var(--line);
  border-radius: 1rem; background: var(--card); }
.kind { margin: 0 0 1.5rem; color: var(--soft); font-size: .875rem; }
.head { display: flex; gap: .875rem; align-items: flex-start; }
svg { flex: none; width: 2rem; height: 2rem; fill: none; stroke: currentColor; stroke-width: 2;
  stroke-linecap: round; stroke-linejoin: round; }
.done { color: var(--done); } .wait { color: var(--wait); } .ask { color: var(--ask); }
h1 { margin: 0; font-size: 1.5rem; line-height: 2rem; text-wrap: balance; }
p { margin: 1rem 0 0; text-wrap: pretty; }
dl { margin: 1.75rem 0 0; border-top: 1px solid var(--line); }
dl div { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1.5rem; padding: .75rem 0;
  border-bottom: 1px solid var(--line); }
dl div:last-child { padding-bottom: 0; border: 0; }
dt { color: var(--soft); }
dd { margin: 0; font-variant-numeric: tabular-nums; }
code { font: .9375rem/1.6 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  overflow-wrap: anywhere; }
""".strip()

_SIGNS = {
    "done": '<circle cx="12" cy="12" r="10"/><path d="m7.5 12.5 3 3 6-6.5"/>',
    "wait": '<circle cx="12" cy="12" r="10"/><path d="M12 6.5V12l3.5 2"/>',
    "ask": '<circle cx="12" cy="12" r="10"/><path d="M12 7v6M12 16.5v.1"/>',
}

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

_PRIVATE = {
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",
    "X-Robots-Tag": "noindex, nofollow",
}
"""The code is in the address, so the address must reach no search index and no log of another site."""

# No script may run, and nothing may be loaded. The style is allowed by its hash.
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def show(looked_up: LookUp, *, code: str, accept: str) -> Response:
    """Returns the page, or JSON for a client whose `Accept` asks for JSON and not for HTML."""
    words = _words(looked_up)
    headers = dict(_PRIVATE)
    if words.status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    erasure = looked_up if isinstance(looked_up, Erasure) and looked_up.state != "missing" else None
    if "application/json" in accept and "text/html" not in accept:
        return json_response(words.status, _as_json(words, erasure, code), headers)
    headers["Content-Security-Policy"] = _POLICY
    return HTMLResponse(_page(words, _facts(erasure, code)), words.status, headers)


def _words(looked_up: LookUp) -> _Words:
    if not isinstance(looked_up, Erasure):
        return _MALFORMED if looked_up == "malformed" else _UNAVAILABLE
    if looked_up.state == "done":
        return _ERASED if looked_up.rows_erased else _NOTHING
    return _PENDING if looked_up.state in ("pending", "unresolved") else _UNKNOWN


def _as_json(words: _Words, erasure: Erasure | None, code: str) -> dict[str, object]:
    if erasure is None:
        return error_body("retryable" if words.status == 503 else "permanent", words.name, words.status, words.title)
    return {"confirmation_code": code, **erasure.model_dump(mode="json", exclude={"code"})}


def _facts(erasure: Erasure | None, code: str) -> list[tuple[str, str]]:
    """Returns the facts of a request: term and HTML."""
    if erasure is None:
        return []
    facts = [("Confirmation code", f"<code>{escape(code)}</code>")]
    if erasure.requested_at:
        facts.append(("Received", _time(erasure.requested_at)))
    if erasure.finished_at:
        facts.append(("Done", _time(erasure.finished_at)))
    if erasure.rows_erased:
        facts.append(("Records erased" if erasure.finished_at else "Records erased so far", f"{erasure.rows_erased:,}"))
    return facts


def _time(moment: datetime) -> str:
    at = moment.astimezone(UTC)
    return f'<time datetime="{at:%Y-%m-%dT%H:%MZ}">{at.day} {at:%B %Y, %H:%M} UTC</time>'


def _page(words: _Words, facts: list[tuple[str, str]]) -> str:
    rows = "".join(f"<div><dt>{term}</dt><dd>{value}</dd></div>" for term, value in facts)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{words.title}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<p class="kind">Request to erase data received through Instagram</p>
<div class="head">
<svg class="{words.sign}" viewBox="0 0 24 24" aria-hidden="true">{_SIGNS[words.sign]}</svg>
<h1>{words.title}</h1>
</div>
<p>{words.text}</p>
{f"<dl>{rows}</dl>" if rows else ""}
</main>
</body>
</html>
"""

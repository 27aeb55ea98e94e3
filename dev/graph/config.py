"""What the Graph stand-in is started with. Values only; knows nothing of HTTP."""

from dataclasses import dataclass
from enum import StrEnum

LOCAL_TOKEN_PREFIX = "local-"
"""Tokens that begin like this are good; no real one does."""


class EchoMode(StrEnum):
    """When the webhook that a send causes is posted, seen from the answer to the send."""

    ON = "on"
    """After `echo_delay_ms` (200)."""
    EARLY = "early"
    """Before: posted, and its answer awaited, before the send is answered."""
    LATE = "late"
    """After `echo_delay_ms`, said to be long (5000 unless told)."""
    OFF = "off"


@dataclass(frozen=True, slots=True)
class GraphConfig:
    """`webhook_url` empty means no echoes. `tokens` are good besides those that begin with `local-`."""

    webhook_url: str = ""
    app_secret: str = "local-app-secret"
    account_id: str = "17841400000000001"
    tokens: tuple[str, ...] = ()
    echo: EchoMode = EchoMode.ON
    echo_delay_ms: int | None = None

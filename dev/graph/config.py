"""What the Graph stand-in is started with. Values only; knows nothing of HTTP."""

from dataclasses import dataclass
from enum import StrEnum

LOCAL_TOKEN_PREFIX = "local-"
"""Tokens that begin like this are good; no real one does."""


class EchoMode(StrEnum):
    """When the webhook that a send causes is posted, seen from the answer to the send."""

    ON = "on"
    """200 ms after."""
    EARLY = "early"
    """Before: posted, and its answer awaited, before the send is answered."""
    LATE = "late"
    """5 s after."""
    OFF = "off"


@dataclass(frozen=True, slots=True)
class GraphConfig:
    """`webhook_url` empty means no echoes."""

    webhook_url: str = ""
    app_secret: str = "local-app-secret"
    account_id: str = "17841400000000001"
    echo: EchoMode = EchoMode.ON

"""The settings of the Graph stand-in."""

from dataclasses import dataclass
from enum import StrEnum

LOCAL_TOKEN_PREFIX = "local-"
"""Tokens with this prefix are good. No real token has it."""


class EchoMode(StrEnum):
    """When the echo of a send is posted, seen from the answer to the send."""

    ON = "on"
    """200 ms after."""
    EARLY = "early"
    """Before the answer: the stand-in posts the echo and waits for its answer."""
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

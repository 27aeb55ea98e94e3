"""The errors our own code raises.

They carry what the classifier and a log line need, and never a secret or a person's words.
"""

import re
from collections.abc import Mapping
from typing import Literal

from lib.errors.retry_after import delay_in, whole_number

# Compiled where it is first used: every function imports this module, and few calls end in a Graph error.
_TRACE_ID = r"[A-Za-z0-9_+/=-]{1,64}"
_REFUSED_PLACE = r"\bParam [a-z_]{1,64}\[(\d{1,4})\]"
_REFUSED_FIELD = r"\bTo subscribe to the ([a-z0-9_]{1,64}) field\b"
_MESSAGE_READ = 1000
"""So much of Meta's message is searched. Both texts stand at its beginning."""


class BadJson(Exception):
    """The body is not JSON that we take. `path` is the field where reading stops (`$.entry[0].id`), if known."""

    def __init__(self, path: str | None, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message


class BodyTooLarge(Exception):
    """The request body is over the limit of the platform."""


class InvalidPayload(Exception):
    """A body, or an id in it, is invalid. `path` is the field (`$.events[0].kind`). `message` quotes nothing of it."""

    def __init__(self, path: str | None, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path, self.message = path, message


class TooManyEvents(InvalidPayload):
    """A body holds more events than the `limit` of one request. Nothing of the body was read further."""

    def __init__(self, path: str, limit: int) -> None:
        super().__init__(path, f"holds more than {limit} events; send them in several requests")


class BadConfiguration(Exception):
    """Settings are missing or wrong. `problems` says what is wrong with each, by its name; never a value."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = dict(problems)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the wrong settings."""
        return tuple(self.problems)


class DeadlineExceeded(Exception):
    """Our own time ran out."""


class InProgress(Exception):
    """Another worker holds the event. In `retry_after` seconds the event is done, or free."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"another worker holds the event for {retry_after} s")
        self.retry_after = retry_after


class SendDelayed(Exception):
    """A reply may leave in `retry_after` seconds and not before, for Meta's limits or ours below them."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"a reply has to wait for {retry_after} s")
        self.retry_after = retry_after


class UnreadableAnswer(Exception):
    """A dependency answered, but not in the form that was asked for."""


class TokenUnreadable(Exception):
    """A stored access token cannot be decrypted. The message says why, in our own words."""


class QueueRejected(Exception):
    """QStash did not take a message: `status` where it named one, `reason` in our own words."""

    def __init__(self, status: int | None, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class NotRecorded(Exception):
    """The database did not record one event of several. `code` is its SQLSTATE."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class GraphTransportError(Exception):
    """Meta gave no answer, or no readable one. `request_left`: the request may have reached Meta."""

    def __init__(self, *, kind: Literal["timeout", "connection"], request_left: bool, is_send: bool) -> None:
        super().__init__(f"Graph API: {kind}")
        self.kind, self.request_left, self.is_send = kind, request_left, is_send


class GraphError(Exception):
    """Meta refused a call (Meta, "Handling Errors"). The error has Meta's numbers and none of its words.

    `retry_after` is in seconds. Meta's support asks for `fbtrace_id`, and can use it for some days. `refused_item` is
    the one item of a list for which Meta refused the whole list: its place, from 0, where Meta does not know the item,
    or the name of a webhook field that the token has no permission for.
    """

    def __init__(
        self,
        *,
        status: int,
        code: int | None = None,
        subcode: int | None = None,
        is_transient: bool = False,
        retry_after: float | None = None,
        fbtrace_id: str | None = None,
        is_send: bool = False,
        refused_item: int | str | None = None,
    ) -> None:
        super().__init__(f"Graph API: HTTP {status}, code {code}, subcode {subcode}, fbtrace_id {fbtrace_id}")
        self.status, self.code, self.subcode, self.is_transient = status, code, subcode, is_transient
        self.retry_after, self.fbtrace_id, self.is_send = retry_after, fbtrace_id, is_send
        self.refused_item = refused_item

    @classmethod
    def from_response(
        cls,
        status: int,
        headers: Mapping[str, str],
        body: object,
        *,
        is_send: bool,
        regain_s: float | None = None,
    ) -> "GraphError":
        """Returns the error in an answer. The answer may lack any part of it.

        `regain_s` is the delay that Meta's usage headers name (`graph.usage`), in seconds.
        """
        error = body.get("error") if isinstance(body, Mapping) else None
        fields: Mapping[str, object] = error if isinstance(error, Mapping) else {}
        trace_id, named = fields.get("fbtrace_id"), delay_in(headers)
        code = whole_number(fields.get("code"))
        return cls(
            status=status,
            code=code,
            subcode=whole_number(fields.get("error_subcode")),
            is_transient=fields.get("is_transient") is True,
            retry_after=regain_s if named is None else named,
            fbtrace_id=trace_id if isinstance(trace_id, str) and re.fullmatch(_TRACE_ID, trace_id) else None,
            is_send=is_send,
            refused_item=_refused_item(code, fields.get("message")),
        )


def _refused_item(code: int | None, message: object) -> int | str | None:
    """Returns the item of a list that Meta's message blames, or None if it blames none."""
    if not isinstance(message, str) or code is None:
        return None
    text = message[:_MESSAGE_READ]
    if code == 100 and (place := re.search(_REFUSED_PLACE, text, re.ASCII)):
        return int(place[1])
    # For one field without its permission: "(#200) To subscribe to the messages field, one of these permissions is …".
    if 200 <= code <= 299 and (name := re.search(_REFUSED_FIELD, text)):
        return name[1]
    return None

"""placeholder until GROUND."""

from collections.abc import Mapping

import msgspec


class Verdict(msgspec.Struct, frozen=True):
    retryable: bool
    code: str
    message: str
    retry_after: float | None = None
    account_stop: bool = False
    already_done: bool = False
    outcome_unknown: bool = False
    status: int = 500


class GraphError(Exception):
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
    ) -> None:
        super().__init__(f"Graph {status} {code}/{subcode}")
        self.status, self.code, self.subcode, self.is_transient = status, code, subcode, is_transient
        self.retry_after, self.fbtrace_id, self.is_send = retry_after, fbtrace_id, is_send

    @classmethod
    def from_response(cls, status: int, headers: Mapping[str, str], body: object, *, is_send: bool) -> "GraphError":
        error = body.get("error", {}) if isinstance(body, dict) else {}
        after = headers.get("retry-after")
        return cls(
            status=status,
            code=error.get("code"),
            subcode=error.get("error_subcode"),
            is_transient=bool(error.get("is_transient")),
            retry_after=float(after) if after else None,
            is_send=is_send,
        )


class GraphTransportError(Exception):
    def __init__(self, *, kind: str, request_left: bool, is_send: bool) -> None:
        super().__init__(kind)
        self.kind, self.request_left, self.is_send = kind, request_left, is_send


class InvalidPayload(Exception):
    def __init__(self, path: str | None, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path, self.message = path, message


class DeadlineExceeded(Exception): ...


class UnreadableAnswer(Exception): ...


class InProgress(Exception):
    def __init__(self, retry_after: float) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class BadConfiguration(Exception):
    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__("missing: " + ", ".join(names))
        self.names = names


class QueueRejected(Exception):
    def __init__(self, status: int | None, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


def classify(error: BaseException) -> Verdict:
    if isinstance(error, InvalidPayload):
        return Verdict(False, "invalid_payload", str(error), status=400)
    if isinstance(error, BadConfiguration):
        return Verdict(False, "bad_configuration", str(error), status=500)
    if isinstance(error, DeadlineExceeded):
        return Verdict(True, "deadline_exceeded", "out of time")
    if isinstance(error, InProgress):
        return Verdict(True, "in_progress", "another worker", retry_after=error.retry_after, status=503)
    if isinstance(error, GraphTransportError):
        return Verdict(True, "graph_" + error.kind, "", outcome_unknown=error.is_send and error.request_left)
    if isinstance(error, GraphError):
        if error.code == 190:
            return Verdict(False, "graph_token_invalid", "", account_stop=True)
        if error.code in (4, 17, 32, 613) or error.status == 429:
            return Verdict(True, "graph_rate_limited", "", retry_after=error.retry_after)
        if error.is_transient or error.status >= 500:
            return Verdict(True, "graph_transient", "", outcome_unknown=error.is_send)
        return Verdict(False, f"graph_{error.code}", "", status=400)
    if type(error).__name__ == "APIError":
        code = str(getattr(error, "code", ""))
        if code[:2] in ("22", "23", "42"):
            return Verdict(False, "postgres_" + code, "", status=400)
        return Verdict(True, "postgrest_" + code, str(error))
    return Verdict(True, "unknown_error", type(error).__name__)

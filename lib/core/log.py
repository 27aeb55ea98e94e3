"""The log: one JSON object for each line on stdout.

A line has ids, kinds, counts and times, and never a secret or a person's words. The lines of a request are bounded in
number (`request_log.py`) and in length. `stray_output.py` catches what is not written through this module.
"""

import contextlib
import json
import logging
import sys
import time
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from lib.core.request_log import Line, RequestLog

MAX_LINE_BYTES = 4000
"""The longest line. Vercel takes 256 KB a line and 1 MB a request; older drains cut a line at 4 KB."""

_MAX_VALUE_BYTES = 300
_MAX_LIST_BYTES = 1000
_MAX_DROPPED_MESSAGES = 20

_REDACTED = "[redacted]"
_ENCODER = json.JSONEncoder(default=str, allow_nan=False)
_SECRET_NAMES = ("token", "secret", "authorization", "password", "signature", "text", "raw", "body", "payload")
_stdout: Any = sys.stdout
"""Where the lines go. Vercel's runtime has put its own stream there before it imports a function."""
_request: ContextVar[RequestLog | None] = ContextVar("request_log", default=None)


class Logger:
    """Writes lines under one name: `log.get(__name__).info("Event processed", event_id=…)`."""

    def __init__(self, name: str, *, is_summary: bool = False) -> None:
        self._logger = logging.getLogger(name)
        self._is_summary = is_summary

    def info(self, message: str, **fields: object) -> None:
        """Logs that something went as it should."""
        self._log(logging.INFO, message, fields)

    def warning(self, message: str, **fields: object) -> None:
        """Logs that something went wrong and is handled."""
        self._log(logging.WARNING, message, fields)

    def error(self, message: str, **fields: object) -> None:
        """Logs what a person should look at."""
        self._log(logging.ERROR, message, fields)

    def exception(self, message: str, **fields: object) -> None:
        """Logs an error with the frames of the current exception. Its message may quote a person, and is left out."""
        self._log(logging.ERROR, message, fields, exc_info=True)

    def _log(self, level: int, message: str, fields: dict[str, object], *, exc_info: bool = False) -> None:
        if not self._logger.isEnabledFor(level):
            return
        # Not by `Logger.log`, which looks for the place in the code: a batch writes a line for each of its events.
        current = sys.exc_info() if exc_info else None
        record = self._logger.makeRecord(self._logger.name, level, "", 0, message, (), current)
        record.fields, record.is_summary = fields, self._is_summary
        self._logger.handle(record)


def get(name: str) -> Logger:
    """Returns the logger of a module. Within a request its lines are held until the summary is written."""
    return Logger(name)


def summary(name: str) -> Logger:
    """Returns the logger for the line that sums a request up. It is written at once, and never dropped."""
    return Logger(name, is_summary=True)


def configure(level: str) -> None:
    """Writes every log line from `level` up to stdout as JSON. May be called again."""
    global _stdout  # noqa: PLW0603
    _stdout = unwrapped(sys.stdout)
    handler = _Stdout()
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # No line names the thread or the process (Python, "Logging HOWTO: Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # These libraries log every request, with its URL, at INFO.
    for library in ("httpx", "hpack"):
        logging.getLogger(library).setLevel(logging.WARNING)


@contextlib.contextmanager
def of_request() -> Iterator[RequestLog]:
    """Bounds the lines that are written inside. Their order is: the summary, the others, how many were dropped."""
    lines = RequestLog(write_line)
    token = _request.set(lines)
    try:
        yield lines
    finally:
        _request.reset(token)
        end(lines)


def end(lines: RequestLog) -> None:
    """Writes what is held of a request, and how many of its lines were dropped."""
    if lines.end() and lines.dropped:
        record = logging.makeLogRecord(
            {
                "name": __name__,
                "levelno": logging.WARNING,
                "levelname": "WARNING",
                "msg": "Log lines dropped",
                "fields": {
                    "log_lines_dropped": lines.dropped.total(),
                    "dropped": dict(lines.dropped.most_common(_MAX_DROPPED_MESSAGES)),
                },
            }
        )
        write_line(JsonLines().format(record))


def write_line(line: str) -> None:
    """Writes one line to stdout, past `stray_output.StrayText`."""
    with contextlib.suppress(Exception):  # nobody is left to be told that the log itself is broken
        _stdout.write(f"{line}\n")
        _stdout.flush()


def unwrapped(stream: Any) -> Any:
    """Returns the stream below a `stray_output.StrayText`, or any other stream itself."""
    return getattr(stream, "unwrapped", stream)


def ms_since(started_s: float) -> float:
    """Returns the milliseconds since `started_s` of the monotonic clock, for the field `ms` of a line."""
    return round((time.monotonic() - started_s) * 1000, 1)


class _Stdout(logging.Handler):
    """Writes records to stdout, within the bounds of their request."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._emit(record)
        except Exception as error:
            # A line that cannot be written must not end the request that it is about.
            write_line(
                _ENCODER.encode({"level": "error", "message": "Log line lost", "error_type": type(error).__name__})
            )

    def _emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        lines = _request.get()
        if lines is None:
            write_line(line)
        else:
            told = Line(record.levelno, _message(record), line)
            lines.add(told, is_summary=getattr(record, "is_summary", False))


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON. Never raises: a line that lacks a value is better than no line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname.lower(),
            "message": _message(record),
            "logger": record.name,
        }
        fields = getattr(record, "fields", {})
        for name, value in fields.items():
            if value is not None:
                line[name] = _REDACTED if _is_secret(name) else value
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__qualname__
            if isinstance(record.exc_info[1], ImportError):
                line["module"] = record.exc_info[1].name
            line["frames"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])[-12:]
            ]
        return _encoded(line)


def _encoded(line: dict[str, Any]) -> str:
    """Returns `line` as JSON of at most `MAX_LINE_BYTES`."""
    try:
        text = _ENCODER.encode(line)
    except Exception:
        line = {str(name): _encodable(value) for name, value in line.items()}
        text = _ENCODER.encode(line)
    if len(text) <= MAX_LINE_BYTES:
        return text
    line = {name: _shortened(value) for name, value in line.items()} | {"line_cut": True}
    # A line has a dozen fields at most, so the shortened ones fit. If not, the last fields go.
    while len(text := _ENCODER.encode(line)) > MAX_LINE_BYTES:
        line.pop(next(reversed([name for name in line if name != "line_cut"])))
    return text


def _encodable(value: object) -> object:
    """Returns `value`, or the name of its type if JSON cannot hold the value: NaN, a circle, an object of no text."""
    try:
        _ENCODER.encode(value)
    except Exception:
        return f"[{type(value).__qualname__}]"
    return value


def _shortened(value: object) -> object:
    if isinstance(value, str):
        # A letter is up to twelve bytes of JSON.
        cuts = (value, value[: _MAX_VALUE_BYTES - 10], value[:100], value[:20])
        return next(cut for cut in cuts if len(_ENCODER.encode(cut)) <= _MAX_VALUE_BYTES)
    if isinstance(value, list | tuple):
        kept: list[object] = []
        for item in reversed(value):
            kept.insert(0, _shortened(item))
            if len(_ENCODER.encode(kept)) > _MAX_LIST_BYTES:
                return kept[1:]
        return kept
    text = _ENCODER.encode(value)
    return value if len(text) <= _MAX_LIST_BYTES else f"[{type(value).__qualname__} of {len(text)} bytes]"


def _message(record: logging.LogRecord) -> str:
    """Returns our own message whole, and of a library's message the first line without its values.

    The values may be a URL, a body or an error's text. So may the text of an object that is no template.
    """
    if not isinstance(record.msg, str):
        return f"[{type(record.msg).__qualname__}]"
    return record.msg if hasattr(record, "fields") else record.msg.partition("\n")[0]


@lru_cache(maxsize=256)
def _is_secret(name: str) -> bool:
    """Returns whether a field of this name may hold a secret. Such a field is our mistake, and the line is kept."""
    lowered = name.lower()
    return any(secret in lowered for secret in _SECRET_NAMES)

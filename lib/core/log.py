"""One JSON object a line on stdout: ids, kinds, counts, timings.

Knows how a line is made safe. Must not know what is logged, nor let a secret or a person's words through.
"""

import json
import logging
import sys
import time
import traceback
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

_REDACTED = "[redacted]"
_ENCODER = json.JSONEncoder(default=str)
_SECRET_NAMES = ("token", "secret", "authorization", "password", "signature", "text", "raw", "body", "payload")


class Logger:
    """Writes lines under one name: `log.get(__name__).info("Event processed", event_id=…)`."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def info(self, message: str, **fields: object) -> None:
        """Something went as it should."""
        self._logger.info(message, extra={"fields": fields})

    def warning(self, message: str, **fields: object) -> None:
        """Something went wrong and is being dealt with."""
        self._logger.warning(message, extra={"fields": fields})

    def error(self, message: str, **fields: object) -> None:
        """Something a person should look at."""
        self._logger.error(message, extra={"fields": fields})

    def exception(self, message: str, **fields: object) -> None:
        """Like `error`, with the frames of the exception being handled, but not its message."""
        self._logger.error(message, extra={"fields": fields}, exc_info=True)


def get(name: str) -> Logger:
    """The logger of a module."""
    return Logger(name)


def configure(level: str) -> None:
    """Sends every log line to stdout as JSON, from `level` up. May be called again."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("httpx", "httpcore", "hpack"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def ms_since(started_s: float) -> float:
    """Milliseconds since a moment of the monotonic clock, for a line's `ms`."""
    return round((time.monotonic() - started_s) * 1000, 1)


class JsonLines(logging.Formatter):
    """A record as one line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname.lower(),
            "message": record.getMessage() if hasattr(record, "fields") else _first_line(record.msg),
            "logger": record.name,
        }
        fields = getattr(record, "fields", {})
        for name, value in fields.items():
            if value is not None:
                line[name] = _REDACTED if _is_secret(name) else value
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__qualname__
            line["frames"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])[-12:]
            ]
        return _ENCODER.encode(line)


def _first_line(template: object) -> str:
    """What a library has to say, without the values: a URL, a body or an exception's words may be among them."""
    return str(template).partition("\n")[0]


@lru_cache(maxsize=256)
def _is_secret(name: str) -> bool:
    """A field by such a name is a slip of ours; the line is still worth having."""
    lowered = name.lower()
    return any(secret in lowered for secret in _SECRET_NAMES)

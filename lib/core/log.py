"""The log: one JSON object for each line on stdout.

A line has ids, kinds, counts and times, and never a secret or a person's words.
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
        """Logs that something went as it should."""
        self._logger.info(message, extra={"fields": fields})

    def warning(self, message: str, **fields: object) -> None:
        """Logs that something went wrong and is handled."""
        self._logger.warning(message, extra={"fields": fields})

    def error(self, message: str, **fields: object) -> None:
        """Logs what a person should look at."""
        self._logger.error(message, extra={"fields": fields})

    def exception(self, message: str, **fields: object) -> None:
        """Logs an error with the frames of the current exception. Its message may quote a person, and is left out."""
        self._logger.error(message, extra={"fields": fields}, exc_info=True)


def get(name: str) -> Logger:
    """Returns the logger of a module."""
    return Logger(name)


def configure(level: str) -> None:
    """Writes every log line from `level` up to stdout as JSON. May be called again."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # These libraries log every request, with its URL, at INFO.
    for library in ("httpx", "httpcore", "hpack"):
        logging.getLogger(library).setLevel(logging.WARNING)


def ms_since(started_s: float) -> float:
    """Returns the milliseconds since `started_s` of the monotonic clock, for the field `ms` of a line."""
    return round((time.monotonic() - started_s) * 1000, 1)


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON."""

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
    """Returns the first line of a library's message, without its values: they may be a URL, a body or an error text."""
    return str(template).partition("\n")[0]


@lru_cache(maxsize=256)
def _is_secret(name: str) -> bool:
    """Returns whether a field of this name may hold a secret. Such a field is our mistake, and the line is kept."""
    lowered = name.lower()
    return any(secret in lowered for secret in _SECRET_NAMES)

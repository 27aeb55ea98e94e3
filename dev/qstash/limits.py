"""The limits of a flow-control key: how many at once, how many a period.

Source: Upstash, features/flowcontrol.
"""

import re
from dataclasses import dataclass

from dev.qstash.durations import parse_seconds_or_duration_s

MAX_PERIOD_S = 7 * 86_400
_KEY = re.compile(r"[A-Za-z0-9._-]{1,255}")


@dataclass(frozen=True)
class Limits:
    """`parallelism` deliveries at once, `rate` starts each `period_s` seconds; None is unlimited."""

    parallelism: int | None = None
    rate: int | None = None
    period_s: int = 1


def check_key(text: str) -> str:
    """Returns the key, or raises `ValueError`."""
    if not _KEY.fullmatch(text):
        raise ValueError("a key can only contain alphanumeric characters, hyphens, periods and underscores")
    return text


def parse_limits(text: str) -> Limits:
    """Reads `parallelism=2, rate=10, period=1m`. Raises `ValueError` that names the wrong part."""
    values: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or name.strip().lower() not in ("parallelism", "rate", "period"):
            raise ValueError(f"{part.strip()[:40]!r} is not parallelism=, rate= or period=")
        values[name.strip().lower()] = value.strip()
    if not {"parallelism", "rate"} & values.keys():
        raise ValueError("at least one of parallelism and rate must be given")
    return Limits(
        parallelism=positive(values["parallelism"], "parallelism") if "parallelism" in values else None,
        rate=positive(values["rate"], "rate") if "rate" in values else None,
        period_s=period_s(values["period"]) if "period" in values else 1,
    )


def positive(text: str, name: str) -> int:
    """Returns a whole number of at least 1, or raises `ValueError`."""
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or int(text) < 1:
        raise ValueError(f"{name} must be a positive integer, got {text[:40]!r}")
    return int(text)


def period_s(text: str) -> int:
    """Returns a period of one second to a week, or raises `ValueError`."""
    seconds = int(parse_seconds_or_duration_s(text))
    if not 1 <= seconds <= MAX_PERIOD_S:
        raise ValueError("period must be between 1s and 7d")
    return seconds

"""Durations as QStash writes them: `50s`, `1d10h30m`."""

import re

_UNIT_S = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[dhms])")
_WHOLE = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|[dhms]))+")

MAX_LENGTH = 64


def parse_duration_s(text: str) -> float:
    """Returns the seconds of a duration such as `10s` or `3d5h12m`.

    Raises `ValueError` for any other text, also for a bare number (Upstash, publish: `<value><unit>`).
    """
    value = text.strip()
    if len(value) > MAX_LENGTH or not _WHOLE.fullmatch(value):
        raise ValueError(f"{text[:MAX_LENGTH]!r} is not a duration like 10s or 1d10h30m")
    return sum(float(amount) * _UNIT_S[unit] for amount, unit in _PART.findall(value))


def parse_seconds_or_duration_s(text: str) -> float:
    """Returns the seconds of a bare number (of seconds) or of a duration. Raises `ValueError` for other texts."""
    value = text.strip()
    if re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", value):
        return float(value)
    return parse_duration_s(value)

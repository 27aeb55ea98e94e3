"""Cron expressions of five fields of numbers, in UTC: no names, no shortcuts, no `CRON_TZ=`.

Source: Upstash, features/schedules.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_SEARCH_DAYS = 8 * 366
"""Eight years: far enough for the 29th of February across the turn of a century without one."""


@dataclass(frozen=True)
class Cron:
    """One accepted expression. Weekdays count from Sunday, 0."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    def next_after_s(self, now_s: float) -> float | None:
        """Returns the Unix seconds of the first match after `now_s`, or None if there is none within eight years."""
        local = datetime.fromtimestamp(now_s, UTC)
        moment = local.replace(second=0, microsecond=0) + timedelta(minutes=1)
        day = moment.replace(hour=0, minute=0)
        for _ in range(_SEARCH_DAYS):
            if self._day_matches(day):
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        candidate = day.replace(hour=hour, minute=minute)
                        if candidate >= moment and candidate.timestamp() > now_s:
                            return candidate.timestamp()
            day = (day + timedelta(days=1)).replace(hour=0, minute=0)
        return None

    def _day_matches(self, day: datetime) -> bool:
        if day.month not in self.months:
            return False
        by_day = day.day in self.days
        by_weekday = day.isoweekday() % 7 in self.weekdays
        # If both fields are restricted, one of them has to match: cron's oldest rule.
        if self.any_day or self.any_weekday:
            return by_day and by_weekday
        return by_day or by_weekday


def parse_cron(text: str) -> Cron:
    """Reads a cron expression. Raises `ValueError` that names the wrong part."""
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"expected 5 cron fields, found {len(fields)}")
    minute, hour, day, month, weekday = fields
    return Cron(
        text=text.strip(),
        minutes=_field(minute, 0, 59),
        hours=_field(hour, 0, 23),
        days=_field(day, 1, 31),
        months=_field(month, 1, 12),
        weekdays=frozenset(value % 7 for value in _field(weekday, 0, 7)),
        any_day=day.startswith("*"),
        any_weekday=weekday.startswith("*"),
    )


def _field(text: str, low: int, high: int) -> frozenset[int]:
    values: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, 1, high) if slash else 1
        if span == "*":
            first, last = low, high
        else:
            start, dash, end = span.partition("-")
            first = _number(start, low, high)
            last = _number(end, low, high) if dash else (high if slash else first)
        if last < first:
            raise ValueError(f"{part!r} ends before it begins")
        values.update(range(first, last + 1, step))
    return frozenset(values)


def _number(text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
        raise ValueError(f"{text!r} is not a number from {low} to {high}")
    return int(text)

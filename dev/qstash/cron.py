"""Cron expressions of five fields, with `CRON_TZ=` and the usual names and shortcuts.

Pure: a moment in, the next moment out. Source: Upstash, features/schedules; robfig/cron's standard syntax.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_SHORTCUTS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_SEARCH_DAYS = 8 * 366
"""Far enough for the 29th of February across a century that has none."""


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
    zone: tzinfo

    def next_after_s(self, now_s: float) -> float | None:
        """Unix seconds of the first match after `now_s`; None when there is none within eight years."""
        local = datetime.fromtimestamp(now_s, self.zone)
        moment = local.replace(second=0, microsecond=0) + timedelta(minutes=1)
        day = moment.replace(hour=0, minute=0)
        for _ in range(_SEARCH_DAYS):
            if self._day_matches(day):
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        found = day.replace(hour=hour, minute=minute)
                        if found >= moment and found.timestamp() > now_s:
                            return found.timestamp()
            day = (day + timedelta(days=1)).replace(hour=0, minute=0)
        return None

    def _day_matches(self, day: datetime) -> bool:
        if day.month not in self.months:
            return False
        by_day = day.day in self.days
        by_weekday = day.isoweekday() % 7 in self.weekdays
        # When both fields are restricted either may match; this is cron's oldest rule.
        if self.any_day or self.any_weekday:
            return by_day and by_weekday
        return by_day or by_weekday


def parse_cron(text: str) -> Cron:
    """Accepts a cron expression or raises `ValueError` saying which part is wrong."""
    zone: tzinfo = UTC
    rest = text.strip()
    if rest.startswith(("CRON_TZ=", "TZ=")):
        prefix, _, rest = rest.partition(" ")
        zone = _zone(prefix.partition("=")[2])
    fields = _SHORTCUTS.get(rest.strip().lower(), rest).split()
    if len(fields) != 5:
        raise ValueError(f"expected 5 cron fields, found {len(fields)}")
    minute, hour, day, month, weekday = fields
    return Cron(
        text=text.strip(),
        minutes=_field(minute, 0, 59),
        hours=_field(hour, 0, 23),
        days=_field(day, 1, 31),
        months=_field(month, 1, 12, _MONTHS),
        weekdays=frozenset(value % 7 for value in _field(weekday, 0, 7, _DAYS)),
        any_day=day.startswith(("*", "?")),
        any_weekday=weekday.startswith(("*", "?")),
        zone=zone,
    )


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"unknown time zone {name!r}") from None


def _field(text: str, low: int, high: int, names: tuple[str, ...] = ()) -> frozenset[int]:
    values: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, 1, high, ()) if slash else 1
        if span in ("*", "?"):
            first, last = low, high
        else:
            start, dash, end = span.partition("-")
            first = _number(start, low, high, names)
            last = _number(end, low, high, names) if dash else (high if slash else first)
        if last < first:
            raise ValueError(f"{part!r} ends before it begins")
        values.update(range(first, last + 1, step))
    return frozenset(values)


def _number(text: str, low: int, high: int, names: tuple[str, ...]) -> int:
    lowered = text.lower()
    if lowered in names:
        return names.index(lowered) + (1 if names is _MONTHS else 0)
    if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
        raise ValueError(f"{text!r} is not a number from {low} to {high}")
    return int(text)

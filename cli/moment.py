"""A moment as an option: a date, a date and time, or an age."""

import re
from datetime import UTC, datetime, timedelta

import click

_AGE = re.compile(r"(\d{1,5})([mhd])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Moment(click.ParamType[datetime]):
    """An aware `datetime` in UTC: 2026-11-24, 2026-11-24T15:00, 2026-11-24T15:00+01:00, or 30m, 12h, 7d ago."""

    name = "moment"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Returns the moment. A time without an offset is UTC, as in the database."""
        if isinstance(value, datetime):
            return value
        text = str(value)
        age = _AGE.fullmatch(text)
        if age:
            return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
        try:
            moment = datetime.fromisoformat(text)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is no date (2026-11-24), no date and time, and no age (7d, 12h, 30m).", param, ctx)

"""Moves the times in webhook bodies, all by the same distance, so that the newest is now.

Message ids and everything else stay as they are.
"""

from collections.abc import Iterator, Sequence

from lib.webhooks.payload import time_ms

TIMES = frozenset({"time", "timestamp", "watermark"})


def redate(bodies: Sequence[object], *, now_ms: int) -> list[object]:
    """Returns `bodies` (JSON values) with the newest of all their times within the last second before `now_ms`.

    Milliseconds stay milliseconds, seconds stay seconds and strings stay strings. The distance is a whole
    number of seconds, so that times in different units keep their order. Times that are not whole numbers
    (ISO 8601, in older bodies) stay as they are. Event ids that are made from a time change with it. The same
    bodies at the same `now_ms` give the same ids.
    """
    newest_ms = max((ms for body in bodies for ms in _times_ms(body)), default=now_ms)
    distance_s = (now_ms - newest_ms) // 1000
    return [_moved(body, distance_s) for body in bodies]


def _times_ms(value: object) -> Iterator[int]:
    if isinstance(value, dict):
        for name, inner in value.items():
            per_second = _units_per_second(name, inner)
            if per_second is None:
                yield from _times_ms(inner)
            else:
                yield int(inner) * 1000 // per_second
    elif isinstance(value, list):
        for inner in value:
            yield from _times_ms(inner)


def _moved(value: object, distance_s: int) -> object:
    if isinstance(value, dict):
        return {name: _moved_field(name, inner, distance_s) for name, inner in value.items()}
    if isinstance(value, list):
        return [_moved(inner, distance_s) for inner in value]
    return value


def _moved_field(name: str, value: object, distance_s: int) -> object:
    per_second = _units_per_second(name, value)
    if per_second is None:
        return _moved(value, distance_s)
    assert isinstance(value, int | str)
    return type(value)(int(value) + distance_s * per_second)


def _units_per_second(name: str, value: object) -> int | None:
    """Returns 1000 for milliseconds, 1 for seconds, or None if this is no time that can be moved."""
    if name not in TIMES or isinstance(value, bool) or not isinstance(value, int | str):
        return None
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        return None
    at_ms = time_ms(value)
    if at_ms is None:
        return None
    return 1000 if int(value) == at_ms else 1

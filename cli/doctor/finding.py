"""What a check comes to. Plain values; must not know any check, nor how one is shown."""

from typing import Literal, TypeAlias

from lib.core.model import Model

State: TypeAlias = Literal["ok", "warn", "fail", "skipped"]


class Finding(Model):
    """What was seen and, where that is not as it should be, why and what to do. Never a secret."""

    state: State
    saw: str
    cause: str = ""
    fix: str = ""


def ok(saw: str) -> Finding:
    """As it should be."""
    return Finding(state="ok", saw=saw)


def warn(saw: str, *, cause: str, fix: str) -> Finding:
    """It works, but not all of it, or not for long."""
    return Finding(state="warn", saw=saw, cause=cause, fix=fix)


def fail(saw: str, *, cause: str, fix: str) -> Finding:
    """It does not work."""
    return Finding(state="fail", saw=saw, cause=cause, fix=fix)


def skipped(why: str, fix: str = "") -> Finding:
    """It could not be looked at."""
    return Finding(state="skipped", saw=why, fix=fix)

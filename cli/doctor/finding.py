"""The result of a check."""

from typing import Literal, TypeAlias

from lib.core.model import Model

State: TypeAlias = Literal["ok", "warn", "fail", "skipped"]


class Finding(Model):
    """What the check saw. If something is wrong: the cause, and the fix. Never a secret."""

    state: State
    saw: str
    cause: str = ""
    fix: str = ""


def ok(saw: str) -> Finding:
    """Returns a finding that all is well."""
    return Finding(state="ok", saw=saw)


def warn(saw: str, *, cause: str, fix: str) -> Finding:
    """Returns a finding that something works only in part, or not for long."""
    return Finding(state="warn", saw=saw, cause=cause, fix=fix)


def fail(saw: str, *, cause: str, fix: str) -> Finding:
    """Returns a finding that something does not work."""
    return Finding(state="fail", saw=saw, cause=cause, fix=fix)


def skipped(why: str, fix: str = "") -> Finding:
    """Returns a finding that the check could not run."""
    return Finding(state="skipped", saw=why, fix=fix)

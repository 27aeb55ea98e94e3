"""The deployed functions, set up as in production, and the lines they log."""

import io
import logging
import os
import sys
from collections.abc import Callable, Iterator

import pytest
from starlette.types import ASGIApp

from lib.container import container
from tests.security.functions import SETTINGS, deployed

Lines = Callable[[], list[str]]


@pytest.fixture
def apps(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ASGIApp]]:
    """The functions by path, with `SETTINGS` and no other setting."""
    root, named = logging.getLogger(), tuple(SETTINGS)
    handlers, level = root.handlers[:], root.level
    for name in [name for name in os.environ if name.startswith(("VERCEL", "PHASE3", "QSTASH", "INSTAGRAM"))]:
        monkeypatch.delenv(name)
    for name in named:
        monkeypatch.setenv(name, SETTINGS[name])
    container.cache_clear()
    yield deployed()
    container.cache_clear()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def logged(apps: dict[str, ASGIApp], monkeypatch: pytest.MonkeyPatch) -> Lines:
    """The lines that the functions have written to stdout so far, by anybody's idea of a line."""
    stdout = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout)
    container()  # from here on the log goes there
    return lambda: stdout.getvalue().splitlines()

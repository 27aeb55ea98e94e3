"""The rig, one for all tests here, and what it has to tell in the end."""

import logging
import os
import sys
from collections.abc import Iterator

import pytest

from lib.container import container
from tests.fuzz.effort import IS_LONG
from tests.fuzz.inside import Inside
from tests.fuzz.rig import Rig
from tests.support.world import World

_RIG = pytest.StashKey[Rig]()


@pytest.fixture(scope="session")
def _rig(_world: World, request: pytest.FixtureRequest) -> Iterator[Rig]:
    plugins = request.config.pluginmanager
    reporter, capture = plugins.getplugin("terminalreporter"), plugins.getplugin("capturemanager")

    def say(line: str) -> None:
        if IS_LONG and reporter is not None and capture is not None:
            with capture.global_and_fixture_disabled():
                reporter.write_line(line)

    rig = Rig(_world, say)
    request.config.stash[_RIG] = rig
    yield rig
    rig.close()


@pytest.fixture
def rig(_rig: Rig, world: World) -> Rig:
    """The rig, over an empty pipeline."""
    return _rig


@pytest.fixture
def inside(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inside]:
    """The functions in this process, with the settings of the stack; what they log goes nowhere."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    for name, value in rig.world.stack.env.items():
        monkeypatch.setenv(name, value)
    container.cache_clear()
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        monkeypatch.setattr(sys, "stdout", nowhere)
        functions = Inside()
        yield functions
        functions.close()
        root.handlers[:] = handlers
        root.setLevel(level)
    container.cache_clear()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What was answered how often."""
    if not IS_LONG or _RIG not in config.stash:
        return
    answers = config.stash[_RIG].answers
    terminalreporter.section(f"{answers.total()} requests")
    for (path, status), count in sorted(answers.items()):
        terminalreporter.write_line(f"{path:36} {status} {count:8}")

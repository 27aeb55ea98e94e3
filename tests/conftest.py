"""The real stack, started once a run and made empty before each test that asks for it."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, settings

from dev.stack import Ports, Stack, StackConfig
from tests.support.secrecy import function_logs, watch
from tests.support.world import World

# The functions take over the streams and the hooks of their process. This process is pytest's, and keeps its own.
sys.modules.setdefault("lib.core.start_log", ModuleType("lib.core.start_log"))

TIME_SCALE = 0.002
"""Twelve seconds of QStash's back-off are 24 ms here."""


# A busy machine is slow, which is no fault of what is tested; a failure says how to have it again.
settings.register_profile("pipeline", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("pipeline")


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Secrets and people's words are in no log line and in no answer: see `tests/support/secrecy.py`."""
    with watch.watching_records():
        yield
    # Whatever a process wrote until its end, and those of no `World`.
    watch.look_at_logs(function_logs(tmp_path_factory.getbasetemp()))
    _fail_for_leaks()


@pytest.fixture(autouse=True)
def _nothing_was_told() -> Iterator[None]:
    """The test that told it fails."""
    yield
    _fail_for_leaks()


def _fail_for_leaks() -> None:
    leaks = list(dict.fromkeys(watch.leaks))
    watch.leaks.clear()
    if leaks:
        pytest.fail("\n".join(leaks), pytrace=False)


class WatchedStack(Stack):
    """A stack whose every secret is looked for."""

    @contextmanager
    def functions(self, extra_env: Mapping[str, str]) -> Iterator[str]:
        """As `Stack.functions`."""
        watch.learn_settings(extra_env)
        with super().functions(extra_env) as base_url:
            watch.begins_anew(self.log_path(f"functions-{urlsplit(base_url).port}"))
            yield base_url


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Postgres, PostgREST, QStash and Graph stand-ins, and the functions, on ports of their own."""
    config = StackConfig(
        data_dir=tmp_path_factory.mktemp("stack"),
        ports=Ports.free(),
        time_scale=TIME_SCALE,
        fast=True,
        echo="off",
        new_project=True,
    )
    with WatchedStack(config) as running:
        watch.learn_settings(running.env)
        yield running


@pytest.fixture(scope="session")
def _world(stack: Stack) -> Iterator[World]:
    world = World(stack)
    world.http.event_hooks = {"request": [watch.learn_words], "response": [watch.look_at_answer]}
    yield world
    world.close()


@pytest.fixture
def world(_world: World) -> Iterator[World]:
    """The pipeline, empty."""
    _world.reset()
    watch.forget_words()
    yield _world
    watch.look_at_logs(function_logs(_world.stack.config.data_dir / "logs"))

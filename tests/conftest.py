"""The real stack, started once a run and made empty before each test that asks for it."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from dev.stack import Ports, Stack, StackConfig
from tests.world import World

TIME_SCALE = 0.002
"""Twelve seconds of QStash's back-off are 24 ms here."""


# A busy machine is slow, which is no fault of what is tested; a failure says how to have it again.
settings.register_profile("pipeline", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("pipeline")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Postgres, PostgREST, QStash and Graph stand-ins, and the functions, on ports of their own."""
    config = StackConfig(
        data_dir=tmp_path_factory.mktemp("stack"), ports=Ports.free(), time_scale=TIME_SCALE, fast=True, echo="off"
    )
    with Stack(config) as running:
        yield running


@pytest.fixture(scope="session")
def _world(stack: Stack) -> Iterator[World]:
    world = World(stack)
    yield world
    world.close()


@pytest.fixture
def world(_world: World) -> World:
    """The pipeline, empty."""
    _world.reset()
    return _world

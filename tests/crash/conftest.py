"""The rig, once for all tests here."""

from collections.abc import Iterator

import pytest

from tests.crash.rig import Rig, killing
from tests.support.world import World


@pytest.fixture(scope="session")
def rig(_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The stack, and a consumer that can be killed."""
    with killing(_world, tmp_path_factory.mktemp("killing")) as one:
        yield one

"""A stand-in in a hurry, one in real time, and a receiver; made once, emptied for each test."""

from collections.abc import Iterator

import pytest

from dev.qstash.config import Config
from tests.qstash.stand import Receiver, Stand


@pytest.fixture(scope="session")
def _fast() -> Iterator[Stand]:
    stand = Stand(Config(port=0, time_scale=0.001))
    yield stand
    stand.stop()


@pytest.fixture(scope="session")
def _real_time() -> Iterator[Stand]:
    stand = Stand(Config(port=0))
    yield stand
    stand.stop()


@pytest.fixture(scope="session")
def _receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture
def receiver(_receiver: Receiver) -> Iterator[Receiver]:
    """The receiver, with nothing scripted and nothing recorded."""
    yield _receiver
    _receiver.reset()


@pytest.fixture
def stand(_fast: Stand, receiver: Receiver) -> Iterator[Stand]:
    """A stand-in in which 12 s are 12 ms. Reset before the receiver: nothing is delivered afterwards."""
    yield _fast
    receiver.release()
    _fast.reset()


@pytest.fixture
def real_time(_real_time: Stand, receiver: Receiver) -> Iterator[Stand]:
    """A stand-in in which a second is a second: for windows that must not close during a test."""
    yield _real_time
    receiver.release()
    _real_time.reset()

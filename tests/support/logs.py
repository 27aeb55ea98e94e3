"""Log lines of the functions."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.world import World


def objects(log: str) -> list[dict[str, Any]]:
    """The lines that are ours; the server of the stack writes some of its own."""
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]


@contextmanager
def words_refused(world: World) -> Iterator[None]:
    """Inside, the database takes no message that says `refused`."""
    world.db.execute("alter table messages add constraint no_such_words check (text <> 'refused')")
    try:
        yield
    finally:
        world.db.execute("alter table messages drop constraint no_such_words")


HARMLESS = set(map(chr, range(0x20, 0x7F)))


def written(line: str) -> dict[str, Any]:
    """What a line of the log says, if it is one line of plain ASCII with one object in it."""
    assert set(line) <= HARMLESS, ascii(line)
    said = json.loads(line)
    assert isinstance(said, dict)
    assert said["message"] != "all is lost"
    return said

"""Every short life of a reply ends as it must; and a planted fault is found, with its story."""

from collections.abc import Iterator

import pytest

from tests.lives.database import Database
from tests.lives.explore import explore
from tests.support.world import World

DEPTH = 5


@pytest.fixture
def db(world: World) -> Iterator[Database]:
    """The database of the stack, for the explorer alone."""
    database = Database(world.stack.dsn)
    yield database
    database.close()


def test_every_life_ends_as_it_must(db: Database) -> None:
    found = explore(db, depth=DEPTH)
    assert found.wrong is None, "\n".join((*found.story, found.wrong))
    assert found.lives > 1000
    assert found.ends > 200


FAULTS = {
    "a permit that is given late": (
        "begin_send",
        "clock_timestamp() > (p_options ->> 'not_after')::timestamptz",
        "false",
    ),
    "a second permit that is refused": (
        "begin_send",
        "v_effect.state not in ('claimed', 'sending')",
        "v_effect.state not in ('claimed')",
    ),
    "no brake": ("begin_send", "ingestion.brake(v_effect, p_options ->> 'mode')", "null"),
    "a reply that is planned after its event was closed": (
        "finish_effect",
        "and e.processed_at is not null",
        "and false",
    ),
    "a refusal that is believed": ("ingestion.settle_by_echo", "c.state in ('sending', 'unknown', 'sent')", "false"),
    "leases that never end": ("ingestion.expire_leases", "o.lease_until < clock_timestamp()", "false"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(db: Database, fault: str) -> None:
    function, right, wrong = FAULTS[fault]
    [row] = db.run("select pg_get_functiondef(%s::regproc) as body", function)
    body = str(row["body"])
    assert right in body
    try:
        db.run(body.replace(right, wrong).replace("%", "%%"))
        found = explore(db, depth=6)
        assert found.wrong is not None
        assert found.story
    finally:
        db.run(body.replace("%", "%%"))

"""A kept connection that Meta closes costs no reply: each send has a fresh one."""

import pytest

from tests.support.builders import message, webhook
from tests.support.world import World

CONTACTS = [f"16235526887273{n:02d}" for n in range(6)]


@pytest.mark.parametrize("fault", ["close_after_answer", "close_idle", "close_kept"])
def test_no_reply_is_unknown_because_meta_closed_an_idle_connection(world: World, fault: str) -> None:
    world.rule(trigger="keyword", match="contains", pattern="price", reply_text="It is 68 €.")
    world.deliver(webhook(message("hello", contact=CONTACTS[0])))
    world.graph_fault("*", fault)
    for contact in CONTACTS:
        world.deliver(webhook(message("the price?", contact=contact)))

    assert [row["state"] for row in world.rows("select state from outbox where kind = 'dm'")] == ["sent"] * 6
    assert sorted(one["recipient_id"] for one in world.sent()) == CONTACTS
    assert not any(call["kept_connection"] for call in world.graph_calls() if call["endpoint"] == "send")

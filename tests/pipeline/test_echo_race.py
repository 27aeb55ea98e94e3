"""The answer of a send and its echo come at the same moment: neither stands in the other's way."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from tests.support.builders import message, webhook
from tests.support.world import World

WAIT_S = 20.0


def test_an_echo_and_the_answer_of_its_send_wait_for_each_other_and_do_not_deadlock(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.deliver(webhook(message("price")))
    token = uuid.uuid4()
    sent = world.row("select * from outbox")
    world.db.execute("delete from messages where is_provisional")
    world.db.execute("update outbox set state = 'sending', mid = null, lease_token = %s", (token,))

    with psycopg.connect(world.stack.dsn) as recording, ThreadPoolExecutor(1) as worker:
        # record_event of the echo, stopped half-way: it has the person and the message, not yet the outbox.
        echo = Jsonb(_echo_of(sent))
        for step in ("touch_profile", "apply_message"):
            recording.execute(f"select ingestion.{step}(ingestion.read_event(%s))".encode(), (echo,))
        answered = worker.submit(_finish, world.stack.dsn, sent["effect_id"], token, sent["mid"])
        _until_it_waits(world)
        recording.execute("select ingestion.settle_by_echo(ingestion.read_event(%s))", (echo,))
        recording.commit()
        assert answered.result(WAIT_S) == {"state": "sent"}
    row = world.row("select state, mid, mid_guessed from outbox")
    assert (row["state"], row["mid"], row["mid_guessed"]) == ("sent", sent["mid"], False)
    (shown,) = world.rows("select mid, is_provisional from messages where direction = 'outbound'")
    assert (shown["mid"], shown["is_provisional"]) == (sent["mid"], False)


def _echo_of(sent: dict[str, Any]) -> dict[str, Any]:
    return {
        "event_id": f"ig_msg_{sent['mid']}",
        "kind": "echo",
        "account_id": sent["account_id"],
        "occurred_at": time.time_ns() // 1_000_000,
        "direction": "outbound",
        "contact_id": sent["contact_id"],
        "mid": sent["mid"],
        "text": "20.",
    }


def _finish(dsn: str, effect_id: str, token: uuid.UUID, mid: str) -> object:
    with psycopg.connect(dsn, autocommit=True) as answering:
        row = answering.execute("select finish_effect(%s, %s, 'sent', %s)", (effect_id, token, mid)).fetchone()
    return row and row[0]


def _until_it_waits(world: World) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        if world.rows("select 1 from pg_locks where not granted"):
            return
        time.sleep(0.01)
    raise AssertionError("the answer did not wait for the echo")

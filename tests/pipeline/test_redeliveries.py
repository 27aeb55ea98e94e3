"""One thing told twice and not alike, in both orders: the tables end the same, and know what either telling said."""

from itertools import permutations
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from lib.database import read_answer
from lib.events.model import as_json
from lib.webhooks.reparse import ArchivedEvent, reparse
from tests.pipeline.channels import Channels, record
from tests.pipeline.facts import NOON_MS, Fact, Under
from tests.support.builders import ACCOUNT, CONTACT, comment, item
from tests.support.world import World


def told(
    under: Under = "messaging", *, at: int = 0, sent: int = 0, outbound: bool = False, nobody: bool = False, **what: Any
) -> Fact:
    """An item about `what` of `at` ms past noon, sent `sent` seconds past noon; by and to nobody, or somebody."""
    built = item(account=ACCOUNT, contact=CONTACT, outbound=outbound, at_ms=NOON_MS + at, **what)
    if nobody:
        del built["sender"], built["recipient"]
    return Fact(ACCOUNT, under, built, NOON_MS + sent * 1000)


def notified(one: dict[str, Any], other: dict[str, Any]) -> tuple[Fact, Fact]:
    """Two notifications of a change, which has no time but that of its notification."""
    return Fact(ACCOUNT, "changes", one, NOON_MS + 1000), Fact(ACCOUNT, "changes", other, NOON_MS + 9000)


def message(text: str | None = "hello", **more: Any) -> dict[str, Any]:
    return {"mid": "m", **({} if text is None else {"text": text}), **more}


def edit(text: str, num_edit: int | None = 1) -> dict[str, Any]:
    return {"mid": "m", "text": text, "num_edit": num_edit}


LOVE, LAUGH = ({"mid": "m", "action": "react", "reaction": name} for name in ("love", "laugh"))
COMMENT = comment("hi", comment_id="1785")
MENTION = {"field": "mentions", "value": {"media_id": "179"}}
NEWS = {"field": "feed", "value": {"item": "status"}}

PAIRS: dict[str, tuple[Fact, Fact]] = {
    "under standby and messaging": (told("standby", message=message()), told(message=message())),
    "with other words": (told(message=message("one")), told(message=message("two"))),
    "with and without words": (told(message=message(None)), told(message=message())),
    "with another time": (told(message=message()), told(at=5, message=message())),
    "with and without the story it answers": (
        told(message=message(reply_to={"story": {"id": "1", "url": "https://cdn.example/1"}})),
        told(message=message()),
    ),
    "as a message and as a tap": (told(message=message()), told(postback={"mid": "m", "title": "B", "payload": "P"})),
    "a tap with and without payload": (
        told("standby", postback={"mid": "m", "title": "B"}),
        told(postback={"mid": "m", "title": "B", "payload": "P"}),
    ),
    "a note to oneself as message and as echo": (
        told(outbound=True, message=message(is_self=True)),
        told(outbound=True, message=message(is_self=True, is_echo=True)),
    ),
    "an edit in other words": (told(message_edit=edit("one")), told(message_edit=edit("two"))),
    "an edit with and without its sender": (
        told(message_edit=edit("one"), nobody=True),
        told(message_edit=edit("one")),
    ),
    "edits of one message with and without sender": (
        told(message_edit=edit("one"), nobody=True),
        told(message_edit=edit("two", 2)),
    ),
    "an edit without a number": (told(message_edit=edit("one", None)), told(message_edit=edit("two", None))),
    "an unsend at another time": (told(message=message(is_deleted=True)), told(at=5, message=message(is_deleted=True))),
    "a reaction in another form": (told(reaction=LOVE), told(reaction=LAUGH)),
    "react and unreact in one millisecond": (told(reaction=LOVE), told(reaction={"mid": "m", "action": "unreact"})),
    "a read of one message at another time": (told(read={"mid": "m"}), told(at=5, read={"mid": "m"})),
    "reads of two messages in one millisecond": (told(read={"mid": "m"}), told(read={"mid": "n"})),
    "a read among notes to oneself and one of a person": (
        told(at=5, is_self=True, read={"mid": "m"}),
        told(read={"mid": "n"}),
    ),
    "a comment notified twice": notified(COMMENT, COMMENT),
    "a comment with and without its author": notified(COMMENT, {**COMMENT, "value": {"id": "1785", "text": "hi"}}),
    "a comment with its author, and with the name alone": notified(
        COMMENT, {**COMMENT, "value": {**COMMENT["value"], "from": {"username": "mara"}}}
    ),
    "a comment with the name of its author alone, and then with the author": notified(
        {**COMMENT, "value": {**COMMENT["value"], "from": {"username": "mara"}}}, COMMENT
    ),
    "a comment, live and not": notified(COMMENT, {**COMMENT, "field": "live_comments"}),
    "a mention notified twice": notified(MENTION, MENTION),
    "something unknown notified twice": notified(NEWS, NEWS),
}


def end_of(world: World, *facts: Fact) -> dict[str, list[dict[str, Any]]]:
    """The tables after these facts, one at a time."""
    with world.db.transaction(force_rollback=True):
        for fact in facts:
            record(world.db, fact.event())
        return world.snapshot()


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_two_tellings_end_the_same_whichever_comes_first(world: World, pair: tuple[Fact, Fact]) -> None:
    one, other = pair
    both = end_of(world, one, other)
    assert end_of(world, other, one) == both
    assert end_of(world, other, one, other, one) == both


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_two_tellings_and_an_unsend_end_the_same_in_any_order(world: World, pair: tuple[Fact, Fact]) -> None:
    facts = (*pair, told(at=9, message=message(is_deleted=True)))
    in_order = end_of(world, *facts)
    for order in permutations(facts):
        assert end_of(world, *order) == in_order


def test_what_either_telling_knows_is_kept(world: World) -> None:
    tap = {"mid": "m", "title": "Buy"}
    under_both = told("standby", postback=tap), told(postback={**tap, "payload": "BUY"}), told("standby", postback=tap)
    (row,) = end_of(world, *under_both)["messages"]
    assert (row["text"], row["payload"], row["standby"]) == ("Buy", "BUY", False)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("order", [1, -1], ids=["as told", "the other way round"])
def test_a_replay_of_an_event_in_two_forms_changes_nothing(world: World, pair: tuple[Fact, Fact], order: int) -> None:
    with world.db.transaction(force_rollback=True):
        for fact in pair[::order]:
            record(world.db, fact.event())
        for row in world.rows(
            f"select {', '.join(ArchivedEvent.model_fields)} from (select e.*, e.raw from events e) e"
        ):
            event = reparse(read_answer(row, ArchivedEvent))
            assert event is not None
            parsed = Jsonb(as_json(event))
            assert world.row("select replay_event(%s, %s) as outcome", row["event_id"], parsed) == {
                "outcome": "unchanged"
            }


@pytest.mark.parametrize("first", ["messaging", "standby"])
def test_a_message_told_under_standby_and_messaging_is_answered_once_whichever_came_first(
    world: World, first: Under
) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    channels = Channels(world, world.stack.functions_url)
    now = [
        Fact(ACCOUNT, under, item(message=message("price")), NOON_MS)
        for under in (first, "standby", "messaging", "standby")
    ]
    for fact in now:
        channels.consume(fact.event())
    assert len(world.sent()) == 1
    assert world.count("outbox") == 1

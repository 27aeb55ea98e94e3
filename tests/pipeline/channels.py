"""The channels on which facts reach the database, and a strategy for sending them there out of order."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, TypeAlias

import httpx
import psycopg
from hypothesis import strategies as st

from lib.events.model import Event, encode
from lib.qstash import deduplication
from tests.pipeline.facts import Fact
from tests.support.deliveries import signature
from tests.support.world import CONSUMER, World

MOST_COPIES = 4
MOST_AT_ONCE = 12
ATTEMPTS = 4
"""QStash's for one message, the first and three more; and what a test grants Meta."""

WAIT_S = 0.5
"""Before the second attempt, twice that before the third (QStash waits 12 s and more). A lease that is held is over as
soon as its holder has answered."""

Channel: TypeAlias = Literal["consumers", "ok", "error", "partial", "lost"]
"""`consumers`: QStash delivers all at the same moment. The others are what QStash's publish endpoint does while a
webhook comes in (`dev/qstash/faults.py`): it takes the events, it takes none or half of them, or it takes them and
its answer is lost, so that both channels race."""

TAKEN = ("ok", "partial", "lost")
TRIES = {"ok": 0, "partial": 1, "error": 1, "lost": 2}
"""How often the SDK asks until our fallback runs: once more after a connection that failed."""


class Phase(NamedTuple):
    """Facts, by their numbers, that are on their way at the same moment."""

    channel: Channel
    numbers: list[int]


@st.composite
def deliveries(draw: st.DrawFn, facts: list[Fact]) -> list[Phase]:
    """Each fact up to four times, in any order, by any channel."""
    copies = [number for number in range(len(facts)) for _ in range(draw(st.integers(1, MOST_COPIES)))]
    left = draw(st.permutations(copies))
    channels: st.SearchStrategy[Channel] = st.sampled_from(
        ("consumers", "consumers", "consumers", "consumers", "ok", "ok", "error", "partial", "lost")
    )
    phases: list[Phase] = []
    while left:
        size = draw(st.integers(1, MOST_AT_ONCE))
        phases.append(Phase(draw(channels), left[:size]))
        left = left[size:]
    return [phase for phase in _one_telling_in_qstash(facts, phases) if phase.numbers]


def _one_telling_in_qstash(facts: list[Fact], phases: Iterable[Phase]) -> Iterator[Phase]:
    """For ten minutes QStash knows an event by its deduplication id: other words in the same form would be dropped.

    Here all happens within ten minutes. So QStash gets every form of each event, but one wording of each form. The
    others are delivered.
    """
    told: dict[tuple[str, str], Fact] = {}
    for phase in phases:
        if phase.channel not in TAKEN:
            yield phase
            continue
        others = [
            n
            for n in phase.numbers
            if any(told.setdefault(_form(event), facts[n]) != facts[n] for event in facts[n].events())
        ]
        yield Phase(phase.channel, [number for number in phase.numbers if number not in others])
        yield Phase("consumers", others)


def _form(event: Event) -> tuple[str, str]:
    """What QStash tells events apart by. Without `INSTAGRAM_ACCOUNT_ID` the publisher tells the account, too."""
    return deduplication.of_event(event, own_account=""), event.account_id


class Channels:
    """The functions at `base_url`, and QStash, which delivers what it takes `1 + stutter` times."""

    def __init__(self, world: World, base_url: str, *, stutter: int = 0) -> None:
        self._world = world
        self._base_url = base_url
        self._stutter = stutter

    def deliver(self, facts: list[Fact], phases: Iterable[Phase]) -> dict[str, Any]:
        """Sends everything, each phase while the one before may still be under way; returns how QStash ended."""
        with self._world.qstash_fault(delivery={"duplicate": self._stutter}):
            for phase in phases:
                here = [facts[number] for number in phase.numbers]
                if phase.channel == "consumers":
                    with ThreadPoolExecutor(len(here)) as pool:
                        list(pool.map(self.consume, [event for fact in here for event in fact.events()]))
                else:
                    self._hand_in(here, {"publish": phase.channel, "times": TRIES[phase.channel]})
            return self._world.settle()

    def consume(self, event: Event) -> None:
        """One message of QStash, delivered again while the consumer asks for it."""
        body, url = encode(event), self._base_url + CONSUMER

        def attempt() -> httpx.Response:
            return self._world.http.post(url, content=body, headers={"Upstash-Signature": signature(body, url)})

        _until_accepted(attempt)

    def _hand_in(self, facts: list[Fact], fault: dict[str, Any]) -> None:
        """One webhook; what has no time of its own is parsed here, where the time of its receipt can be given."""
        told = [fact.entry() for fact in facts if fact.tells_its_time]
        untold = [json.loads(encode(event)) for fact in facts if not fact.tells_its_time for event in fact.events()]
        if told:
            webhook = {"object": "instagram", "entry": told}
            with self._world.qstash_fault(**fault):
                _until_accepted(lambda: self._world.post_webhook(webhook, base_url=self._base_url))
        if untold:
            with self._world.qstash_fault(**fault):
                _until_accepted(lambda: self._world.post_events({"events": untold}, base_url=self._base_url))


def record(connection: psycopg.Connection[Any], event: Event) -> None:
    """The channel without HTTP: the one SQL call, in the transaction the connection is in."""
    connection.execute("select public.record_event(%s, 'direct')", (encode(event).decode(),))


def _until_accepted(attempt: Callable[[], httpx.Response]) -> None:
    """Again after a conflict in the database, or while another worker is at it; nothing else may go wrong."""
    for number in range(ATTEMPTS):
        time.sleep(WAIT_S * number)
        answer = attempt()
        if answer.status_code == 200:
            return
        assert answer.status_code in (500, 503), answer.text
        assert '"permanent"' not in answer.text
        assert '"unknown_error"' not in answer.text
    raise AssertionError(f"not accepted after {ATTEMPTS} attempts: {answer.text}")

"""Many people write at once, each consumer dies at a place of its own, and all that came of it is looked at."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from dev.stack import environment
from dev.stack.config import ROOT
from dev.stack.ports import answers, free_port
from tests.crash.delivery import Death, Journal, mid_of
from tests.support.builders import item, now_ms
from tests.support.world import WEBHOOK, World

Echo: TypeAlias = Literal["early", "soon", "late", "never"]
"""When the echo of a reply comes. early: it is in the database before the send is answered. soon: QStash has it by
then, and delivers it when it may. late: after QStash has ended all its retries.
"""

NOBODY = "http://127.0.0.1:9"
PASSING = ("429", "rate_limit", "rate_limit_thread")
"""Faults that pass: the next call meets none."""

SETTLE_WITHIN_S = 300.0
"""A hundred consumers that die one after the other take a busy machine minutes."""

MOST_SWEEPS = 10

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Case:
    """One person's message, Graph's fault when it is answered, and where the consumers die."""

    fault: str
    deaths: tuple[Death, ...]
    person: int = field(default_factory=lambda: next(_numbers))
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def account(self) -> str:
        return f"17841{self.person:012}"

    @property
    def contact(self) -> str:
        return f"6001{self.person:09}001"  # the stand-in knows some people by how their ids end

    @property
    def mid(self) -> str:
        return mid_of(self.deaths, str(self.number))

    @property
    def event_id(self) -> str:
        return f"ig_msg_{self.mid}"


@dataclass(frozen=True)
class Outcome:
    """What came of a case. `accepted` are the mids of the replies Meta took, `asked` is how often it was asked to;
    `row` is the reply in the outbox, `deliveries` what the journal has.
    """

    case: Case
    accepted: list[str]
    asked: int
    row: dict[str, Any]
    processed: bool
    deliveries: list[dict[str, Any]]

    @property
    def died_in(self) -> list[str]:
        """The calls that were under way when a consumer died."""
        return [line["died_in"] for line in self.deliveries if "died_in" in line]


class Rig:
    """The stack, with a consumer that can be killed. `direct_url` is functions for which QStash does not exist."""

    def __init__(self, world: World, url: str, direct_url: str, journals: Path) -> None:
        self.world = world
        self._url = url
        self._direct_url = direct_url
        self._journals = journals

    def run(self, cases: Sequence[Case], echo: Echo) -> None:
        """Everybody writes; it is over when QStash has nothing left to deliver, and Meta no echo to post."""
        self.world.reset()
        self.world.rule(trigger="keyword", pattern="price", reply_text="Hello {username}, it is 20.", cooldown_s=0)
        # Both ids are known, so that no consumer asks Meta for them when all is done.
        for account in {case.account for case in cases}:
            self.world.db.execute(
                "insert into accounts (account_id, app_scoped_id) values (%s, %s)", (account, f"9{account}")
            )
        self._choose_echo(echo)
        for case in cases:
            times: dict[str, int] = {"times": 1} if case.fault in PASSING else {}
            self.world.graph_fault("send", case.fault, person=case.contact, **times)
        told = [
            _entry(case.account, contact=case.contact, message={"mid": case.mid, "text": "price"}) for case in cases
        ]
        answer = self.world.post_webhook({"object": "instagram", "entry": told}, base_url=self._url)
        assert (answer.status_code, answer.json()["queued"]) == (200, len(cases)), answer.text
        self.world.settle(timeout_s=SETTLE_WITHIN_S)
        self._await_echoes()
        if echo == "late":
            self.post_echoes(self.world.sent())
        self.world.settle(timeout_s=SETTLE_WITHIN_S)

    def sweep(self) -> None:
        """Some minutes later, and again until there is nothing more to do."""
        for _ in range(MOST_SWEEPS):
            self.world.forget_deduplication()
            self.world.db.execute(
                "update outbox set sending_at = sending_at - interval '3 minutes'"
                " where state in ('sending', 'unknown') and look_after is null"
            )
            swept = self.world.sweep()
            # Nobody renews a token here. What waits for that is taken by every sweep.
            waiting = self.world.row(
                "select count(*)::int as n from outbox where state = 'planned'"
                " and error_code in ('graph_token_invalid', 'account_needs_reauth')"
            )["n"]
            if swept["taken"] <= waiting and swept["found_sends"] == 0:
                return
        raise AssertionError(f"the sweeper is never done: {swept}")

    def outcomes(self, cases: Sequence[Case]) -> list[Outcome]:
        """What came of each, as it stands."""
        accepted: dict[str, list[str]] = defaultdict(list)
        for sent in self.world.sent():
            accepted[sent["recipient_id"]].append(sent["message_id"])
        asked: dict[str, int] = defaultdict(int)
        for call in self.world.graph_calls():
            if call["endpoint"] == "send":
                asked[call["path"].split("/")[2]] += 1
        rows = {row["event_id"]: row for row in self.world.rows("select * from outbox")}
        processed = {
            row["event_id"]: row["done"]
            for row in self.world.rows("select event_id, processed_at is not null as done from events")
        }
        return [
            Outcome(
                case=case,
                accepted=accepted[case.contact],
                asked=asked[case.account],
                row=rows[case.event_id],
                processed=processed[case.event_id],
                deliveries=Journal(self._journals, case.event_id).lines(),
            )
            for case in cases
        ]

    def post_echoes(self, accepted: Sequence[dict[str, Any]]) -> None:
        """In this order: of messages that Meta accepted (`World.sent`)."""
        told = [
            _entry(
                sent["account_id"],
                contact=sent["recipient_id"],
                outbound=True,
                message={"mid": sent["message_id"], "text": sent["text"], "is_echo": True},
            )
            for sent in accepted
        ]
        if told:
            self.world.deliver({"object": "instagram", "entry": told})

    def _choose_echo(self, echo: Echo) -> None:
        """When Meta posts the echoes from now on, and to whom."""
        mode = {"early": "early", "soon": "on"}.get(echo, "off")
        to = self._direct_url if echo == "early" else self.world.stack.functions_url
        self._graph_echo({"mode": mode, "delay_ms": 0, "webhook_url": to + WEBHOOK})

    def _await_echoes(self, within_s: float = 30.0) -> None:
        """What Meta accepted late, or from a consumer that is dead, has its echo too."""
        deadline = time.monotonic() + within_s
        while self._graph_echo({})["mode"] != "off" and not all(
            200 in sent["echo_statuses"] for sent in self.world.sent()
        ):
            assert time.monotonic() < deadline, "an echo was not taken"
            time.sleep(0.02)

    def _graph_echo(self, wish: dict[str, Any]) -> dict[str, Any]:
        return dict(self.world.standins.post(f"{self.world.stack.graph_url}/__dev/echo", json=wish).json())


def _entry(account: str, **what: Any) -> dict[str, Any]:
    return {"id": account, "time": now_ms(), "messaging": [item(account=account, **what)]}


@contextmanager
def killing(world: World, directory: Path) -> Iterator[Rig]:
    """A rig, and the processes it needs besides the stack. `directory` is empty."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = environment.child_environment({**world.stack.env, "PUBLIC_URL": url})
    journals = directory / "journals"
    journals.mkdir()
    command = (sys.executable, "-m", "tests.crash.serve", str(port), str(journals), world.stack.dsn)
    with (
        (directory / "serve.log").open("wb") as log,
        world.stack.functions({"QSTASH_URL": NOBODY}) as direct_url,
        subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True) as server,
    ):
        try:
            while not answers(port):
                assert server.poll() is None, (directory / "serve.log").read_text()
                time.sleep(0.02)
            yield Rig(world, url, direct_url, journals)
        finally:
            os.killpg(server.pid, signal.SIGKILL)

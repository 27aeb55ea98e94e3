"""How a fault is brought about on the running stack, and how it is mended."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import psycopg

from dev.qstash.deduplication import WINDOW_S
from dev.stack import Stack
from dev.stack.gateway import FAULT
from tests.chaos.schedule import Fault

PAGE = "<html><head><title>Forbidden</title></head></html>"
IN_FLIGHT_WITHIN_S = 0.5
"""How long a killer waits for a request to be under way."""

LATEST_S = 20.0

Act = Callable[["Faults", Fault], None]


class Faults:
    """Begins and ends faults. Each lane's are for one thread at a time."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._http = httpx.Client(timeout=5.0, trust_env=False)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def begin(self, fault: Fault) -> None:
        """Brings it about."""
        BEGIN.get(fault.kind.name, Faults._tell)(self, fault)

    def end(self, fault: Fault) -> None:
        """Mends it."""
        END.get(fault.kind.name, Faults._calm)(self, fault)

    def mend(self) -> None:
        """Everything runs, nobody misbehaves."""
        for name in ("postgres", "postgrest", "rest", "qstash", "graph", "functions"):
            self._stack.start_component(name)
            self._stack.kill(name, signal.SIGCONT)
        self._cut(0)
        self._grant_role()
        self._remove_unreadable_rule()
        self._qstash({"publish": "ok", "delivery": {}})
        for endpoint in ("*", "send", "profile"):
            self._graph("faults", {"endpoint": endpoint, "fault": "ok"})
        self._graph("echo", {"mode": "on", "delay_ms": 200})
        self._reload_schema()

    # The servers.

    def _kill_instances(self, fault: Fault) -> None:
        """Where uvicorn's supervisor sees a worker dead, it starts another, as Vercel does."""
        self._wait_for_a_request()
        alive = self._instances()
        for pid in random.Random(fault.dice).sample(alive, min(1 + fault.kind.name.startswith("two"), len(alive))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _instances(self) -> list[int]:
        import psutil  # type: ignore[import-untyped]  # noqa: PLC0415

        pid = self._stack.pid("functions")
        serving = []
        for child in [] if pid is None else psutil.Process(pid).children():
            with contextlib.suppress(psutil.Error):  # it was killed, and nobody has noticed yet
                # Python's multiprocessing keeps a helper of its own, which serves nobody.
                if "resource_tracker" not in " ".join(child.cmdline()):
                    serving.append(child.pid)
        return sorted(serving)

    def _wait_for_a_request(self) -> None:
        deadline = time.monotonic() + IN_FLIGHT_WITHIN_S
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if self._http.get(f"{self._stack.qstash_url}/__dev/state", timeout=0.2).json()["active"]:
                    return
            time.sleep(0.005)

    def _make_schema_stale(self, _fault: Fault) -> None:
        """PostgREST starts while a function is not there yet, as it does when a migration comes after it."""
        self._stack.kill("postgrest")
        with self._database() as database:
            database.execute("alter function public.record_event rename to record_event_to_come")
            try:
                self._stack.start_component("postgrest")
            finally:
                database.execute("alter function public.record_event_to_come rename to record_event")

    def _reload_schema(self, _fault: Fault | None = None) -> None:
        with self._database() as database:
            database.execute("notify pgrst, 'reload schema'")

    def _database(self) -> "psycopg.Connection[Any]":
        return psycopg.connect(self._stack.dsn, autocommit=True)

    def _cut_answers(self, fault: Fault) -> None:
        self._cut(int(fault.kind.wish["answers"]))

    def _cut(self, answers: int) -> None:
        self._gateway({"times": answers})

    def _answer_instead(self, fault: Fault) -> None:
        self._gateway({"body": PAGE, **fault.kind.wish})

    def _gateway(self, wish: Mapping[str, Any]) -> None:
        self._http.post(f"{self._stack.supabase_url}{FAULT}", json=wish).raise_for_status()

    def _refuse_role(self, _fault: Fault) -> None:
        """A migration forgot the grants, or somebody took them away."""
        with self._database() as database:
            database.execute("revoke usage on schema ingestion from service_role")

    def _grant_role(self, _fault: Fault | None = None) -> None:
        with self._database() as database:
            database.execute("grant usage on schema ingestion to service_role")

    def _add_unreadable_rule(self, _fault: Fault) -> None:
        """A newer schema knows a trigger that this code does not."""
        with self._database() as database:
            database.execute("alter table reply_rules drop constraint if exists reply_rules_trigger_check")
            database.execute("insert into reply_rules (trigger, reply_text) values ('from_the_future', 'hello')")

    def _remove_unreadable_rule(self, _fault: Fault | None = None) -> None:
        with self._database() as database:
            database.execute("delete from reply_rules where trigger = 'from_the_future'")

    # The stand-ins.

    def _tell(self, fault: Fault) -> None:
        wish = dict(fault.kind.wish)
        if fault.lane == "qstash":
            self._qstash(wish)
        elif "echo" in wish:
            self._graph("echo", {"mode": wish["echo"]})
        else:
            self._graph("faults", wish)

    def _calm(self, fault: Fault) -> None:
        if fault.lane == "qstash":
            self._qstash({"publish": "ok", "delivery": {}})
        elif "echo" in fault.kind.wish:
            self._graph("echo", {"mode": "on", "delay_ms": 200})
        elif fault.lane == "graph":
            self._graph("faults", {"endpoint": fault.kind.wish["endpoint"], "fault": "ok"})

    def _deliver_late(self, fault: Fault) -> None:
        """Later than QStash remembers what it has had."""
        beyond_s = min(WINDOW_S * self._stack.config.time_scale * 1.2, LATEST_S)
        self._qstash({"delivery": {**fault.kind.wish["delivery"], "delay_ms": round(beyond_s * 1000)}})

    def _qstash(self, wish: Mapping[str, Any]) -> None:
        self._http.post(f"{self._stack.qstash_url}/__dev/faults", json=wish).raise_for_status()

    def _graph(self, switch: str, wish: Mapping[str, Any]) -> None:
        self._http.post(f"{self._stack.graph_url}/__dev/{switch}", json=wish).raise_for_status()


def _kill(name: str) -> Act:
    return lambda faults, _fault: faults._stack.kill(name)


def _stop(name: str) -> Act:
    return lambda faults, _fault: faults._stack.stop_component(name)


def _start(name: str) -> Act:
    return lambda faults, _fault: faults._stack.start_component(name)


def _signal(name: str, number: signal.Signals) -> Act:
    return lambda faults, _fault: faults._stack.kill(name, number)


BEGIN: Mapping[str, Act] = {
    "instance killed mid-request": Faults._kill_instances,
    "two instances killed mid-request": Faults._kill_instances,
    "all functions killed": _kill("functions"),
    "all functions frozen": _signal("functions", signal.SIGSTOP),
    "Postgres stopped": _stop("postgres"),
    "Postgres killed": _kill("postgres"),
    "PostgREST killed": _kill("postgrest"),
    "PostgREST frozen": _signal("postgrest", signal.SIGSTOP),
    "schema cache stale": Faults._make_schema_stale,
    "answers cut after commit": Faults._cut_answers,
    "a gateway's page for the database": Faults._answer_instead,
    "a JWT from the future": Faults._answer_instead,
    "the database refuses our role": Faults._refuse_role,
    "a rule that cannot be read": Faults._add_unreadable_rule,
    "QStash frozen": _signal("qstash", signal.SIGSTOP),
    "QStash delivers late": Faults._deliver_late,
    "Graph frozen": _signal("graph", signal.SIGSTOP),
}
"""By the name of the kind; every other kind is a wish that its stand-in is told."""

END: Mapping[str, Act] = {
    "all functions killed": _start("functions"),
    "all functions frozen": _signal("functions", signal.SIGCONT),
    "Postgres stopped": _start("postgres"),
    "Postgres killed": _start("postgres"),
    "PostgREST killed": _start("postgrest"),
    "PostgREST frozen": _signal("postgrest", signal.SIGCONT),
    "schema cache stale": Faults._reload_schema,
    "a gateway's page for the database": lambda faults, _fault: faults._cut(0),
    "the database refuses our role": Faults._grant_role,
    "a rule that cannot be read": Faults._remove_unreadable_rule,
    "QStash frozen": _signal("qstash", signal.SIGCONT),
    "Graph frozen": _signal("graph", signal.SIGCONT),
}

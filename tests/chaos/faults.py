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
from tests.chaos.rows import Rows
from tests.chaos.schedule import Fault

DEAD_TOKEN = "EXPIRED-and-renewed"
UNTIL_MENDED = 10**9
IN_FLIGHT_WITHIN_S = 0.5
"""How long a killer waits for a request to be under way."""

LATEST_S = 20.0

Act = Callable[["Faults", Fault], None]


class Faults:
    """Begins and ends faults. Each lane's are for one thread at a time."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._rows = Rows(stack)
        self._http = httpx.Client(timeout=5.0, trust_env=False)
        self._beside = contextlib.ExitStack()
        self._old_instance = ""

    def start_old_instance(self) -> None:
        """Starts an instance of before the token was renewed. QStash delivers to it only while that is the fault."""
        env = {"PUBLIC_URL": self._stack.functions_url, "INSTAGRAM_ACCESS_TOKEN": DEAD_TOKEN}
        self._old_instance = self._beside.enter_context(self._stack.functions(env))

    def close(self) -> None:
        """Closes the connections, and ends the old instance."""
        self._beside.close()
        self._http.close()

    def begin(self, fault: Fault) -> None:
        """Brings it about."""
        default = Faults._answer_instead if fault.lane == "supabase" else Faults._tell
        BEGIN.get(fault.kind.name, default)(self, fault)

    def end(self, fault: Fault) -> None:
        """Mends it."""
        default = Faults._stop_answering if fault.lane == "supabase" else Faults._calm
        END.get(fault.kind.name, default)(self, fault)

    def mend(self) -> None:
        """Everything runs, nobody misbehaves."""
        for name in ("postgres", "postgrest", "rest", "qstash", "graph", "functions"):
            self._stack.start_component(name)
            self._stack.kill(name, signal.SIGCONT)
        self._cut(0)
        self._rows.grant_role()
        self._rows.remove_unreadable_rules()
        self._rows.unseal()
        self._qstash({"publish": "ok", "delivery": {}, "reroute": None})
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
        self._gateway({"times": UNTIL_MENDED, **fault.kind.wish})

    def _stop_answering(self, _fault: Fault) -> None:
        self._cut(0)

    def _gateway(self, wish: Mapping[str, Any]) -> None:
        self._http.post(f"{self._stack.supabase_url}{FAULT}", json=wish).raise_for_status()

    # The stand-ins.

    def _tell(self, fault: Fault) -> None:
        wish = dict(fault.kind.wish)
        if fault.lane == "qstash":
            self._qstash(wish)
            return
        if "echo" in wish:
            self._graph("echo", {"mode": wish.pop("echo")})
        if wish:
            self._graph("faults", wish)

    def _calm(self, fault: Fault) -> None:
        if fault.lane == "qstash":
            self._qstash({"publish": "ok", "delivery": {}})
        if "echo" in fault.kind.wish:
            self._graph("echo", {"mode": "on", "delay_ms": 200})
        if "endpoint" in fault.kind.wish:
            self._graph("faults", {"endpoint": fault.kind.wish["endpoint"], "fault": "ok"})

    def _share_with_old_instance(self, _fault: Fault) -> None:
        self._qstash({"reroute": {"from": self._stack.functions_url, "to": self._old_instance}})

    def _leave_old_instance(self, _fault: Fault) -> None:
        self._qstash({"reroute": None})

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
    "the database refuses our role": lambda faults, _fault: faults._rows.refuse_role(),
    "rules that cannot be read": lambda faults, _fault: faults._rows.add_unreadable_rules(),
    "the key of the stored tokens is wrong": lambda faults, _fault: faults._rows.seal_with_another_key(),
    "an old instance has a dead token": Faults._share_with_old_instance,
    "QStash frozen": _signal("qstash", signal.SIGSTOP),
    "QStash delivers late": Faults._deliver_late,
    "Graph frozen": _signal("graph", signal.SIGSTOP),
    "the database is away for longer than all retries": Faults._answer_instead,
    "the functions are away for longer than all retries": _kill("functions"),
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
    "the database refuses our role": lambda faults, _fault: faults._rows.grant_role(),
    "rules that cannot be read": lambda faults, _fault: faults._rows.remove_unreadable_rules(),
    "the key of the stored tokens is wrong": lambda faults, _fault: faults._rows.unseal(),
    "an old instance has a dead token": Faults._leave_old_instance,
    "QStash frozen": _signal("qstash", signal.SIGCONT),
    "Graph frozen": _signal("graph", signal.SIGCONT),
    "the database is away for longer than all retries": Faults._stop_answering,
    "the functions are away for longer than all retries": _start("functions"),
}

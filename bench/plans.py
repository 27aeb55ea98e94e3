"""The cost and the plan of a query, run by PostgREST as the service role.

PostgREST, "Explain plan": Accept `application/vnd.pgrst.plan`, where `db-plan-enabled` is set.
"""

import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import psycopg

from dev.stack import Stack
from dev.stack.postgres import SUPERUSER

PLAN = "application/vnd.pgrst.plan+{form}; options=analyze|buffers"
RUNS = 7
RELOAD_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Query:
    """A request of a client: for rows, for an SQL function (`function`), or for the exact number of rows (`count`)."""

    name: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    function: bool = False
    count: bool = False


@dataclass(frozen=True)
class Measured:
    """The cost of a query. `buffers` are 8 kB pages touched, `seq_scans` the tables that were read from end to end."""

    rows: int
    ms: float
    answer_ms: float
    buffers: int
    seq_scans: frozenset[str]
    indexes: frozenset[str]
    text: str


class Explainer:
    """Runs queries by PostgREST and reads their plans."""

    def __init__(self, stack: Stack) -> None:
        key = stack.service_role_key
        headers = {"apikey": key, "Authorization": f"Bearer {key}"}
        self._http = httpx.Client(
            base_url=f"{stack.supabase_url}/rest/v1", headers=headers, timeout=600, trust_env=False
        )
        self._db = psycopg.connect(stack.dsn)
        _allow_plans(stack)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()
        self._db.close()

    def rows(self, query: Query) -> list[dict[str, Any]]:
        """Returns the rows that a client gets."""
        return list(self._ask(query).json())

    def count(self, query: Query) -> int:
        """Returns how many rows there are without a limit."""
        return _row_count(replace(query, count=True), self._ask(replace(query, count=True)))

    def measure(self, query: Query) -> Measured:
        """Runs `query` several times. The times are medians; the plan is that of the last run."""
        self._ask(query)
        answers_s = [self._timed(query) for _ in range(RUNS)]
        plans = [self._plan(query) for _ in range(RUNS)]
        nodes = list(_nodes(plans[-1]["Plan"]))
        answer = self._ask(query)
        return Measured(
            rows=_row_count(query, answer),
            ms=statistics.median(plan["Execution Time"] for plan in plans),
            answer_ms=statistics.median(answers_s) * 1000,
            buffers=_buffers(nodes[0]),
            seq_scans=self._scanned_inside(query) if query.function else _seq_scans(nodes),
            indexes=frozenset(str(node["Index Name"]) for node in nodes if "Index Name" in node),
            text=self._ask(query, PLAN.format(form="text")).text.strip(),
        )

    def _timed(self, query: Query) -> float:
        began = time.perf_counter()
        self._ask(query)
        return time.perf_counter() - began

    def _plan(self, query: Query) -> dict[str, Any]:
        (plan,) = self._ask(query, PLAN.format(form="json")).json()
        return dict(plan)

    def _ask(self, query: Query, accept: str = "application/json") -> httpx.Response:
        headers = {"Accept": accept} | ({"Prefer": "count=exact"} if query.count else {})
        if query.function:
            answer = self._http.post(query.path, json=dict(query.params), headers=headers)
        else:
            answer = self._http.get(query.path, params=dict(query.params), headers=headers)
        return answer.raise_for_status()

    def _scanned_inside(self, query: Query) -> frozenset[str]:
        """Reads the statistics of the transaction, because the plan of a call does not show what the function does."""
        name = psycopg.sql.Identifier("public", query.path.rsplit("/", 1)[-1])
        with self._db.transaction(force_rollback=True):
            self._db.execute("set local role service_role")
            self._db.execute(psycopg.sql.SQL("select {}()").format(name))
            rows = self._db.execute("select relname from pg_stat_xact_user_tables where seq_scan > 0").fetchall()
        return frozenset(str(table) for (table,) in rows)


def _allow_plans(stack: Stack) -> None:
    with psycopg.connect(stack.dsn, user=SUPERUSER, autocommit=True) as admin:
        admin.execute("alter role authenticator set pgrst.db_plan_enabled = 'true'")
        admin.execute("notify pgrst, 'reload config'")
    headers = {"apikey": stack.service_role_key, "Accept": PLAN.format(form="json")}
    deadline = time.monotonic() + RELOAD_TIMEOUT_S
    while httpx.get(f"{stack.supabase_url}/rest/v1/accounts", headers=headers, trust_env=False).status_code != 200:
        if time.monotonic() > deadline:
            raise RuntimeError(f"PostgREST shows no plans {RELOAD_TIMEOUT_S:g} s after it was told to")
        time.sleep(0.05)


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _seq_scans(nodes: list[dict[str, Any]]) -> frozenset[str]:
    ran = (node for node in nodes if node["Actual Loops"] > 0)
    return frozenset(str(node["Relation Name"]) for node in ran if node["Node Type"] == "Seq Scan")


def _buffers(root: dict[str, Any]) -> int:
    return int(root["Shared Hit Blocks"]) + int(root["Shared Read Blocks"])


def _row_count(query: Query, answer: httpx.Response) -> int:
    if query.count:
        return int(answer.headers["content-range"].rsplit("/", 1)[-1])
    return 1 if query.function else len(answer.json())

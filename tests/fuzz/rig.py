"""The running pipeline as a fuzzer sees it: send something, count the answer, and look whether anything is left of it.

Sends by HTTP to the functions as they are served. Must not know what a route should answer.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from psycopg import sql

from dev.functions import find_public_paths
from dev.stack.config import ROOT
from tests.fuzz.callers import FORMS, Who, form, shown
from tests.support.world import TABLES, World

EVERY = 1000
"""A line of progress after so many requests."""

ALL_TABLES = (*(("public", table) for table in (*TABLES, "erasures")), ("ingestion", "erased_people"))

MAX_DURATION_S = {path: public.function.max_duration_s for path, public in find_public_paths(ROOT).items()}
"""What takes longer hangs: the platform would cut it off."""


class Rig:
    """One world under fire. `say` shows a line to whoever waits."""

    def __init__(self, world: World, say: Callable[[str], None]) -> None:
        self.world = world
        self.url = world.stack.functions_url
        self.answers: Counter[tuple[str, int]] = Counter()
        self._say = say
        self._http = httpx.Client(base_url=self.url, trust_env=False)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def post(self, path: str, body: bytes, who: Who, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """`body` from `who`, in the form and with the header of the route."""
        sent = form(who, body) if path in FORMS else body
        content_type = "application/x-www-form-urlencoded" if path in FORMS else "application/json"
        given = {"Content-Type": content_type, **shown(who, url=self.url, path=path, body=sent), **(headers or {})}
        return self.send("POST", path, content=sent, headers=given)

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Any request. Raises where there is no answer within the function's maxDuration."""
        answer = self._http.request(method, path, timeout=MAX_DURATION_S[path], **request)
        self.note(path, answer.status_code)
        return answer

    def note(self, path: str, status: int) -> None:
        """One more answer."""
        self.answers[path, status] += 1
        if self.answers.total() % EVERY == 0:
            self._say(f"{self.answers.total()} requests")

    def footprint(self) -> dict[str, Any]:
        """All that a request can leave behind: rows, messages at QStash, calls to the Graph API."""
        self.world.settle()
        rows = self.world.db.execute(_CONTENT).fetchall()
        return {
            **{row["name"]: (row["n"], row["digest"]) for row in rows},
            "qstash": self.world.qstash_state(),
            "graph": len(self.world.graph_calls()),
        }


def _content_of(schema: str, table: str) -> sql.Composed:
    return sql.SQL(
        "select {} as name, count(*) as n, coalesce(sum(hashtextextended(t::text, 0)), 0) as digest from {} t"
    ).format(sql.Literal(table), sql.Identifier(schema, table))


_CONTENT = sql.SQL(" union all ").join(_content_of(*table) for table in ALL_TABLES)

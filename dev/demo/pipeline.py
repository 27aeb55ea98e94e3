"""The running pipeline as the demo uses it: post, wait until nothing is under way, read the tables."""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, LiteralString, Self

import httpx
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from dev.demo.counts import Snapshot
from dev.send.webhook import WEBHOOK_PATH, Answer, post_webhook
from dev.stack import Stack, StackError
from lib.replies.rules import Rule

QUIET_WITHIN_S = 60.0
"""Longer than QStash's first two retries take. Events that have not landed by then count as missing."""

POLL_S = 0.03


class Pipeline:
    """One running stack with a local database. A context manager: it closes its connections."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._http = httpx.Client(trust_env=False, timeout=30.0)
        self._db = psycopg.connect(stack.dsn, autocommit=True, row_factory=dict_row)
        self._log_read = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        self._db.close()

    @property
    def echoes(self) -> bool:
        """Whether a message we send comes back as an echo."""
        return self._stack.config.echo != "off"

    @property
    def data_dir(self) -> Path:
        """Where the database and the logs stay, as a relative path if that is shorter."""
        path = self._stack.config.data_dir.absolute()
        return min(path, Path(os.path.relpath(path)), key=lambda shown: len(str(shown)))

    # Before the first post.

    def introduce(self, people: Iterable[Mapping[str, str]], commenters: Mapping[str, str]) -> None:
        """Tells Instagram's stand-in the people's profiles, and the author of each comment."""
        self._standin(self._stack.graph_url, "profiles", list(people))
        for comment_id, igsid in commenters.items():
            self._standin(self._stack.graph_url, "comments", {"id": comment_id, "from": igsid})

    def add_rules(self, rules: Iterable[Rule]) -> None:
        """Writes the reply rules, as a person would in Supabase's table editor."""
        with self._db.cursor() as cursor:
            cursor.executemany(
                "insert into public.reply_rules (trigger, match, pattern, reply_text) values (%s, %s, %s, %s)",
                [(rule.trigger, rule.match, rule.pattern, rule.reply_text) for rule in rules],
            )

    # What Meta and QStash do.

    def post(self, body: bytes) -> Answer:
        """Posts a webhook. Raises `StackError` if the functions do not answer."""
        secret = self._stack.env["INSTAGRAM_APP_SECRET"]
        try:
            return post_webhook(self._http, self._stack.functions_url + WEBHOOK_PATH, body, app_secret=secret)
        except httpx.ConnectError as error:
            raise StackError("\n".join(["The functions do not answer.", *self._stack.dead()])) from error

    def forget_deduplication(self) -> None:
        """Makes QStash forget the deduplication ids that it would forget after ten minutes."""
        self._standin(self._stack.qstash_url, "reset", {})

    def stop_qstash(self) -> None:
        """Stops QStash, whose port then refuses connections."""
        self._stack.stop_component("qstash")

    def wait_until_quiet(self, tick: Callable[[], None]) -> None:
        """Returns when nothing is under way any more, or after `QUIET_WITHIN_S`. Calls `tick` meanwhile.

        Raises `StackError` if a part of the stack has ended by itself.
        """
        deadline = time.monotonic() + QUIET_WITHIN_S
        quiet = False
        while not quiet and time.monotonic() < deadline:
            if dead := self._stack.dead():
                raise StackError("\n".join(dead))
            quiet = self._is_quiet()
            tick()
            time.sleep(0 if quiet else POLL_S)

    def _is_quiet(self) -> bool:
        """Whether QStash holds nothing, and the echo of every sent message was delivered too."""
        return self._qstash_is_idle() and self._echoes_are_posted() and self._qstash_is_idle()

    def _qstash_is_idle(self) -> bool:
        if not self._stack.is_running("qstash"):
            return True
        return bool(self._http.get(f"{self._stack.qstash_url}/__dev/state").raise_for_status().json()["idle"])

    def _echoes_are_posted(self) -> bool:
        return not self.echoes or all(200 in one["echo_statuses"] for one in self.sent())

    # What the demo reads.

    def landed(self) -> int:
        """Returns how many events are processed."""
        return len(self.rows("select 1 from public.events where processed_at is not null"))

    def rows(self, query: LiteralString, *params: object) -> list[dict[str, Any]]:
        """Returns the rows of a query."""
        return self._db.execute(query, params).fetchall()

    def snapshot(self) -> Snapshot:
        """Returns every column of every row of every table."""
        named = self._db.execute(
            "select table_name from information_schema.tables where table_schema = 'public' order by 1"
        ).fetchall()
        return {row["table_name"]: self._whole(row["table_name"]) for row in named}

    def _whole(self, table: str) -> list[dict[str, Any]]:
        query = sql.SQL("select * from public.{} t order by to_jsonb(t)").format(sql.Identifier(table))
        return self._db.execute(query).fetchall()

    def sent(self) -> list[dict[str, Any]]:
        """Returns every message that Instagram's stand-in has received."""
        return list(self._http.get(f"{self._stack.graph_url}/__dev/sent").raise_for_status().json())

    def new_log_lines(self) -> list[dict[str, Any]]:
        """Returns the lines that the functions have logged since the last call."""
        with self._stack.log_path("functions").open("rb") as log:
            log.seek(self._log_read)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._log_read += len(whole)
        return [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]

    def _standin(self, base_url: str, switch: str, body: object) -> None:
        self._http.post(f"{base_url}/__dev/{switch}", json=body).raise_for_status()

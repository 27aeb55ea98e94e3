"""The tables that the demo prints: the query for each, and how a row looks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from dev.demo.story import Post
from dev.send.webhook import Answer

Row = Mapping[str, Any]

NEWEST_MESSAGES = 30
SHORTEST_ID = 20
SHORTEST_TEXT = 16
VIA = {"queue": "queued", "direct": "direct", "replay": "replayed"}
GOOD = frozenset({"processed", "sent", "complete"})

EVENTS: LiteralString = "select event_id, kind, via, processed_at from public.events"
DEAD_LETTERS: LiteralString = "select event_id from public.dead_letters"
PROFILES: LiteralString = """
    select p.igsid, p.username, p.name, p.state,
        (select count(*) from public.messages m where m.account_id = p.account_id and m.contact_id = p.igsid
            and not m.is_placeholder) as messages
    from public.profiles p order by p.first_seen_at"""
MESSAGES: LiteralString = """
    select m.sent_at, m.direction, m.kind, m.text, m.attachments, m.num_edit, m.unsent_at, m.is_unsupported,
        m.is_test, m.standby, coalesce(p.username, m.contact_id) as who,
        (select string_agg(coalesce(r.emoji, r.reaction), ' ' order by r.acted_at) from public.reactions r
            where r.account_id = m.account_id and r.mid = m.mid and r.action = 'react') as reactions
    from public.messages m
    left join public.profiles p on p.account_id = m.account_id and p.igsid = m.contact_id
    where not m.is_placeholder order by m.sent_at desc, m.mid desc"""
OUTBOX: LiteralString = """
    select o.kind, coalesce(p.username, o.contact_id) as who, o.payload ->> 'text' as text, o.state, o.error_code
    from public.outbox o
    left join public.profiles p on p.account_id = o.account_id and p.igsid = o.contact_id
    order by o.planned_at"""


@dataclass(frozen=True)
class Line:
    """One event of one post, and its row in the ledger. `ms` runs from the post to `processed_at`."""

    sample: str
    kind: str
    event_id: str
    via: str
    verdict: str
    ms: float | None


def lines(post: Post, answer: Answer, ledger: Mapping[str, Row], dead: frozenset[str]) -> list[Line]:
    """Returns a line for each event in `post`, in order."""
    return [
        Line(
            post.sample, event.kind, event.event_id, *_seen(ledger.get(event.event_id), answer, event.event_id in dead)
        )
        for event in post.events
    ]


def _seen(row: Row | None, answer: Answer, is_dead: bool) -> tuple[str, str, float | None]:
    """Returns via, verdict and milliseconds of one event. `row` is its row in the ledger, if there is one."""
    if row is None:
        return "-", "dead letter" if is_dead else "lost" if answer.ok else f"HTTP {answer.status}", None
    via = VIA[row["via"]]
    if row["processed_at"] is None:
        return via, "dead letter" if is_dead else "unfinished", None
    return via, "processed", row["processed_at"].timestamp() * 1000 - answer.posted_at_ms


class MiddleCut:
    """Shortens an event id to the width of its column: the middle goes, the namespace and the end stay."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_measure__(self, _console: Console, _options: ConsoleOptions) -> Measurement:
        return Measurement(min(SHORTEST_ID, len(self._text)), len(self._text))

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(middle_cut(self._text, options.max_width), no_wrap=True)


def middle_cut(event_id: str, room: int) -> str:
    """`event_id` in `room` characters, as `ig_msg_…zkwOQZDZD`: ids differ at their ends."""
    if len(event_id) <= room:
        return event_id
    namespace = len("_".join(event_id.split("_", 2)[:2])) + 1
    head = max(namespace, room // 3)
    tail = max(1, room - head - 1)
    return f"{event_id[:head]}…{event_id[-tail:]}"


def events_table(shown: Iterable[Line]) -> Table:
    """Returns a table of one row an event. The name of a sample stands in its first row."""
    table = _table("sample", "kind", ("event id", "flex"), "path", "outcome", ("ms", "right"))
    previous = ""
    for line in shown:
        table.add_row(
            "" if line.sample == previous else line.sample,
            line.kind,
            MiddleCut(line.event_id),
            Text(line.via, "" if line.via == "queued" else "magenta"),
            _state(line.verdict),
            "" if line.ms is None else f"{line.ms:.0f}",
        )
        previous = line.sample
    return table


def profiles_table(rows: Iterable[Row]) -> Table:
    """Returns a table of the people who wrote."""
    table = _table("igsid", "username", "name", "state", ("messages", "right"))
    for row in rows:
        table.add_row(row["igsid"], row["username"], row["name"], _state(row["state"]), str(row["messages"]))
    return table


def messages_table(rows: Sequence[Row]) -> Table:
    """Returns a table of the messages as they are now."""
    table = _table("sent", "", "person", "kind", ("text", "flex"), "notes")
    for row in rows:
        way = "in" if row["direction"] == "inbound" else "out"
        table.add_row(_clock(row["sent_at"]), way, row["who"], row["kind"], _said(row), _notes(row))
    return table


def outbox_table(rows: Iterable[Row]) -> Table:
    """Returns a table of the replies."""
    table = _table("kind", "to", ("text", "flex"), "state", "error")
    for row in rows:
        table.add_row(row["kind"], row["who"], _one_line(row["text"]), _state(row["state"]), row["error_code"])
    return table


def log_table(entries: Iterable[Row]) -> Table:
    """Returns a table of log lines: the message, and its event or its error code."""
    table = _table("level", "message", ("about", "flex"))
    for entry in entries:
        about = MiddleCut(entry["event_id"]) if "event_id" in entry else _one_line(entry.get("code", ""))
        table.add_row(entry["level"], entry["message"], about)
    return table


def _clock(moment: datetime) -> str:
    """Returns the local time, or the date if it is another day."""
    local = moment.astimezone()
    return f"{local:%H:%M}" if datetime.now(UTC) - moment < timedelta(hours=24) else f"{local:%Y-%m-%d}"


def _said(row: Row) -> Text:
    if row["text"] is not None:
        return _one_line(row["text"].strip())
    attached = " ".join(f"[{item.get('type')}]" for item in row["attachments"])
    return _one_line(attached or "-", "dim")


def _one_line(text: str, style: str = "") -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")


def _notes(row: Row) -> str:
    notes = {
        "edited": row["num_edit"],
        "unsent": row["unsent_at"],
        "unsupported": row["is_unsupported"],
        "standby": row["standby"],
        "test": row["is_test"],
    }
    return " ".join([*(name for name, holds in notes.items() if holds), *filter(None, [row["reactions"]])])


def _state(word: str) -> Text:
    return Text(word, "green" if word in GOOD else "red")


def _table(*columns: str | tuple[str, str]) -> Table:
    """Returns a table of one line a row, whatever the width. Columns marked `flex` are shortened."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        name, how = column if isinstance(column, tuple) else (column, "")
        flexible = how == "flex"
        table.add_column(
            name,
            justify="right" if how == "right" else "left",
            no_wrap=not flexible,
            overflow="ellipsis",
            min_width=SHORTEST_TEXT if flexible else None,
        )
    return table

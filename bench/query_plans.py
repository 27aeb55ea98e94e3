"""`python -m bench.query_plans`: the cost of an inbox's queries in a large database.

Fills a local database twice, with a hundredth of the messages and with all of them, and runs the same queries. If the
figures stay the same, the cost of a page does not depend on the size of the database.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.fill import Size, fill
from bench.plans import Explainer, Measured, Query
from bench.report import Line, as_markdown, as_table
from dev.stack import Ports, Stack, StackConfig
from dev.stack.options import running

SMALLER = 100
PAGE = "50"
BUSIEST_ACCOUNT, BUSIEST_CONTACT = "17841400000000000", "6000000000000000"


@click.command()
@click.option("--messages", default=1_000_000, show_default=True, type=click.IntRange(min=10_000))
@click.option("--conversations", default=20_000, show_default=True, type=click.IntRange(min=200))
@click.option("--port-base", type=click.IntRange(1, 65530), help="Use this port and the next five. Default: free ones.")
@click.option("--markdown", is_flag=True, help="Print the section of docs/database.md instead of a table.")
def query_plans(messages: int, conversations: int, port_base: int | None, markdown: bool) -> None:
    """Show the cost of an inbox's queries with MESSAGES in the database, and with a hundredth of them."""
    size = Size(messages, conversations)
    console = Console(stderr=True, highlight=False)
    with tempfile.TemporaryDirectory(prefix="query-plans-") as directory:
        config = StackConfig(
            data_dir=Path(directory) / "stack",
            ports=Ports.free() if port_base is None else Ports.from_base(port_base),
            fast=True,
            echo="off",
        )
        with running(config, lambda _: None) as stack:
            lines = _measure(stack, size, console)
    if markdown:
        sys.stdout.write(as_markdown(lines, size, SMALLER))
    else:
        Console(highlight=False).print(as_table(lines, size, SMALLER))


def _measure(stack: Stack, size: Size, console: Console) -> list[Line]:
    with closing(psycopg.connect(stack.dsn, autocommit=True)) as db, closing(Explainer(stack)) as explainer:
        small = _measure_one(db, explainer, size.part(SMALLER), console)
        large = _measure_one(db, explainer, size, console)
    return [Line(name, small[name], large[name]) for name in large]


def _measure_one(db: psycopg.Connection, explainer: Explainer, size: Size, console: Console) -> Mapping[str, Measured]:
    columns = (TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        filling = progress.add_task(f"filling {size.messages:,}", total=size.messages)

        def tell(table: str, rows: int) -> None:
            progress.update(filling, description=f"filling {table}", advance=rows if table == "messages" else 0)

        fill(db, size, tell)
        wanted = queries(explainer)
        measuring = progress.add_task("measuring", total=len(wanted))
        measured = {}
        for query in wanted:
            progress.update(measuring, description=query.name[:24])
            measured[query.name] = explainer.measure(query)
            progress.advance(measuring)
    return measured


def queries(explainer: Explainer) -> Sequence[Query]:
    """Returns the queries, about the account and the conversation with the most messages."""
    account = {"account_id": f"eq.{BUSIEST_ACCOUNT}"}
    page = account | {"contact_id": f"eq.{BUSIEST_CONTACT}", "order": "sent_at.desc,mid.desc", "limit": PAGE}
    older = _row_in_the_middle(explainer, Query("", "/conversation_messages", page))
    listed = account | {"order": "last_message_at.desc,contact_id.desc", "limit": PAGE}
    further = _row_in_the_middle(explainer, Query("", "/conversations", listed))
    unread = {"is_unread": "eq.true"}
    comments = account | {"order": "commented_at.desc,comment_id.desc", "limit": PAGE}
    mentions = account | {"order": "mentioned_at.desc,event_id.desc", "limit": PAGE}
    return (
        Query("messages, newest page", "/conversation_messages", page),
        Query("messages, in between", "/conversation_messages", page | _after(older, "sent_at", "mid")),
        Query("conversations", "/conversations", listed),
        Query("conversations, further", "/conversations", listed | _after(further, "last_message_at", "contact_id")),
        Query("one conversation", "/conversations", account | {"contact_id": f"eq.{BUSIEST_CONTACT}"}),
        Query("all conversations", "/conversations", {"order": listed["order"], "limit": PAGE}),
        Query("unread conversations", "/conversations", listed | unread),
        Query("unread badge", "/conversations", account | unread | {"select": "contact_id", "limit": "0"}, count=True),
        Query("message by mid", "/conversation_messages", account | {"mid": f"eq.{older['mid']}"}),
        Query("comments of a media", "/comments", comments | {"media_id": "eq.media_0"}),
        Query("comments", "/comments", comments),
        Query("mentions", "/mentions", mentions),
        Query("unhandled events", "/unhandled_events", account),
        Query("ingestion_status", "/rpc/ingestion_status", function=True),
    )


def _row_in_the_middle(explainer: Explainer, query: Query) -> dict[str, Any]:
    total = explainer.count(query)
    (row,) = explainer.rows(replace(query, params={**query.params, "offset": str(total // 2), "limit": "1"}))
    return row


def _after(row: Mapping[str, Any], time: str, tie: str) -> dict[str, str]:
    """Filters for the page after `row`, newest first: by the index, and then by `tie` among equal times."""
    return {time: f"lte.{row[time]}", "or": f'({time}.lt."{row[time]}",{tie}.lt."{row[tie]}")'}


if __name__ == "__main__":
    query_plans()

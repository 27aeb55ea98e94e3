"""`python -m dev up` (and `make dev`): shows a running stack, its addresses, and the functions' log as it grows."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dev.stack import keys
from dev.stack.config import StackConfig
from dev.stack.options import running
from dev.stack.stack import Stack

POLL_S = 0.1
HINT = "python -m dev send FILE.json"


def up(config: StackConfig) -> None:
    """Starts the stack and shows its log until Ctrl-C. Raises `click.ClickException` if a component dies."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        with running(config, lambda line: console.print(Text(f"  {line}", style="dim"))) as stack:
            console.print(addresses(stack))
            console.print(f"Post a sample with [bold]{HINT}[/]; stop with Ctrl-C. The functions' log:\n")
            _follow(stack, console)
    except KeyboardInterrupt:
        console.print("\nStopped. The data is kept; `make clean` deletes it.")


def addresses(stack: Stack) -> Table:
    """Returns a table of every URL and its purpose."""
    env, base = stack.env, stack.functions_url
    table = Table(box=None, pad_edge=False, header_style="bold")
    rows = [
        ("Webhook", f"{base}/api/webhooks/instagram", "GET verifies, POST takes signed webhooks"),
        (
            "Internal ingest",
            f"{base}/api/internal/ingest-event",
            _bearer(stack, "INTERNAL_API_SECRET", keys.INTERNAL_SECRET),
        ),
        ("Queue consumer", f"{base}/api/qstash/instagram-ingestion", "signed by QStash"),
        ("Failure callback", f"{base}/api/qstash/instagram-failure", "signed by QStash"),
        ("Health", f"{base}/api/health", ""),
        ("Data deletion", f"{base}/api/privacy/data-deletion", "signed by Meta"),
        ("Deauthorize", f"{base}/api/privacy/deauthorize", "signed by Meta"),
        ("Deletion status", f"{base}/api/privacy/deletion-status", "?code=, as data deletion answers it"),
        ("Sweep", f"{base}/api/cron/sweep", _bearer(stack, "CRON_SECRET", keys.CRON_SECRET)),
        ("Retention", f"{base}/api/cron/retention", _bearer(stack, "CRON_SECRET", keys.CRON_SECRET)),
        ("Token refresh", f"{base}/api/cron/refresh-tokens", _bearer(stack, "CRON_SECRET", keys.CRON_SECRET)),
        ("Supabase REST", f"{stack.supabase_url}/rest/v1", _supabase_note(stack)),
        ("Postgres", _dsn(stack), "psql and friends"),
        ("QStash", stack.qstash_url, ""),
        ("Instagram Graph", stack.graph_url, ""),
        ("Logs", str(stack.config.data_dir / "logs"), ""),
    ]
    if env["PUBLIC_URL"] != base:
        rows.insert(0, ("Meta's callback URL", f"{env['PUBLIC_URL']}/api/webhooks/instagram", "from PUBLIC_URL"))
    table.add_column("what", no_wrap=True, min_width=max(len(what) for what, _, _ in rows))
    # People click or copy an address: it may push the note out of a narrow window, but must not be broken.
    table.add_column("where", no_wrap=True, min_width=max(len(where) for _, where, _ in rows))
    table.add_column("note", style="dim", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _bearer(stack: Stack, name: str, local: str) -> str:
    """Returns how to call a route: with the laptop's public secret, or with the name of the user's own setting."""
    return f"Bearer {local if stack.env[name] == local else f'${name}'}"


def _supabase_note(stack: Stack) -> str:
    return f"apikey: {keys.SECRET_KEY}" if stack.local_database else "from SUPABASE_URL"


def _dsn(stack: Stack) -> str:
    return stack.dsn if stack.local_database else "(the project's own)"


def _follow(stack: Stack, console: Console) -> None:
    for line in _new_lines(stack.log_path("functions"), stack):
        console.print(Text(line))


def _new_lines(path: Path, stack: Stack) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace") as log:
        log.seek(0, os.SEEK_END)  # the lines so far come from the stack's own checks of readiness
        unfinished = ""
        while True:
            unfinished += log.read()
            *lines, unfinished = unfinished.split("\n")
            yield from lines
            dead = stack.dead()
            if dead:
                raise click.ClickException("\n".join(dead))
            if not lines:
                time.sleep(POLL_S)

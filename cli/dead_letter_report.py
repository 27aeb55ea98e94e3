"""How dead letters are shown: a list, one in full, a bar while many are worked off, a summary afterwards.

Knows terminals. People's words are shown by `show_content` alone, and whoever calls it was asked for them.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from cli.redriving import Tally
from lib.dead_letters.store import DeadLetter, Unfinished
from lib.recovery.redrive import DlqReview, LetterEnd

LISTED = 50
"""Failures and findings that are listed one by one; more of them have one cause."""


def show_list(console: Console, letters: list[DeadLetter], total: int) -> None:
    """Two lines a letter: its id, whole, to be copied; then what, whose, why and when, never what somebody wrote."""
    for letter in letters:
        console.print(Text(letter.source_message_id), soft_wrap=True)
        what = f"{letter.kind or '-':<8}  {letter.account_id or '-':<17}  {_moment(letter.failed_at)}"
        console.print(Text(f"  {what}  {_failure(letter)}  {_state(letter)}", "dim"), soft_wrap=True)
    if total > len(letters):
        console.print(f"and {total - len(letters)} more; --limit shows them.")


def show_letter(console: Console, letter: DeadLetter) -> None:
    """Everything about a letter but people's words."""
    tries = "-" if letter.retried is None else str(letter.retried + 1)
    most = "" if letter.max_retries is None else f" of {letter.max_retries + 1}"
    for name, value in (
        ("letter", letter.source_message_id),
        ("DLQ id", letter.dlq_id),
        ("event", letter.event_id),
        ("kind", letter.kind or "a foreign message: it can be looked at and discarded, not retried"),
        ("account", letter.account_id),
        ("sent to", letter.url),
        ("status", letter.status),
        ("error", letter.error_code),
        ("attempts", tries + most),
        ("first try", _moment(letter.first_tried_at)),
        ("failed", _moment(letter.failed_at)),
        ("state", _state(letter)),
        ("closed", _moment(letter.closed_at)),
    ):
        console.print(Text.assemble((f"{name:<11}", "dim"), str(value if value not in (None, "") else "-")))


def show_content(console: Console, letter: DeadLetter) -> None:
    """What somebody wrote: the event as JSON, or the foreign body as it came (control characters apart)."""
    if letter.event is not None:
        words = json.dumps(letter.event, ensure_ascii=False, indent=2)
    else:
        words = letter.body or "Nothing is kept of it any more."
    console.print(Text("".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in words)))


@contextlib.contextmanager
def progress(console: Console, total: int) -> Iterator[Callable[[], None]]:
    """Shows how far it has come each time it is called."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(*columns, console=console) as shown:
        task = shown.add_task("dead letters", total=total)
        yield lambda: shown.update(task, advance=1)


def show_tally(console: Console, tally: Tally, *, dry_run: bool) -> None:
    """The counts, then what failed."""
    for end in LetterEnd:
        if tally.ends[end]:
            console.print(f"{end.value:<20}{tally.ends[end]:>8}")
    if not tally.ends:
        console.print("No dead letters.")
    for letter_id, code in list(tally.failed.items())[:LISTED]:
        console.print(Text(f"failed: {letter_id}  {code}"), soft_wrap=True)
    for letter_id in tally.without_event[:LISTED]:
        console.print(Text(f"no event, can only be shown and discarded: {letter_id}"), soft_wrap=True)
    if tally.entries_left:
        console.print(f"Still in QStash's own queue: {tally.entries_left}; `find-lost` deletes them.")
    if dry_run:
        console.print("A dry run: nothing was sent or closed.")


def show_found(console: Console, found: DlqReview) -> None:
    """What lay at QStash."""
    console.print(
        f"QStash's dead letter queue: {len(found.stored)} without a letter, kept now; {found.waiting} with an open "
        f"one; {found.deleted} over, deleted now.",
        soft_wrap=True,
    )
    for letter_id in found.stored[:LISTED]:
        console.print(Text(f"kept: {letter_id}"), soft_wrap=True)
    if found.redacted:
        console.print(
            f"{len(found.redacted)} without a letter are hidden by QSTASH_REDACT_BODY; retry in Upstash's console:",
            soft_wrap=True,
        )
    for dlq_id in found.redacted[:LISTED]:
        console.print(Text(f"hidden: {dlq_id}"), soft_wrap=True)


def show_unfinished(console: Console, unfinished: Unfinished) -> None:
    """What the ledger has, and nobody has finished."""
    console.print(f"Recorded and never finished: {unfinished.total}.", end="")
    console.print(" The sweeper (/api/cron/sweep) takes them up." if unfinished.total else "")
    for row in unfinished.events:
        console.print(Text(f"{_moment(row.recorded_at)}  {row.kind}  {row.account_id}  {row.event_id}"), soft_wrap=True)


def _failure(letter: DeadLetter) -> str:
    status = str(letter.status) if letter.status else "no answer"
    return f"{status} {letter.error_code}" if letter.error_code else status


def _state(letter: DeadLetter) -> str:
    return "processed since" if letter.state == "open" and letter.is_processed else letter.state


def _moment(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M}"

"""How dead letters are shown: a list, one letter, a progress bar, a summary.

Only `show_content` shows what a person wrote.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from cli.dead_letters.work import Tally
from cli.failures import LISTED, show_failures
from lib.dead_letters.store import DeadLetter, Unfinished
from lib.recovery.redrive import DlqReview, LetterEnd


def show_list(console: Console, letters: list[DeadLetter], total: int) -> None:
    """Prints two lines for each letter: its whole id, to be copied; then its kind, account, time, error and state."""
    for letter in letters:
        console.print(Text(letter.source_message_id), soft_wrap=True)
        facts = f"{letter.kind or '-':<8}  {letter.account_id or '-':<17}  {_moment(letter.failed_at)}"
        console.print(Text(f"  {facts}  {_failure(letter)}  {_state(letter)}", "dim"), soft_wrap=True)
    if total > len(letters):
        console.print(f"and {total - len(letters)} more; --limit shows them.")


def show_letter(console: Console, letter: DeadLetter) -> None:
    """Prints every field of a letter but what a person wrote."""
    attempts = "-" if letter.retried is None else str(letter.retried + 1)
    limit = "" if letter.max_retries is None else f" of {letter.max_retries + 1}"
    for name, value in (
        ("letter", letter.source_message_id),
        ("DLQ id", letter.dlq_id),
        ("event", letter.event_id),
        ("kind", letter.kind or "a foreign message: show it or discard it; it cannot be retried"),
        ("account", letter.account_id),
        ("sent to", letter.url),
        ("status", letter.status),
        ("error", letter.error_code),
        ("attempts", attempts + limit),
        ("first try", _moment(letter.first_tried_at)),
        ("failed", _moment(letter.failed_at)),
        ("state", _state(letter)),
        ("closed", _moment(letter.closed_at)),
    ):
        console.print(Text.assemble((f"{name:<11}", "dim"), str(value if value not in (None, "") else "-")))


def show_content(console: Console, letter: DeadLetter) -> None:
    """Prints what a person wrote: the event as JSON, or the foreign body. Control characters are replaced."""
    if letter.event is not None:
        content = json.dumps(letter.event, ensure_ascii=False, indent=2)
    else:
        content = letter.body or "The content is no longer stored."
    console.print(Text("".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in content)))


@contextlib.contextmanager
def progress(console: Console, total: int) -> Iterator[Callable[[], None]]:
    """Yields a function to call after each letter."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("dead letters", total=total)
        yield lambda: bar.update(task, advance=1)


def show_tally(console: Console, tally: Tally, *, dry_run: bool) -> None:
    """Prints the counts, and then the failures."""
    for end in LetterEnd:
        if tally.ends[end]:
            console.print(f"{end.value:<20}{tally.ends[end]:>8}")
    if not tally.ends:
        console.print("No dead letters.")
    show_failures(console, tally.failed)
    for letter_id in tally.without_event[:LISTED]:
        console.print(Text(f"no event, can only be shown or discarded: {letter_id}"), soft_wrap=True)
    if tally.entries_left:
        console.print(f"Still in QStash's own queue: {tally.entries_left}; `find-lost` deletes them.")
    if dry_run:
        console.print("A dry run: nothing was sent or closed.")


def show_review(console: Console, review: DlqReview) -> None:
    """Prints what QStash's dead letter queue has."""
    console.print(
        f"QStash's dead letter queue: {len(review.stored)} without a letter, stored now; {review.waiting} with an "
        f"open letter; {review.deleted} done, deleted now.",
        soft_wrap=True,
    )
    for letter_id in review.stored[:LISTED]:
        console.print(Text(f"stored: {letter_id}"), soft_wrap=True)
    if review.redelivered:
        console.print(
            f"{len(review.redelivered)} were hidden by QSTASH_REDACT_BODY: QStash delivers them again now.",
            soft_wrap=True,
        )
    if review.redacted:
        console.print(
            f"{len(review.redacted)} are hidden by QSTASH_REDACT_BODY, and were refused for good; look into the "
            "Upstash Console:",
            soft_wrap=True,
        )
    for dlq_id in review.redacted[:LISTED]:
        console.print(Text(f"hidden: {dlq_id}"), soft_wrap=True)


def show_unfinished(console: Console, unfinished: Unfinished) -> None:
    """Prints the events that are recorded and not finished."""
    console.print(f"Recorded and not finished: {unfinished.total}.", end="")
    console.print(" The sweeper (/api/cron/sweep) finishes them." if unfinished.total else "")
    for row in unfinished.events:
        console.print(Text(f"{_moment(row.recorded_at)}  {row.kind}  {row.account_id}  {row.event_id}"), soft_wrap=True)


def _failure(letter: DeadLetter) -> str:
    status = str(letter.status) if letter.status else "no answer"
    return f"{status} {letter.error_code}" if letter.error_code else status


def _state(letter: DeadLetter) -> str:
    if letter.state == "open" and letter.is_processed:
        return "processed since"
    return "retried, waiting" if letter.state == "open" and letter.retried_at is not None else letter.state


def _moment(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M}"

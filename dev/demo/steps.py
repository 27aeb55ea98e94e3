"""The steps of the demonstration, in order, and the text of each."""

import time
from collections.abc import Sequence
from random import Random
from statistics import median

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dev.demo import counts, tables
from dev.demo.pipeline import Pipeline
from dev.demo.progress import progress
from dev.demo.story import PEOPLE, RULES, Post, tell
from dev.send.webhook import Answer

SHUFFLE_SEED = 1
INDENT = (0, 0, 0, 2)


def heading(console: Console, text: str) -> None:
    """Prints the heading of a step."""
    console.print()
    console.print(Text(text, "bold"))


class Steps:
    """One run of the demonstration. The account has nothing in its tables yet."""

    def __init__(self, console: Console, pipeline: Pipeline) -> None:
        self._console = console
        self._pipeline = pipeline
        self._story = tell(time.time_ns() // 1_000_000)
        self._answers: list[Answer] = []
        self._changed: list[str] = []

    def run(self) -> int:
        """Runs all steps. Returns the exit status: 0 if every count is right."""
        self._pipeline.introduce(PEOPLE, self._story.commenters)
        self._pipeline.add_rules(RULES)
        self._post_everything()
        self._show_what_landed()
        self._post_everything_again()
        self._post_without_qstash()
        return self._conclude()

    def _post_everything(self) -> None:
        posts = self._story.posts
        heading(self._console, f"{len(posts)} webhooks are posted, signed as Meta signs them")
        events = counts.expected(posts, direct=0, echoes=self._pipeline.echoes)["events processed"]
        answers = self._post(posts, f"{{}} of {events} events landed")
        shown = self._lines(posts, answers)
        self._show(tables.events_table(shown))
        times = [line.ms for line in shown if line.ms is not None]
        if times:
            self._say(
                f"ms: from the post to processed_at; {median(times):.0f} in the median, {max(times):.0f} at most."
            )

    def _show_what_landed(self) -> None:
        profiles, messages, outbox = map(self._pipeline.rows, (tables.PROFILES, tables.MESSAGES, tables.OUTBOX))
        heading(self._console, "Table profiles: who wrote")
        self._show(tables.profiles_table(profiles))
        newest = messages[: tables.NEWEST_MESSAGES]
        how_many = (
            f"all {len(messages)}" if len(newest) == len(messages) else f"the newest {len(newest)} of {len(messages)}"
        )
        heading(self._console, f"Table messages: {how_many}, as they stand now")
        self._show(tables.messages_table(newest))
        heading(self._console, f"Table outbox: what the {len(RULES)} reply rules made us send")
        self._show(tables.outbox_table(outbox))

    def _post_everything_again(self) -> None:
        posts = [*self._story.posts, *self._story.posts]
        Random(SHUFFLE_SEED).shuffle(posts)
        heading(self._console, "Everything again, twice and shuffled, to a QStash that remembers nothing of it")
        self._pipeline.forget_deduplication()
        self._pipeline.new_log_lines()
        before = self._pipeline.snapshot()
        self._post(posts, "{} events in the ledger")
        after = self._pipeline.snapshot()
        self._changed = counts.differences(before, after)
        self._say(self._repetitions(sum(len(post.events) for post in posts)))
        same = f"Nothing changed: {sum(map(len, after.values()))} rows in {len(after)} tables, equal in every column."
        self._say("\n".join(self._changed) or same, "red" if self._changed else "green")

    def _repetitions(self, events: int) -> str:
        log = self._pipeline.new_log_lines()
        dropped = sum(line.get("outcome") == "deduplicated" for line in log)
        duplicates = sum(line.get("outcome") == "duplicate" for line in log)
        return (
            f"{events} events: QStash dropped {dropped} by their deduplication id; "
            f"of the {events - dropped} it delivered, the ledger knew {duplicates} (outcome: duplicate)."
        )

    def _post_without_qstash(self) -> None:
        heading(self._console, "QStash is stopped, and one more message comes: it is processed directly")
        self._pipeline.stop_qstash()
        self._pipeline.new_log_lines()
        latecomer = self._story.latecomer
        answers = [self._pipeline.post(latecomer.body)]
        self._pipeline.wait_until_quiet(lambda: None)
        self._answers += answers
        self._show(tables.events_table(self._lines([latecomer], answers)))
        ours = {event.event_id for event in latecomer.events}
        log = [
            line for line in self._pipeline.new_log_lines() if line["level"] != "info" or line.get("event_id") in ours
        ]
        self._say("In the functions' log:")
        self._show(tables.log_table(log))

    def _conclude(self) -> int:
        posts = [*self._story.posts, self._story.latecomer]
        expected = counts.expected(posts, direct=len(self._story.latecomer.events), echoes=self._pipeline.echoes)
        actual = counts.found(self._pipeline.snapshot(), self._pipeline.sent(), posts)
        verdict = counts.verdict(
            {"webhooks answered 200": len(self._answers), "tables changed by the repetition": 0, **expected},
            {
                "webhooks answered 200": sum(answer.ok for answer in self._answers),
                "tables changed by the repetition": len(self._changed),
                **actual,
            },
        )
        self._console.print()
        self._say(f'To look around in the data: make dev ARGS="--data-dir {self._pipeline.data_dir}"')
        self._console.print()
        self._console.print(Text(verdict.text, "bold green" if verdict.exit_code == 0 else "bold red"))
        return verdict.exit_code

    def _lines(self, posts: Sequence[Post], answers: Sequence[Answer]) -> list[tables.Line]:
        ledger = {row["event_id"]: row for row in self._pipeline.rows(tables.EVENTS)}
        dead = frozenset(row["event_id"] for row in self._pipeline.rows(tables.DEAD_LETTERS))
        return [
            line
            for post, answer in zip(posts, answers, strict=True)
            for line in tables.lines(post, answer, ledger, dead)
        ]

    def _post(self, posts: Sequence[Post], landed: str) -> list[Answer]:
        """Posts one after the other and waits until nothing is under way. `landed` has a `{}` for the number landed."""
        answers: list[Answer] = []
        with progress(self._console, len(posts)) as tick:

            def show() -> None:
                tick(len(answers), landed.format(self._pipeline.landed()))

            for post in posts:
                answers.append(self._pipeline.post(post.body))
                show()
            self._pipeline.wait_until_quiet(show)
        self._answers += answers
        return answers

    def _show(self, table: Table) -> None:
        self._console.print(Padding(table, INDENT, expand=False))

    def _say(self, text: str, style: str = "dim") -> None:
        self._console.print(Padding(Text(text, style), INDENT, expand=False))

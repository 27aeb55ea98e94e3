"""The line that moves while webhooks are posted and land; a few plain lines where nothing can move.

Knows terminals. Must not know what lands.
"""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

Tick = Callable[[int, str], None]
"""Called with how many webhooks are posted, and what has come of them so far."""


@contextlib.contextmanager
def progress(console: Console, posts: int) -> Iterator[Tick]:
    """Shows how far `posts` webhooks have come. The last state stays on the screen."""
    if not console.is_terminal or console.is_dumb_terminal:
        plain = _Plain(console, posts)
        yield plain.tick
        plain.close()
        return
    columns = (
        TextColumn("  {task.completed:.0f} of {task.total:.0f} webhooks posted"),
        BarColumn(bar_width=24, complete_style="green", finished_style="green"),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console) as shown:
        task = shown.add_task("", total=posts)
        yield lambda posted, landed: shown.update(task, completed=posted, description=landed)


class _Plain:
    """A line when half is posted, one when all is, and one for how it ended."""

    def __init__(self, console: Console, posts: int) -> None:
        self._console = console
        self._posts = posts
        self._halves = 0
        self._line = self._said = ""

    def tick(self, posted: int, landed: str) -> None:
        """Says it if another half is posted."""
        self._line = f"  {posted} of {self._posts} webhooks posted, {landed}"
        if posted * 2 // self._posts > self._halves:
            self._halves += 1
            self._say()

    def close(self) -> None:
        """Says how it ended, if that was not said."""
        if self._line != self._said:
            self._say()

    def _say(self) -> None:
        self._said = self._line
        self._console.print(self._line)

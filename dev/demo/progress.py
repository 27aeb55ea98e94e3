"""Shows how far posts have come: a moving line on a terminal, a few plain lines elsewhere."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

Tick = Callable[[int, str], None]
"""Called with the number of posted webhooks and of landed events."""


@contextlib.contextmanager
def progress(console: Console, posts: int) -> Iterator[Tick]:
    """Yields a function that shows how far `posts` webhooks have come. The last state stays on the screen."""
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
    """Prints a line when half of the posts are made, one when all are made, and one at the end."""

    def __init__(self, console: Console, posts: int) -> None:
        self._console = console
        self._posts = posts
        self._halves = 0
        self._line = self._said = ""

    def tick(self, posted: int, landed: str) -> None:
        """Prints a line if another half of the posts is made."""
        self._line = f"  {posted} of {self._posts} webhooks posted, {landed}"
        if posted * 2 // self._posts > self._halves:
            self._halves += 1
            self._say()

    def close(self) -> None:
        """Prints the last state, unless it was printed."""
        if self._line != self._said:
            self._say()

    def _say(self) -> None:
        self._said = self._line
        self._console.print(self._line)

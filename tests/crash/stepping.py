"""Coroutines driven by hand, so that a process can end at any one of its await points."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Generator, Iterator
from functools import partial
from types import FrameType
from typing import Any, Literal, TypeAlias, TypeVar

Result = TypeVar("Result")

Side: TypeAlias = Literal["before", "after"]
"""Of an await point. before: what was to be written is written, nothing has come back. after: what was waited for has
come, nothing was made of it.
"""


class Stepper:
    """Runs a coroutine and every task it starts, and tells `reached` each side of each await point, numbered from 1."""

    def __init__(self, reached: Callable[[int, Side], None]) -> None:
        self._reached = reached
        self._points = 0
        self._main: Coroutine[Any, Any, Any] | None = None

    def run(self, main: Coroutine[Any, Any, Result]) -> Result:
        """What `main` returns."""
        self._main = main
        with asyncio.Runner() as runner:
            runner.get_loop().set_task_factory(self._task)
            return runner.run(main)

    def waiting(self) -> list[FrameType]:
        """The frames of `main`, outermost first, down to where it waits."""
        return list(_frames(self._main))

    def _task(
        self, loop: asyncio.AbstractEventLoop, coro: Any, *, context: contextvars.Context | None = None
    ) -> asyncio.Task[Any]:
        return asyncio.Task(self._stepped(coro), loop=loop, context=context)

    async def _stepped(self, coro: Coroutine[Any, Any, Any]) -> Any:
        return await _Steps(coro, self)

    def before(self) -> int:
        """A new point. Returns its number."""
        self._points += 1
        self._reached(self._points, "before")
        return self._points

    def after(self, point: int) -> None:
        """Past `point`."""
        self._reached(point, "after")


class _Steps:
    """Awaits `coro`, one step at a time."""

    def __init__(self, coro: Coroutine[Any, Any, Any], stepper: Stepper) -> None:
        self._coro = coro
        self._stepper = stepper

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[], Any] = partial(self._coro.send, None)
        while True:
            try:
                awaited = step()
            except StopIteration as ended:
                return ended.value
            point = self._stepper.before()
            try:
                come = yield awaited
            except BaseException as error:
                step = partial(self._coro.throw, error)
            else:
                step = partial(self._coro.send, come)
            self._stepper.after(point)


def _frames(coro: Any) -> Iterator[FrameType]:
    while (frame := getattr(coro, "cr_frame", None)) is not None:
        yield frame
        coro = coro.cr_await

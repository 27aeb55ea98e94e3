"""Queues: ordered lines of messages, each with its own number of consumers.

A message keeps its place, also through retries, until it is delivered or has failed for good. So a queue of
parallelism 1 is first in, first out. Source: Upstash, features/queues and API reference, "Queues".
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from dev.qstash.config import Config
from dev.qstash.destinations import check_name
from dev.qstash.errors import ApiError, bad_request, not_found
from dev.qstash.lanes import Gate, Lane
from dev.qstash.limits import Limits
from dev.qstash.message import Json


@dataclass
class Queue:
    """One queue."""

    name: str
    gate: Gate
    created_at_ms: int
    updated_at_ms: int


class Queues:
    """All queues by name. `lag` returns the number of unfinished messages of a queue."""

    def __init__(self, config: Config, lag: Callable[[str], int]) -> None:
        self._config = config
        self._lag = lag
        self._queues: dict[str, Queue] = {}

    def ensure(self, name: str) -> None:
        """Creates the queue, with parallelism 1, if there is none: a message may be enqueued to any name."""
        if name not in self._queues:
            self.upsert(name, parallelism=1)

    def gate(self, name: str) -> Gate:
        """Where the messages of a queue wait."""
        self.ensure(name)
        return self._queues[name].gate

    def upsert(self, name: str, *, parallelism: int, paused: bool | None = None) -> None:
        """Creates or changes. Raises `ApiError` 400 for a bad name, 412 for a bad parallelism."""
        checked_queue_name(name)
        if parallelism < 1:
            raise ApiError(412, "queue parallelism must be greater than 0")
        now_ms = int(time.time() * 1000)
        queue = self._queues.get(name)
        if queue is None:
            gate = Gate(Lane(Limits(), self._config.time_scale))
            queue = self._queues[name] = Queue(name, gate, now_ms, now_ms)
        queue.updated_at_ms = now_ms
        queue.gate.lane.limits = Limits(parallelism=parallelism)
        if paused is not None:
            queue.gate.lane.paused = paused
        queue.gate.pump()

    def set_paused(self, name: str, paused: bool) -> None:
        """Pauses or resumes a queue. Raises `ApiError` 404 if there is no such queue."""
        queue = self._existing(name)
        queue.gate.lane.paused = paused
        queue.updated_at_ms = int(time.time() * 1000)
        queue.gate.pump()

    def get(self, name: str) -> Json:
        """The schema `Queue`. Raises `ApiError` 404."""
        return self._show(self._existing(name))

    def list(self) -> list[Json]:
        """All queues, in the order of their creation."""
        return [self._show(queue) for queue in self._queues.values()]

    def delete(self, name: str) -> None:
        """Forgets the queue. The caller cancels its waiting messages."""
        queue = self._queues.pop(checked_queue_name(name), None)
        if queue is not None:
            queue.gate.close()

    def reset(self) -> None:
        """Forgets all queues."""
        for name in list(self._queues):
            self.delete(name)

    def _existing(self, name: str) -> Queue:
        if checked_queue_name(name) not in self._queues:
            raise not_found("queue", name)
        return self._queues[name]

    def _show(self, queue: Queue) -> Json:
        return {
            "name": queue.name,
            "createdAt": queue.created_at_ms,
            "updatedAt": queue.updated_at_ms,
            "parallelism": queue.gate.lane.limits.parallelism or 1,
            "lag": self._lag(queue.name),
            "paused": queue.gate.lane.paused,
        }


def checked_queue_name(name: str) -> str:
    """Returns the name, or raises `ApiError` 400."""
    try:
        return check_name(name, "queue names")
    except ValueError as error:
        raise bad_request(str(error)) from None

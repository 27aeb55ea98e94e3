"""The life of accepted messages: waiting, delivery, retries, and how each one ends.

Each message is a task. Every wait goes through the time scale.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Literal

from dev.qstash.backoff import retry_delay_s
from dev.qstash.callbacks import callback, failure_callback
from dev.qstash.config import Config
from dev.qstash.consumer import Consumer
from dev.qstash.dlq import DeadLetters
from dev.qstash.faults import Faults
from dev.qstash.flow import FlowControl
from dev.qstash.logs import Logs, State
from dev.qstash.message import Answer, Json, Message
from dev.qstash.queues import Queues

Phase = Literal["delayed", "pending", "active", "waiting_retry"]
End = Literal["delivered", "failed", "cancelled"]

SHUFFLE_S = 0.1
"""Under the shuffle fault each delivery waits a random part of this time, unscaled."""

_log = logging.getLogger(__name__)


@dataclass
class Job:
    """An unfinished message. `due_ms` is when its next delivery is planned. `hastened`: its delay was cut short."""

    message: Message
    due_ms: int
    phase: Phase = "pending"
    retried: int = 0
    cancel_requested: bool = False
    task: asyncio.Task[None] | None = field(default=None, repr=False)
    hastened: asyncio.Event = field(default_factory=asyncio.Event, repr=False)


class Engine:
    """All unfinished messages. Must be made inside a running event loop."""

    def __init__(
        self,
        config: Config,
        *,
        consumer: Consumer,
        flow: FlowControl,
        logs: Logs,
        dlq: DeadLetters,
        faults: Faults,
    ) -> None:
        self._config = config
        self._consumer = consumer
        self._flow = flow
        self._logs = logs
        self._dlq = dlq
        self._faults = faults
        self.queues = Queues(config, self._lag)
        self._room = asyncio.Semaphore(config.concurrency)
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._phases: Counter[Phase] = Counter()
        self._ends: Counter[End] = Counter()
        self._queued: Counter[str] = Counter()
        self._deliveries = 0
        self._extra = 0
        self.on_end: list[Callable[[Message, End], None]] = []

    # What other modules call.

    def accept(self, message: Message, delay_s: float = 0.0) -> None:
        """Takes a message over. `delay_s` is unscaled."""
        now_ms = _now_ms()
        wait_s = self._config.asked_delay_s(delay_s)
        phase: Phase = "delayed" if self._config.keep_delays and wait_s else "pending"
        job = Job(message, due_ms=now_ms + int(wait_s * 1000), phase=phase)
        self._jobs[message.message_id] = job
        self._phases[phase] += 1
        if message.queue_name is not None:
            self.queues.ensure(message.queue_name)
            self._queued[message.queue_name] += 1
        self._logs.add(now_ms, message, State.CREATED, next_delivery_ms=job.due_ms)
        job.task = self._spawn(self._live(job, wait_s))

    def hasten(self) -> int:
        """Ends every delay that a publisher asked for. Returns how many there were."""
        delayed = [job for job in self._jobs.values() if job.phase == "delayed"]
        for job in delayed:
            self._move(job, "pending")
            job.hastened.set()
        return len(delayed)

    def unfinished(self) -> Iterator[Job]:
        """Every unfinished message, oldest first."""
        return iter(list(self._jobs.values()))

    def find(self, message_id: str) -> Job | None:
        """Returns an unfinished message, or None. Finished messages are gone, as on the hosted service."""
        return self._jobs.get(message_id)

    def cancel(self, message_id: str) -> bool:
        """Stops a message. If it is being delivered now, it is only not retried. Returns whether it was there."""
        job = self._jobs.get(message_id)
        if job is None:
            return False
        self._logs.add(_now_ms(), job.message, State.CANCEL_REQUESTED)
        if job.phase == "active":
            job.cancel_requested = True
        elif job.task is not None:
            job.task.cancel()
            self._end(job, "cancelled", State.CANCELED)
        return True

    def state(self) -> Json:
        """Returns counts. Idle means: nothing is pending, active or waiting for a retry."""
        return {
            "delayed": self._phases["delayed"],
            "pending": self._phases["pending"],
            "active": self._phases["active"] + self._extra,
            "waiting_retry": self._phases["waiting_retry"],
            "delivered": self._ends["delivered"],
            "failed": self._ends["failed"],
            "cancelled": self._ends["cancelled"],
            "deliveries": self._deliveries,
            "dlq": len(self._dlq),
            "idle": len(self._jobs) == self._phases["delayed"] and not self._extra,
        }

    async def stop(self) -> None:
        """Ends every task and forgets every message; the counts begin anew."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._jobs.clear()
        for counter in (self._phases, self._ends, self._queued):
            counter.clear()
        self._deliveries = self._extra = 0
        self.queues.reset()

    # The life of one message.

    async def _live(self, job: Job, delay_s: float) -> None:
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(job.hastened.wait(), delay_s)
            self._move(job, "pending")
            async with AsyncExitStack() as stack:
                if job.message.queue_name is not None:
                    await self._disturb()
                    await stack.enter_async_context(self.queues.gate(job.message.queue_name).inside())
                await self._deliver_until_done(job)
        except Exception:  # a bug of the stand-in: it must show, and must not leave the message open for ever
            _log.exception("a message ended in an internal error")
            self._end(job, "failed", State.FAILED)

    async def _deliver_until_done(self, job: Job) -> None:
        message = job.message
        while True:
            answer = await self._attempt(job)
            self._accept_if(callback(message, answer, retried=job.retried, now_ms=_now_ms()))
            if answer.ok:
                self._end(job, "delivered", State.DELIVERED, answer)
                return
            if job.cancel_requested:
                self._end(job, "cancelled", State.CANCELED, answer)
                return
            if answer.stops_retries or job.retried >= message.options.retries:
                self._fail(job, answer)
                return
            await self._wait_for_retry(job, answer)

    async def _attempt(self, job: Job) -> Answer:
        message = job.message
        await self._disturb()
        async with self._admitted(message):
            self._move(job, "active")
            self._logs.add(_now_ms(), message, State.ACTIVE)
            if job.retried == 0:
                for _ in range(self._faults.delivery.duplicate):
                    self._extra += 1
                    self._spawn(self._deliver_extra(message))
            self._deliveries += 1
            answer = await self._consumer.deliver(message, job.retried, at=self._faults.address(message.url))
            if job.retried < self._faults.delivery.drop_answers:
                return Answer(error="the answer of the destination was lost (fault)")
            return answer

    async def _deliver_extra(self, message: Message) -> None:
        """Delivers the same message again and ignores the answer: QStash promises at least one delivery."""
        try:
            await self._disturb()
            async with self._admitted(message):
                self._deliveries += 1
                await self._consumer.deliver(message, 0, at=self._faults.address(message.url))
        finally:
            self._extra = max(0, self._extra - 1)

    @contextlib.asynccontextmanager
    async def _admitted(self, message: Message) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            options = message.options
            if options.flow_key is not None and options.limits is not None:
                await stack.enter_async_context(self._flow.existing_gate(options.flow_key, options.limits).inside())
            await stack.enter_async_context(self._room)
            yield

    async def _wait_for_retry(self, job: Job, answer: Answer) -> None:
        retry = job.retried + 1
        delay_s = retry_delay_s(
            retry,
            expression=job.message.options.retry_delay,
            headers=dict(answer.headers),
            now_s=time.time(),
        )
        scaled_s = self._config.scaled_s(delay_s)
        now_ms = _now_ms()
        job.due_ms = now_ms + int(scaled_s * 1000)
        self._logs.add(now_ms, job.message, State.ERROR, answer=answer, next_delivery_ms=job.due_ms)
        self._logs.add(now_ms, job.message, State.RETRY, next_delivery_ms=job.due_ms)
        self._move(job, "waiting_retry")
        await asyncio.sleep(scaled_s)
        job.retried = retry

    def _fail(self, job: Job, answer: Answer) -> None:
        message, now_ms = job.message, _now_ms()
        self._logs.add(now_ms, message, State.ERROR, answer=answer)
        letter = self._dlq.add(message, answer, now_ms)
        report = failure_callback(message, answer, retried=job.retried, dlq_id=letter.dlq_id, now_ms=now_ms)
        self._accept_if(report)
        self._end(job, "failed", State.FAILED, answer)

    async def _disturb(self) -> None:
        faults = self._faults.delivery
        wait_s = faults.delay_ms / 1000 + (random.random() * SHUFFLE_S if faults.shuffle else 0.0)
        if wait_s:
            await asyncio.sleep(wait_s)

    # Bookkeeping.

    def _accept_if(self, message: Message | None) -> None:
        if message is not None:
            self.accept(message, message.options.delay_s)

    def _move(self, job: Job, phase: Phase) -> None:
        self._phases[job.phase] -= 1
        self._phases[phase] += 1
        job.phase = phase

    def _end(self, job: Job, end: End, state: State, answer: Answer | None = None) -> None:
        message = job.message
        if self._jobs.pop(message.message_id, None) is None:
            return
        self._phases[job.phase] -= 1
        self._ends[end] += 1
        if message.queue_name is not None:
            self._queued[message.queue_name] -= 1
        shown = answer if answer and not answer.ok else None
        self._logs.add(_now_ms(), message, state, answer=shown)
        for listener in self.on_end:
            listener(message, end)

    def _lag(self, queue: str) -> int:
        return self._queued[queue]

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _now_ms() -> int:
    return int(time.time() * 1000)

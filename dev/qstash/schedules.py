"""Schedules: messages that are published whenever their cron expression says so. Each schedule is a task.

Under a time scale a schedule's own calendar runs fast: at 0.001 a minute of it takes 60 ms.
Source: Upstash, features/schedules and API reference, "Schedules".
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dev.qstash.config import Config
from dev.qstash.cron import Cron
from dev.qstash.errors import ApiError, not_found
from dev.qstash.message import Json, Message, present, show_options, shown_body
from dev.qstash.options import Options
from dev.qstash.publisher import Accepted, Submission
from dev.qstash.redaction import hidden

# The engine's words for the end of a message, and those of `lastScheduleStates`.
_STATES = {"delivered": "SUCCESS", "failed": "FAIL", "cancelled": "FAIL"}


MIN_WAIT_S = 0.001
"""However fast the calendar runs, other tasks get their turn."""


@dataclass
class Schedule:
    """One schedule. Times are Unix milliseconds of its own calendar, which starts at the real time."""

    schedule_id: str
    cron: Cron
    submission: Submission
    options: Options
    created_at_ms: int
    paused: bool = False
    last_ms: int | None = None
    next_ms: int | None = None
    states: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Schedules:
    """All schedules by id."""

    def __init__(self, config: Config, publish: Callable[[Submission], Accepted]) -> None:
        self._config = config
        self._publish = publish
        self._schedules: dict[str, Schedule] = {}

    def put(self, schedule_id: str, cron: Cron, submission: Submission, options: Options) -> None:
        """Creates a schedule, or replaces the settings of the one with this id."""
        old = self._schedules.get(schedule_id)
        if old is not None:
            self._stop(old)
        schedule = Schedule(
            schedule_id,
            cron,
            submission,
            options,
            created_at_ms=old.created_at_ms if old else int(time.time() * 1000),
            paused=old.paused if old else False,
        )
        self._schedules[schedule_id] = schedule
        schedule.task = asyncio.get_running_loop().create_task(self._run(schedule))

    def get(self, schedule_id: str) -> Json:
        """The schema `Schedule`. Raises `ApiError` 404."""
        return show_schedule(self._existing(schedule_id))

    def list(self) -> list[Json]:
        """All schedules, oldest first."""
        return [show_schedule(schedule) for schedule in self._schedules.values()]

    def set_paused(self, schedule_id: str, paused: bool) -> None:
        """A paused schedule lets its moments pass."""
        self._existing(schedule_id).paused = paused

    def delete(self, schedule_id: str) -> None:
        """Raises `ApiError` 404."""
        self._stop(self._existing(schedule_id))
        del self._schedules[schedule_id]

    def note_end(self, message: Message, end: str) -> None:
        """Notes how a message ended, if it came from the last run of a schedule."""
        schedule = self._schedules.get(message.schedule_id or "")
        if schedule is not None and message.message_id in schedule.states:
            schedule.states[message.message_id] = _STATES[end]

    async def stop(self) -> None:
        """Ends every schedule and forgets it."""
        tasks = [schedule.task for schedule in self._schedules.values() if schedule.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._schedules.clear()

    async def _run(self, schedule: Schedule) -> None:
        now_s = time.time()
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while (next_s := schedule.cron.next_after_s(now_s)) is not None:
            schedule.next_ms = int(next_s * 1000)
            # Counted from the time the last run was due, so that delays do not add up.
            due_s += self._config.scaled_s(next_s - now_s)
            await asyncio.sleep(max(MIN_WAIT_S, due_s - loop.time()))
            now_s = next_s
            if not schedule.paused:
                self._fire(schedule, int(next_s * 1000))

    def _fire(self, schedule: Schedule, moment_ms: int) -> None:
        schedule.last_ms = moment_ms
        try:
            accepted = self._publish(schedule.submission)
        except ApiError as error:  # the URL group was deleted meanwhile; the next run may find it again
            schedule.error = error.message
            return
        schedule.error = None
        schedule.states = {receipt.message_id: "IN_PROGRESS" for receipt in accepted.receipts}

    def _existing(self, schedule_id: str) -> Schedule:
        if schedule_id not in self._schedules:
            raise not_found("schedule", schedule_id)
        return self._schedules[schedule_id]

    @staticmethod
    def _stop(schedule: Schedule) -> None:
        if schedule.task is not None:
            schedule.task.cancel()


def show_schedule(schedule: Schedule) -> Json:
    """Returns the schema `Schedule`, with further fields that the SDK reads."""
    options, submission = schedule.options, schedule.submission
    hide_body = options.redaction.body and submission.body
    return present(
        {
            "scheduleId": schedule.schedule_id,
            "cron": schedule.cron.text,
            "destination": submission.destination,
            "createdAt": schedule.created_at_ms,
            **show_options(options),
            **({"body": hidden(submission.body)} if hide_body else shown_body(submission.body)),
            "retries": options.retries,
            "delay": int(options.delay_s) or None,
            "timeout": None if options.timeout_s is None else int(options.timeout_s),
            "queueName": submission.queue_name,
            # `callerIp` in the documentation, `callerIP` in the SDK.
            "callerIp": submission.caller_ip,
            "callerIP": submission.caller_ip,
            "isPaused": schedule.paused,
            "lastScheduleTime": schedule.last_ms,
            "nextScheduleTime": schedule.next_ms,
            "lastScheduleStates": dict(schedule.states) or None,
            "error": schedule.error,
        }
    )

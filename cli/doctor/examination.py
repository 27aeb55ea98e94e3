"""The list of checks. Each runs as soon as the checks that it needs have passed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeAlias

from cli.doctor import database, front_door, graph, pipe, qstash
from cli.doctor.case import Case
from cli.doctor.finding import Finding, fail, skipped
from lib.errors.classify import classify

Show: TypeAlias = Callable[[str, Finding], None]


class Check(NamedTuple):
    """A check. `needs` are checks that have to pass first: without them it would only say the same again."""

    run: Callable[[Case], Awaitable[Finding]]
    needs: tuple[str, ...] = ()


CHECKS = {
    "settings": Check(front_door.settings),
    "deployment": Check(front_door.deployment),
    "health": Check(front_door.health, ("settings", "deployment")),
    "handshake": Check(front_door.handshake, ("settings", "deployment")),
    "signature": Check(front_door.signature, ("settings", "deployment")),
    "qstash": Check(qstash.token, ("settings",)),
    "consumer": Check(qstash.consumer, ("settings", "deployment")),
    "consumer keys": Check(qstash.consumer_keys, ("qstash", "consumer")),
    "sweep": Check(qstash.sweep_schedule, ("qstash",)),
    "dead letters": Check(qstash.dead_letters, ("qstash",)),
    "pipe": Check(pipe.whole_pipe, ("signature", "database")),
    "database": Check(database.version, ("settings",)),
    "closed": Check(database.closed, ("database",)),
    "rules": Check(database.rules, ("database",)),
    "graph": Check(graph.token, ("settings",)),
    "accounts": Check(graph.accounts, ("database",)),
    "subscriptions": Check(graph.subscriptions, ("database", "graph")),
}


async def examine(case: Case, show: Show) -> dict[str, Finding]:
    """Returns the findings by the names of their checks. Calls `show` with each finding as its check ends."""
    tasks: dict[str, asyncio.Task[Finding]] = {}

    async def work(name: str, check: Check) -> Finding:
        finding = await _run(check, tasks, case)
        show(name, finding)
        return finding

    # Every task exists before the first one runs, so that each can wait for the checks it needs.
    tasks.update({name: asyncio.create_task(work(name, check)) for name, check in CHECKS.items()})
    try:
        return {name: await task for name, task in tasks.items()}
    finally:
        await case.close()


async def _run(check: Check, tasks: dict[str, asyncio.Task[Finding]], case: Case) -> Finding:
    needed = {name: await tasks[name] for name in check.needs}
    broken = [name for name, finding in needed.items() if finding.state in ("fail", "skipped")]
    if broken:
        return skipped(f"needs the checks that failed: {', '.join(broken)}")
    try:
        return await check.run(case)
    except Exception as error:
        verdict = classify(error)
        return fail(
            f"the check failed with {verdict.code} ({type(error).__name__})",
            cause=f"{verdict.message}.",
            fix="Try again. If it stays, the service is down, or the setting with its address is wrong.",
        )

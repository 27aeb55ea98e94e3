"""All checks, each as soon as what it needs is in order.

Knows which checks there are and what each needs. Must not know how a finding is shown.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeAlias

from cli.doctor import database, front_door, graph, pipe, qstash
from cli.doctor.case import Case
from cli.doctor.finding import Finding, fail, skipped
from lib.errors.classify import classify

Show: TypeAlias = Callable[[str, Finding], None]


class Check(NamedTuple):
    """`needs` are the checks without which this one could only say the same again."""

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
    "pipe": Check(pipe.whole_pipe, ("signature", "database")),
    "database": Check(database.version, ("settings",)),
    "closed": Check(database.closed, ("database",)),
    "graph": Check(graph.token, ("settings",)),
    "accounts": Check(graph.accounts, ("database",)),
    "subscriptions": Check(graph.subscriptions, ("database", "graph")),
}


async def examine(case: Case, show: Show) -> dict[str, Finding]:
    """What each check comes to, by its name; `show` is told each as it ends."""
    tasks: dict[str, asyncio.Task[Finding]] = {}

    async def work(name: str, check: Check) -> Finding:
        finding = await _one(check, tasks, case)
        show(name, finding)
        return finding

    tasks.update({name: asyncio.create_task(work(name, check)) for name, check in CHECKS.items()})
    try:
        return {name: await task for name, task in tasks.items()}
    finally:
        await case.close()


async def _one(check: Check, tasks: dict[str, asyncio.Task[Finding]], case: Case) -> Finding:
    needed = {name: await tasks[name] for name in check.needs}
    broken = [name for name, finding in needed.items() if finding.state in ("fail", "skipped")]
    if broken:
        return skipped(f"it needs {', '.join(broken)} to be in order")
    try:
        return await check.run(case)
    except Exception as error:
        verdict = classify(error)
        return fail(
            f"the check ended with {verdict.code} ({type(error).__name__})",
            cause=f"{verdict.message}.",
            fix="Try again; if it stays, whoever is asked is away, or a setting with its address is wrong.",
        )

"""The published price lists, as read on one day, and the cost of a month by them."""

from collections.abc import Mapping
from dataclasses import dataclass

READ_ON = "2026-11-24"
MONTHS = (10_000, 1_000_000, 100_000_000)
DAYS = 30
GB = 1e9

INVOCATION, CPU_HOUR, MEMORY_GB_HOUR, VERCEL_PRO = 0.60 / 1e6, 0.128, 0.0106, 20.0
"""Vercel, "Fluid compute pricing", region iad1. A Pro seat includes as much credit as it costs."""

VERCEL_HOBBY_INVOCATIONS, VERCEL_HOBBY_CPU_HOURS, VERCEL_HOBBY_GB_HOURS = 1e6, 4, 360
MEMORY_GB = 2.0
"""The size of Vercel's standard instance."""

QSTASH_MESSAGE, QSTASH_FREE_A_DAY = 1 / 100_000, 1_000
SWEEPS_A_DAY = 24 * 6
"""A QStash schedule calls the sweeper every ten minutes. Each sweep is one message and one invocation."""

QSTASH_FIXED = ((1_000_000, 180.0), (10_000_000, 420.0))
"""Upstash, "QStash pricing": pay as you go, free up to a daily number; fixed plans by messages a day."""

SUPABASE_PRO, DISK_GB, DISK_INCLUDED_GB, FREE_GB = 25.0, 0.125, 8.0, 0.5
"""Supabase, "Pricing": a month of Pro with a Micro instance, and a gigabyte of disk beyond the included ones."""


@dataclass(frozen=True)
class Used:
    """The use of one event, on average. `busy_s` counts its requests to the functions, from beginning to answer."""

    invocations: float
    qstash_messages: float
    cpu_s: float
    busy_s: float
    rows_written: float
    bytes_kept: float
    wal_bytes: float


def as_table(ways: Mapping[str, Used]) -> str:
    """Returns a Markdown table: the cost of the months at each of the three vendors, for each way."""
    lines = [
        "| events a month | how they come | Vercel | QStash | Supabase | together |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for events in MONTHS:
        for name, used in ways.items():
            parts = (vercel(used, events), qstash(used, events), supabase(used, events))
            cells = " | ".join(f"{part:,.0f}" for part in (*parts, sum(parts)))
            lines.append(f"| {events:,} | {name} | {cells} |")
    return "\n".join(lines)


def vercel(used: Used, events: int) -> float:
    """Returns dollars a month: nothing within Hobby's allowance, else Pro, whose credit is used first."""
    invocations = used.invocations * events + SWEEPS_A_DAY * DAYS
    cpu_hours, gb_hours = used.cpu_s * events / 3600, used.busy_s * events / 3600 * MEMORY_GB
    small = invocations <= VERCEL_HOBBY_INVOCATIONS and gb_hours <= VERCEL_HOBBY_GB_HOURS
    if small and cpu_hours <= VERCEL_HOBBY_CPU_HOURS:
        return 0.0
    return max(VERCEL_PRO, invocations * INVOCATION + cpu_hours * CPU_HOUR + gb_hours * MEMORY_GB_HOUR)


def qstash(used: Used, events: int) -> float:
    """Returns dollars a month: free, by the message, or a fixed plan, whichever is least."""
    messages = used.qstash_messages * events + SWEEPS_A_DAY * DAYS
    if messages / DAYS <= QSTASH_FREE_A_DAY:
        return 0.0
    return min(messages * QSTASH_MESSAGE, *(price for most, price in QSTASH_FIXED if messages / DAYS <= most))


def supabase(used: Used, events: int) -> float:
    """Returns dollars a month: free while a month's events fit, else Pro and the disk that one month fills."""
    kept_gb = used.bytes_kept * events / GB
    return 0.0 if kept_gb <= FREE_GB else SUPABASE_PRO + max(0.0, kept_gb - DISK_INCLUDED_GB) * DISK_GB

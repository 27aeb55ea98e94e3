"""`python -m bench` (and `make bench`): runs the benchmarks, prints their tables, writes bench/report.md."""

import importlib
import os
import platform
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import click
from rich import box
from rich.console import Console
from rich.status import Status
from rich.table import Table

from bench.quotes import REPORT, renew, sections
from bench.section import PLOTS, Section, put_pictures_into

BENCHMARKS = {
    "warm": "Each route, warm, against the TypeScript peer: processor time and wall time of a request.",
    "client": "The HTTP client under the consumer: ours, httpx's own, and aiohttp's.",
    "cold_start": "The start of a fresh process until its first answer, against the TypeScript peer.",
    "consumer": "Events a second through the consumer, against the same SQL functions called directly.",
    "end_to_end": "From the post of a webhook to the visible row, at a steady rate and in a burst.",
    "memory": "The memory of a function instance over many events.",
    "cost": "What an event uses of everything that has a price, and the cost of a month.",
    "growth": "The cost of an event, and of an inbox's pages, with much or little stored.",
    "retention": "The cost of retention and of an erasure's step, with up to ten million raw items.",
}
"""Modules of this package, each with `run(tell, *, quick) -> Section`."""

QUICK = "quick"


@click.command(epilog="\b\nNAME:\n" + "\n".join(f"  {name:<12} {line}" for name, line in BENCHMARKS.items()))
@click.argument("names", metavar="[NAME]... [quick]", nargs=-1, type=click.Choice([*BENCHMARKS, QUICK]))
@click.option("--quick", is_flag=True, help="The same as the word quick.")
def bench(names: Sequence[str], *, quick: bool) -> None:
    """Measure, print tables, and write bench/report.md with pictures. Each number has a baseline of the same run.

    Without a NAME all benchmarks run. With names, the other sections of the report stay as they are. With the word
    quick only a small part of each is measured, to see that it runs: five minutes for all, and no report.
    """
    quick = quick or QUICK in names
    options = {"quick": quick}
    chosen = [name for name in names if name != QUICK] or list(BENCHMARKS)
    if not quick:
        _run(chosen, options, report=True)
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        put_pictures_into(Path(directory))
        _run(chosen, options, report=False)


def _run(chosen: Sequence[str], options: Mapping[str, bool], *, report: bool) -> None:
    console = Console(highlight=False)
    for number, name in enumerate(chosen, 1):
        began_s = time.monotonic()
        console.rule(f"{number} of {len(chosen)}: {name}", align="left")
        with console.status(BENCHMARKS[name]) as status:
            run = importlib.import_module(f"bench.{name}").run
            section = cast(Section, run(lambda what: _tell(console, status, what), **options))
        console.print(_table(section))
        for remark in section.remarks:
            console.print(remark, soft_wrap=True)
        console.print(f"[dim]{time.monotonic() - began_s:.0f} s[/]")
        if report:
            _write(name, section)
            console.print(f"Written to {os.path.relpath(REPORT)}")


def _tell(console: Console, status: Status, what: str) -> None:
    if console.is_terminal:
        status.update(what)
    else:
        console.print(f"  {what}", style="dim")


def _table(section: Section) -> Table:
    table = Table(title=section.title, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for place, name in enumerate(section.head):
        table.add_column(name, justify="left" if place == 0 else "right")
    for row in section.rows:
        table.add_row(*row)
    return table


def _write(name: str, section: Section) -> None:
    """Puts `section` into the report, in the place of the former one of that name, and into what quotes it."""
    parts = sections(REPORT.read_text("utf-8")) if REPORT.exists() else {}
    parts[name] = _markdown(section)
    order = [known for known in BENCHMARKS if known in parts]
    REPORT.write_text("\n".join([_preamble(), *(f"<!-- {known} -->\n{parts[known]}" for known in order)]), "utf-8")
    renew(parts)


def _preamble() -> str:
    return (
        "# What it costs\n\n"
        "Written by `make bench`. Every figure has a baseline, measured in the same run on the same machine: read the "
        "ratios. The absolute numbers are those of a small shared machine.\n"
    )


def _markdown(section: Section) -> str:
    measured = f"Measured {datetime.now(UTC):%Y-%m-%d} with Python {platform.python_version()}, {os.cpu_count()} cores."
    lines = [
        f"## {section.title}",
        "",
        f"{section.about} {measured}",
        "",
        "| " + " | ".join(section.head) + " |",
        "|---|" + "---:|" * (len(section.head) - 1),
        *("| " + " | ".join(row) + " |" for row in section.rows),
        "",
        *(line for remark in section.remarks for line in (remark, "")),
        *(line for file, seen in section.pictures for line in (f"![{seen}]({PLOTS.name}/{file})", "")),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    bench(prog_name="python -m bench")

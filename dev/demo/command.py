"""`python -m dev demo`: the command, and the stack it runs on.

Knows the command line and where the demo's data lives. Must not know what is demonstrated (`steps`).
"""

import shutil
import sys
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from dev.demo import DEMO_NAME
from dev.demo.pipeline import Pipeline
from dev.demo.steps import Steps, heading
from dev.stack import Ports, StackConfig, StackError
from dev.stack.lock import LOCK_NAME, is_running
from dev.stack.options import explained, running, stack_options
from dev.stack.ports import is_free, taken

HOSTED = ("SUPABASE_URL", "QSTASH_URL", "GRAPH_INSTAGRAM_URL")
INTERRUPTED = 130


@click.command()
@stack_options
def demo(config: StackConfig) -> None:
    """Post varied sample webhooks through the whole pipeline and show what landed (`make demo`).

    Everything runs on this machine, with a database of its own that is made anew each time (in `demo/` under
    the data directory). Settings of yours for hosted services are not used. The exit status is 0 only if
    every count is right.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # people's words, on a terminal that has no letters for them
    console = Console(highlight=False)
    try:
        with explained():
            own = own_config(config)
        hosted = [name for name in HOSTED if config.env.get(name)]
        if hosted:
            console.print(f"{' and '.join(hosted)} left alone: the demo runs on a local stack of its own.")
        heading(console, "The stack starts: Supabase, QStash, Instagram and the functions, on this machine")
        with running(own, lambda line: console.print(Text(f"  {line}", "dim"))) as stack, Pipeline(stack) as pipeline:
            code = Steps(console, pipeline).run()
    except KeyboardInterrupt:
        console.print("\nStopped before the end.")
        code = INTERRUPTED
    sys.exit(code)


def own_config(config: StackConfig) -> StackConfig:
    """A local stack with an empty database, whatever `config` says of hosted services.

    Default ports that are taken give way to free ones. Raises `StackError` when a demo runs there already, or
    what is there was not made by one.
    """
    ports = config.ports
    if ports == Ports() and not all(map(is_free, vars(ports).values())):
        ports = Ports.free()
    if not is_free(ports.qstash):
        # A stack would make use of a QStash that answers there; this one has to be ours, to be stopped.
        raise taken("qstash", ports.qstash)
    data_dir = config.data_dir / DEMO_NAME
    _wipe(data_dir)
    return replace(config, data_dir=data_dir, ports=ports, env={})


def _wipe(data_dir: Path) -> None:
    if not data_dir.exists():
        return
    if not (data_dir / LOCK_NAME).is_file():
        raise StackError(f"{data_dir} was not made by a demo: move it away, or choose another --data-dir.")
    if is_running(data_dir):
        raise StackError(f"A demo already runs on {data_dir}: wait for it, or choose another --data-dir.")
    shutil.rmtree(data_dir)

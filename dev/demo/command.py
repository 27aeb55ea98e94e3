"""`python -m dev demo`: the command, and the stack that the demo runs on."""

import sys
from io import TextIOWrapper

import click
from rich.console import Console
from rich.text import Text

from dev.demo.pipeline import Pipeline
from dev.demo.steps import Steps, heading
from dev.stack import StackConfig
from dev.stack.options import explained, running, stack_options
from dev.stack.own import hosted_settings, own_config

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
        sys.stdout.reconfigure(errors="replace")  # a terminal may lack letters of people's words
    console = Console(highlight=False)
    try:
        with explained():
            own = own_config(config, "demo")
        if hosted := hosted_settings(config):
            console.print(f"{' and '.join(hosted)} left alone: the demo runs on a local stack of its own.")
        heading(console, "The stack starts: Supabase, QStash, Instagram and the functions, on this machine")
        with running(own, lambda line: console.print(Text(f"  {line}", "dim"))) as stack, Pipeline(stack) as pipeline:
            code = Steps(console, pipeline).run()
    except KeyboardInterrupt:
        console.print("\nStopped before the end.")
        code = INTERRUPTED
    sys.exit(code)

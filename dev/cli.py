"""The command line of the laptop: `python -m dev COMMAND`.

A command's code is imported when the command runs: `--help` is quick, and a broken command does not break the others.
"""

import contextlib
import shutil
from pathlib import Path

import click

from dev.lazy_group import LazyCommand, LazyGroup
from dev.stack.config import ROOT, StackConfig
from dev.stack.lock import LOCK_NAME, is_running
from dev.stack.options import data_dir_option, stack_options
from dev.stack.own import OWNERS

BUILD_NAME = "vercel"
"""Where `dev.vercel_build` works, inside the data directory."""

LAZY = {
    "demo": LazyCommand(
        "dev.demo.command",
        "demo",
        "Post varied sample webhooks through the whole pipeline and show what landed.",
    ),
    "chaos": LazyCommand(
        "tests.chaos.command",
        "chaos",
        "Break everything while events arrive, and hold the tables against a model.",
    ),
    "lives": LazyCommand(
        "tests.lives.command",
        "lives",
        "Explore the life of one reply through every interleaving of workers, lost answers, jumps and echoes.",
    ),
    "send": LazyCommand("dev.send.command", "send", "Sign sample webhooks and post them to the running functions."),
    "vercel-build": LazyCommand(
        "dev.vercel_build", "vercel_build", "Build as Vercel does, and check what each function gets."
    ),
    "qstash": LazyCommand("dev.qstash.command", "qstash", "Run the QStash stand-in by itself."),
    "graph": LazyCommand("dev.graph.command", "graph", "Run the Instagram Graph API stand-in by itself."),
}


@click.group(cls=LazyGroup, lazy=LAZY, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """The pipeline on a laptop: Supabase, QStash, Instagram and Vercel, all local."""


@cli.command()
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Instances of every function.")
@click.option("--eager", is_flag=True, help="Import every function at the start instead of at its first request.")
@click.option(
    "--root",
    default=ROOT,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The directory with api/ and vercel.json. Default: this project.",
)
def functions(port: int, host: str, workers: int, *, eager: bool, root: Path) -> None:
    """Serve api/**/*.py by itself, as Vercel would."""
    from dev.functions import serve  # noqa: PLC0415

    serve(root, host=host, port=port, workers=workers, eager=eager)


@cli.command()
@stack_options
def up(config: StackConfig) -> None:
    """Start everything, show every URL, stay up until Ctrl-C (`make dev`)."""
    from dev.stack.up import up as stay_up  # noqa: PLC0415  rich takes 0.1 s

    stay_up(config)


@cli.command()
@data_dir_option("The directory to delete. Default: .local")
def reset(data_dir: Path) -> None:
    """Delete the local database and logs, the demo's and chaos's too, and what vercel-build made (`make clean`)."""
    if not data_dir.exists():
        click.echo(f"Nothing to delete: {data_dir} does not exist.")
        return
    stacks = [path for path in (data_dir, *(data_dir / name for name in OWNERS)) if (path / LOCK_NAME).is_file()]
    built = data_dir / BUILD_NAME
    builds = [built] if (built / "vercel.json").is_file() else []
    if not stacks and not builds:
        raise click.ClickException(f"{data_dir} is no stack's data directory; delete it by hand if you mean to.")
    for path in stacks:
        if is_running(path):
            raise click.ClickException(f"A stack runs on {path}: stop it first, with Ctrl-C where it runs.")
    # The stack's own directory holds the others. If it is no stack's, we did not make the rest of its content.
    to_delete = [data_dir] if data_dir in stacks else [*stacks, *builds]
    for path in to_delete:
        shutil.rmtree(path)
    with contextlib.suppress(OSError):
        data_dir.rmdir()
    click.echo(f"Deleted {' and '.join(map(str, to_delete))}.")


def main() -> None:
    """Run the command line."""
    cli(prog_name="python -m dev")

"""The command line for a deployment: `python -m cli COMMAND`.

The commands work on the project that `.env` names, or on the local stack.
"""

import click

from dev.lazy_group import LazyCommand, LazyGroup

LAZY = {
    "accounts": LazyCommand(
        "cli.accounts", "accounts", "Add, list, check and refresh the Instagram accounts and their tokens."
    ),
    "dead-letters": LazyCommand(
        "cli.dead_letters", "dead_letters", "List, show, retry and discard what QStash gave up on; find what it lost."
    ),
    "doctor": LazyCommand(
        "cli.doctor.command", "doctor", "Check a deployment, or the local stack; each failure names its fix."
    ),
    "erase": LazyCommand("cli.erase", "erase", "Erase what is stored of one person, or of a whole account."),
    "replay": LazyCommand("cli.replay", "replay", "Read archived events again with the parser of this checkout."),
    "retention": LazyCommand("cli.retention", "retention", "Empty the raw items that are past their time."),
}


@click.group(cls=LazyGroup, lazy=LAZY, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Run the pipeline: check a deployment, connect accounts, work off dead letters, erase, replay."""


def main() -> None:
    """Run the command line."""
    cli(prog_name="python -m cli")

"""The command line for a deployment: `python -m cli COMMAND`."""

import click

from cli.examples import examples
from dev.lazy_group import LazyCommand, LazyGroup

COMMANDS = {
    "accounts": LazyCommand(
        "cli.accounts.command", "accounts", "Add, list, check, refresh and subscribe the Instagram accounts."
    ),
    "dead-letters": LazyCommand(
        "cli.dead_letters.command", "dead_letters", "List, show, retry and discard what QStash gave up on."
    ),
    "doctor": LazyCommand(
        "cli.doctor.command", "doctor", "Check a deployment, or the local stack. Each failure names its fix."
    ),
    "erase": LazyCommand("cli.erase", "erase", "Erase the data of one person, or of a whole account."),
    "replay": LazyCommand("cli.replay.command", "replay", "Reprocess archived events with the parser of today."),
    "retention": LazyCommand("cli.retention", "retention", "Empty the raw items that are past their time."),
    "schedule": LazyCommand("cli.schedule", "schedule", "Set up the QStash schedule that calls the sweep."),
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples("doctor --url https://YOUR-DOMAIN", "dead-letters --help"),
)
def cli() -> None:
    """Run a deployment: check it, connect accounts, retry dead letters, erase data, reprocess the archive.

    A command works on the hosted project that .env names (SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY), or else on the
    local stack. The exit status is 0 if all is well, 1 if something failed or needs a person, 2 if the command line is
    wrong.
    """


def main() -> None:
    """Runs the command line."""
    cli(prog_name="python -m cli")

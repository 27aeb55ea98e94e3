"""`--help` of every command for a deployment: it says what the command does, with examples that can be typed."""

import re
import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from cli.main import cli

EXAMPLE = re.compile(r"^  python -m cli (.+)$", re.MULTILINE)


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yields the words of every command below `group`, its groups too."""
    yield path
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


BY_COMMAND = pytest.mark.parametrize("words", list(commands(cli)), ids=lambda words: " ".join(words) or "cli")


def help_of(words: tuple[str, ...]) -> str:
    shown = CliRunner().invoke(cli, [*words, "--help"], prog_name="python -m cli")
    assert shown.exit_code == 0, shown.output
    return shown.stdout


@BY_COMMAND
def test_the_help_says_what_a_command_does_and_gives_examples_of_it(words: tuple[str, ...]) -> None:
    typed = EXAMPLE.findall(help_of(words).partition("Examples:")[2].replace("\n    ", "\n  "))
    assert typed
    assert all(tuple(example.split())[: len(words)] == words for example in typed)


@BY_COMMAND
def test_every_example_is_one_the_command_line_takes(words: tuple[str, ...]) -> None:
    for example in EXAMPLE.findall(help_of(words).replace("\n    ", "\n  ")):
        command: click.Command = cli
        arguments = shlex.split(example.partition(" < ")[0])
        while isinstance(command, click.Group) and arguments[0] != "--help":
            named = command.get_command(click.Context(command), arguments[0])
            assert named is not None, example
            command, arguments = named, arguments[1:]
        # Parses the arguments, and raises a usage error if the command does not take them. Nothing runs.
        if arguments != ["--help"]:
            command.make_context(example, arguments)


def test_a_wrong_example_would_be_found() -> None:
    replay = cli.get_command(click.Context(cli), "replay")
    assert replay is not None
    with pytest.raises(click.UsageError):
        replay.make_context("replay", ["--since", "yesterday"])

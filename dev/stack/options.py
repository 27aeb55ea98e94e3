"""The stack on the command line: its options, and a run that stops the stack however the run ends."""

import contextlib
import functools
import signal
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from dev.stack.config import ROOT, StackConfig
from dev.stack.environment import user_settings
from dev.stack.errors import StackError
from dev.stack.ports import Ports
from dev.stack.stack import Stack

Command = TypeVar("Command", bound=Callable[..., Any])

PORT_NAMES = [field.name for field in fields(Ports)]
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
PORT = click.IntRange(1, 65535)


def data_dir_option(help_text: str) -> Callable[[Command], Command]:
    """The option that names the data directory of a stack."""
    return click.option(
        "--data-dir",
        default=StackConfig.data_dir,
        envvar="DEV_DATA_DIR",
        type=click.Path(file_okay=False, path_type=Path),
        help=help_text,
    )


def stack_options(command: Callable[..., Any], *, time_scale: float = 1.0) -> Callable[..., Any]:
    """Gives a click command the stack's options. The command gets them as one `config: StackConfig`.

    `time_scale` is the default of the option of that name.
    """
    default_scale = time_scale

    @functools.wraps(command)
    def with_config(data_dir: Path, time_scale: float, echo: str, port_base: int | None, **others: Any) -> Any:
        ports = Ports() if port_base is None else Ports.from_base(port_base)
        chosen = {name: others.pop(f"{name}_port") for name in PORT_NAMES}
        ports = replace(ports, **{name: port for name, port in chosen.items() if port is not None})
        with explained():
            config = StackConfig(
                data_dir=data_dir,
                ports=ports,
                time_scale=time_scale,
                echo=echo,
                env=user_settings(ROOT),
                new_project=True,
            )
        return command(config=config, **others)

    options = [
        data_dir_option("Where the database and the logs live. Default: .local"),
        click.option(
            "--time-scale",
            default=default_scale,
            show_default=True,
            type=click.FloatRange(0, min_open=True),
            help="Factor on QStash's waiting times: 0.001 makes 12 s of back-off 12 ms.",
        ),
        click.option(
            "--echo",
            default="on",
            show_default=True,
            type=click.Choice(["on", "early", "late", "off"]),
            help="When a send's echo webhook comes.",
        ),
        click.option(
            "--port-base",
            envvar="DEV_PORT_BASE",
            type=click.IntRange(1, 65530),
            help=f"Use this port and the next five, for {', '.join(PORT_NAMES)}.",
        ),
        *(click.option(f"--{name}-port", type=PORT, help=f"Default: {getattr(Ports, name)}.") for name in PORT_NAMES),
    ]
    decorated: Callable[..., Any] = with_config
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


@contextlib.contextmanager
def running(config: StackConfig, report: Callable[[str], None]) -> Iterator[Stack]:
    """Yields a started stack and stops it at the end. A `StackError` becomes a plain message and exit status 1.

    SIGINT (Ctrl-C) and SIGTERM end the block by `KeyboardInterrupt`. A second signal does not disturb the stopping.
    """
    stack = Stack(config)
    # A shell without job control starts background jobs with SIGINT ignored. They must stop as well, or the stack
    # outlives them.
    before = {number: signal.signal(number, signal.default_int_handler) for number in STOP_SIGNALS}
    try:
        with explained():
            stack.start(report)
            yield stack
    finally:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        stack.stop()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turns a `StackError` into a message without a traceback."""
    try:
        yield
    except StackError as error:
        raise click.ClickException(str(error)) from error

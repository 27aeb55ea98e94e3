"""A command's own stack, beside the one of `make dev`: always local, with an empty database."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias

from dev.stack.config import StackConfig
from dev.stack.errors import StackError
from dev.stack.lock import LOCK_NAME, is_running
from dev.stack.ports import Ports, is_free, taken

Owner: TypeAlias = Literal["demo", "chaos", "lives"]
"""A command, and the name of its data directory inside that of the stack."""

OWNERS: tuple[Owner, ...] = ("demo", "chaos")
HOSTED = ("SUPABASE_URL", "QSTASH_URL", "GRAPH_INSTAGRAM_URL")


def hosted_settings(config: StackConfig) -> list[str]:
    """Returns the settings for hosted services that an own stack does not use."""
    return [name for name in HOSTED if config.env.get(name)]


def own_config(config: StackConfig, owner: Owner) -> StackConfig:
    """Returns the settings of a local stack with an empty database, whatever `config` says of hosted services.

    If a default port is taken, free ports are used. Raises `StackError` if the command already runs there, or if
    another program made the directory.
    """
    ports = config.ports
    if ports == Ports() and not all(map(is_free, vars(ports).values())):
        ports = Ports.free()
    if not is_free(ports.qstash):
        # A stack uses a QStash that answers on its port. This stack needs its own, which the command can stop.
        raise taken("qstash", ports.qstash)
    data_dir = config.data_dir / owner
    _wipe(data_dir, owner)
    return replace(config, data_dir=data_dir, ports=ports, env={})


def _wipe(data_dir: Path, owner: Owner) -> None:
    if not data_dir.exists():
        return
    if not (data_dir / LOCK_NAME).is_file():
        raise StackError(f"{data_dir} was not made by `{owner}`: move it away, or choose another --data-dir.")
    if is_running(data_dir):
        raise StackError(f"Another `{owner}` already runs on {data_dir}: wait for it, or choose another --data-dir.")
    shutil.rmtree(data_dir)

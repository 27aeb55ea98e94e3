"""The settings of one local stack."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dev.stack.ports import Ports

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class StackConfig:
    """Settings of one local stack.

    `env` holds the user's own settings (tokens, `PHASE3_URL`, ...), which win over the local defaults. If it has
    `SUPABASE_URL`, `QSTASH_URL` or `GRAPH_INSTAGRAM_URL`, the stack uses that server and starts none of its own.
    The stack does not read the process environment, so a test run can not reach a hosted project.
    The QStash stand-in gets `time_scale`, the Graph stand-in gets `echo`. `fast` gives up the database's durability
    for speed and is for tests only. With `new_project` the database grants nothing by default, as a Supabase project
    made since May 2026; else everything, as an older one. `functions_dir` holds `api/` and `vercel.json`. `instances`
    processes serve the functions.
    """

    data_dir: Path = ROOT / ".local"
    ports: Ports = field(default_factory=Ports)
    time_scale: float = 1.0
    env: Mapping[str, str] = field(default_factory=dict)
    echo: str = "on"
    fast: bool = False
    new_project: bool = False
    functions_dir: Path = ROOT
    instances: int = 1
    migrations_dir: Path = ROOT / "supabase" / "migrations"

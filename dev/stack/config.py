"""What a stack is asked to be: where its data lives, which ports, whose settings win.

Plain values. Must not start, read or write anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dev.stack.ports import Ports

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class StackConfig:
    """Settings of one local stack.

    `env` holds the user's own settings (tokens, `PHASE3_URL`, ...): they win over the local defaults. With
    `SUPABASE_URL`, `QSTASH_URL` or `GRAPH_INSTAGRAM_URL` in it, that server is used and no local one started.
    The surrounding process environment is never consulted, so that a test run can't reach a hosted project.
    `time_scale` and `echo` are handed to the QStash and Graph stand-ins. `fast` trades the database's
    durability for speed and is for tests only. `functions_dir` holds `api/` and `vercel.json`; `instances` is how
    many processes serve each function.
    """

    data_dir: Path = ROOT / ".local"
    ports: Ports = field(default_factory=Ports)
    time_scale: float = 1.0
    env: Mapping[str, str] = field(default_factory=dict)
    echo: str = "on"
    fast: bool = False
    functions_dir: Path = ROOT
    instances: int = 1
    migrations_dir: Path = ROOT / "supabase" / "migrations"

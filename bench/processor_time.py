"""The processor time of each component of a stack, and of this process."""

import os
from collections.abc import Mapping

import psutil  # type: ignore[import-untyped]

from dev.stack import Stack

CLIENT = "client"
NAMES = {"rest": "gateway", "postgrest": "PostgREST", "postgres": "Postgres", "graph": "Graph", "qstash": "QStash"}


class ProcessorTime:
    """Counts the seconds of processor time since it was made."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._before = self._now()

    def since(self) -> dict[str, float]:
        """Returns the seconds by component."""
        return {name: seconds - self._before.get(name, 0.0) for name, seconds in self._now().items()}

    def _now(self) -> Mapping[str, float]:
        spent: dict[str, float] = {CLIENT: _of(psutil.Process(os.getpid()))}
        for component in self._stack.names:
            pid = self._stack.pid(component)
            if pid is not None:
                name = "consumer" if component.startswith("functions") else NAMES[component]
                spent[name] = spent.get(name, 0.0) + _with_children(psutil.Process(pid))
        return spent


def _with_children(process: psutil.Process) -> float:
    """Counts the living children, and the ended ones that their parent has waited for."""
    return sum(map(_of, (process, *process.children(recursive=True)))) + _ended(process)


def _of(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _ended(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.children_user + times.children_system)

"""The guard: a tiny process that ends the stack's children when their parent could not.

Started once per stack; knows process ids and signals only. It reads `+ PID SIGNAL` and `- PID` lines from
its stdin. When the pipe closes (the parent has exited, crashed, or was killed by SIGKILL) it ends whoever is
still registered. It also inherits the stack's lock, so that the lock lasts until the last child is gone.

Runs as a file with `python -I -S`, so it may import nothing but the standard library.
"""

import os
import signal
import sys
import time

GRACE_S = 4.0
POLL_S = 0.05


def main() -> None:
    """Follow the parent's messages, then clean up."""
    # Whoever signals the whole terminal or the parent's group must not end the one who cleans up.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    children: dict[int, int] = {}
    for line in sys.stdin:
        sign, pid, *stop_signal = line.split()
        if sign == "+":
            children[int(pid)] = int(stop_signal[0])
        else:
            children.pop(int(pid), None)
    end(children)


def end(children: dict[int, int]) -> None:
    """Ask each child to stop by its own signal; after `GRACE_S` kill what is left, with its process group."""
    for pid, stop_signal in children.items():
        _signal(pid, stop_signal)
        _signal(pid, signal.SIGCONT)
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline and any(_lives(pid) for pid in children):
        time.sleep(POLL_S)
    for pid in children:
        _signal(-pid, signal.SIGKILL)


def _signal(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _lives(pid: int) -> bool:
    try:
        # Orphans nobody collects (containers without an init) stay as zombies, which hold nothing.
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return _signal(pid, 0)  # no /proc on macOS; and the answer is no for one that has just gone


if __name__ == "__main__":
    main()

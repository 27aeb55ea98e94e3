"""The guard: a small process that ends the stack's children when their parent could not.

Each stack starts one guard. The guard reads lines `+ PID SIGNAL` and `- PID` from its standard input. When the pipe
closes (the parent has exited, crashed, or was killed) the guard ends the processes that are still registered. The guard
inherits the stack's lock, so the lock lasts until the last child is gone.

The file is run with `python -I -S`, so it may import nothing but the standard library.
"""

import os
import signal
import sys
import time

GRACE_S = 4.0
POLL_S = 0.05


def main() -> None:
    """Follows the parent's messages, then cleans up."""
    # A signal to the whole terminal or to the parent's group must not end the guard.
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
    """Sends each child its stop signal. After `GRACE_S`, kills the remaining children with their process groups."""
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
        # In a container without an init, orphans stay as zombies. A zombie holds nothing.
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return _signal(pid, 0)  # macOS has no /proc; a process that has just ended takes no signal


if __name__ == "__main__":
    main()

"""How long a fresh process takes from its start to its first answer: our functions, and the TypeScript peer's.

Ours is the package that Vercel builds, with bytecode and without, under the server of Vercel's Python runtime. The
peer's is one bundled file a route, under Node.js. Every round starts one process of each kind in turn, so that a slow
moment of the machine slows all of them.
"""

import contextlib
import os
import re
import shutil
import socket
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from bench import package, peer_build, upstream
from bench.cold_picture import picture
from bench.requests import ROUTES, request, settings
from bench.section import Section, Tell, half, ratio
from bench.side_by_side import PATIENCE_S, Cost
from dev.stack.config import ROOT
from dev.stack.ports import HOST, free_port
from dev.vercel_build import PACKAGES

ROUNDS = 21
CHILD = Path(__file__).with_name("cold_child.py")
EMPTY = "empty"
PEER, COMPILED, PLAIN = "the peer", "ours, with bytecode", "ours, without"
SIDES = (PEER, COMPILED, PLAIN)
SERVER = ("uvicorn", "click")
"""What Vercel's runtime brings along: the package does not hold it."""

HEAVIEST, HEAVIEST_RUNS = 8, 5


@dataclass
class Times(Cost):
    """Milliseconds from the start of a process to its first answer: of the processor, and by the wall clock.

    `own` is the part from the import of the function on; before it the platform starts Python and its server.
    """

    own: list[float] = field(default_factory=list)


Results = Mapping[tuple[str, str], Times]
"""By route and side."""


def run(tell: Tell, *, quick: bool) -> Section:
    """Makes the package and the bundles, and starts many processes. Raises `RuntimeError` if an answer is not 200."""
    rounds = 2 if quick else ROUNDS
    tell("making the package")
    built = package.make(ROOT)
    _add_server(built)
    with upstream.running() as url:
        environment = settings(url)
        results = {(route, side): Times() for route in (EMPTY, *ROUTES) for side in SIDES}
        for number in range(rounds + 1):
            tell(f"round {number} of {rounds}")
            for (route, side), times in results.items():
                wall_ms, cpu_ms, own_ms = _start(built, route, side, environment)
                if number:  # round 0 fills the disk cache
                    times.wall.append(wall_ms)
                    times.cpu.append(cpu_ms)
                    times.own.append(own_ms)
        runs = 1 if quick else HEAVIEST_RUNS
        heaviest = {route: _heaviest(built, route, environment, runs) for route in ("webhook", "consumer")}
    return _section(built, results, rounds, heaviest)


def _add_server(built: package.Package) -> None:
    for folder in (built.compiled, built.plain):
        for name in SERVER:
            spec = find_spec(name)
            assert spec is not None
            assert spec.origin is not None
            target = folder / PACKAGES / name
            shutil.copytree(Path(spec.origin).parent, target, ignore=shutil.ignore_patterns(package.CACHE))
    for name in SERVER:
        package.compile_for(built.python, built.compiled / PACKAGES / name)


def _start(built: package.Package, route: str, side: str, environment: Mapping[str, str]) -> tuple[float, float, float]:
    """Starts one process. Returns the milliseconds of its `Times`."""
    port = free_port()
    if side == PEER:
        command, env = list(peer_build.bundle(route)), dict(environment)
    else:
        bytecode = side == COMPILED
        file = "" if route == EMPTY else f"{ROUTES[route].removeprefix('/')}.py"
        command = [str(built.python), "-S", str(CHILD), str(built.folder(bytecode=bytecode)), file]
        env = {**built.environment(bytecode=bytecode), **environment}
    asked = request("webhook" if route == EMPTY else route, 1, port=port, public_url=environment["PUBLIC_URL"])
    if route == EMPTY:
        asked = replace(asked, target="/")
    began_s = time.time()
    process = subprocess.Popen(
        command, env={"PATH": os.environ["PATH"], **env, "PORT": str(port)}, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        answer = _first_answer(port, asked.encode(), process)
        ended_s = time.time()
    finally:
        process.kill()
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = -9
        complaint = process.stderr.read() if process.stderr else b""
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"{route}, {side}: no 200 but {answer[:200]!r}; {complaint[-1500:].decode()}")
    loaded_s = began_s if side == PEER else float(complaint.split(b"\n", 1)[0])
    return (ended_s - began_s) * 1e3, (used.ru_utime + used.ru_stime) * 1e3, (ended_s - loaded_s) * 1e3


def _first_answer(port: int, asked: bytes, process: "subprocess.Popen[bytes]") -> bytes:
    """Returns the beginning of the answer. It tries to connect a thousand times a second."""
    end_s = time.perf_counter() + PATIENCE_S
    while time.perf_counter() < end_s and process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection((HOST, port)) as connection:
            connection.settimeout(PATIENCE_S)
            connection.sendall(asked)
            return connection.recv(1000)
        time.sleep(0.001)
    return b""


def _heaviest(built: package.Package, route: str, environment: Mapping[str, str], runs: int) -> str:
    """Returns, in words, the packages whose modules take longest by themselves until the first answer of a route."""
    spent: dict[str, list[int]] = {}
    for _ in range(runs):
        one: Counter[str] = Counter()
        for micros, module in re.findall(
            r"^import time:\s+(\d+) \|\s+\d+ \|\s*([\w.]+)$", _imports(built, route, environment), re.M
        ):
            one[module.partition(".")[0]] += int(micros)
        for name, micros in one.items():
            spent.setdefault(name, []).append(micros)
    medians = Counter({name: statistics.median(micros) for name, micros in spent.items() if name not in SERVER})
    return ", ".join(f"{name} {micros / 1000:.1f} ms" for name, micros in medians.most_common(HEAVIEST))


def _imports(built: package.Package, route: str, environment: Mapping[str, str]) -> str:
    """Returns what `python -X importtime` says until the first answer."""
    port = free_port()
    file = f"{ROUTES[route].removeprefix('/')}.py"
    process = subprocess.Popen(
        [str(built.python), "-S", "-X", "importtime", str(CHILD), str(built.compiled), file],
        env={**built.environment(bytecode=True), **environment, "PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    asked = request(route, 1, port=port, public_url=environment["PUBLIC_URL"]).encode()
    try:
        _first_answer(port, asked, process)
    finally:
        process.terminate()
    return process.communicate()[1].decode()


def _section(built: package.Package, results: Results, rounds: int, heaviest: Mapping[str, str]) -> Section:
    medians = {kind: times.median_wall for kind, times in results.items()}
    return Section(
        title="Cold start",
        about=(
            f"A fresh process, from its start to the first answer over a socket. Ours is the function's package "
            f"({built.made}) under uvicorn, as Vercel's runtime runs it. The peer is a bundled file under Node.js "
            f"{_node_version()}. What they call answers at once, without TLS. Medians of {rounds}, with the half of "
            "the times around them; CPU is the processor time of the process. *From its import* leaves out what the "
            "platform does before: it starts Python and its server. Baseline: the peer's same route. The first rows "
            "are an application that answers `{}`: an empty Starlette, and bare `node:http`."
        ),
        head=(
            *("route", "side", "ms", "half within", "to the peer", "CPU, ms", "to the peer"),
            *("from its import, ms", "to the peer"),
        ),
        rows=tuple(
            (
                *(route, side, f"{times.median_wall:.0f}", half(times.wall, 0)),
                ratio(times.median_wall, results[route, PEER].median_wall),
                f"{times.median_cpu:.0f}",
                ratio(times.median_cpu, results[route, PEER].median_cpu),
                *_own(times, results[route, PEER]),
            )
            for (route, side), times in results.items()
        ),
        remarks=(
            *(_aim(results, route) for route in ("webhook", "consumer")),
            "The platform compiles only with the project variable VERCEL_PYTHON_COMPILEALL=1 (docs/vercel.md).",
            *(
                f"The heaviest imports until the first answer of the {route}, with bytecode (`python -X importtime`): "
                f"{names}."
                for route, names in heaviest.items()
            ),
        ),
        pictures=((picture(medians), "Milliseconds until the first answer, ours and the peer's"),),
    )


def _own(times: Times, peer: Times) -> tuple[str, str]:
    if times is peer:
        return "", ""
    own_ms = statistics.median(times.own)
    return f"{own_ms:.0f}", ratio(own_ms, peer.median_wall)


def _aim(results: Results, route: str) -> str:
    ours, peer = results[route, COMPILED], results[route, PEER]
    own_ms = statistics.median(ours.own)
    return (
        f"Cold, with bytecode, the {route} takes {own_ms:.0f} ms from its import to its first answer, "
        f"{ratio(own_ms, peer.median_wall)} the whole start of the peer (aim: at most 1.50×). Before that, Python and "
        f"the platform's server take {ours.median_wall - own_ms:.0f} ms, so that the whole is "
        f"{ratio(ours.median_wall, peer.median_wall)} the peer's."
    )


def _node_version() -> str:
    return subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()

"""How long a fresh process takes until a function is ready, and until its first answer, beside an empty Starlette app.

Measures the package that Vercel builds, with bytecode and without. Every round starts one process of each kind in turn,
so that a slow moment of the machine slows all of them. With another checkout, the package of that one takes part, too.
"""

import base64
import hashlib
import itertools
import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jwt

from bench import package
from bench.cold_picture import picture
from bench.function import BASE_URL, CONSUMER, INGEST, WEBHOOK, Call, settings, webhook_body, webhook_call
from bench.section import Section, Tell, half, ratio
from dev.stack import keys
from dev.stack.config import ROOT
from lib.events.model import encode
from lib.webhooks.parser import parse_webhook

ROUNDS = 21
EMPTY = "an empty Starlette app"
THIS, OTHER = "this checkout", "the other"
CHILD = Path(__file__).with_name("cold_child.py")
HEAVIEST, HEAVIEST_RUNS = 6, 5


@dataclass(frozen=True)
class First:
    """The first request to a function, and the network's answers to the function meanwhile."""

    call: Call
    answers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """One kind of process: which checkout's package, with bytecode or without, and which function."""

    checkout: str
    bytecode: bool
    name: str


@dataclass
class Times:
    """Milliseconds from the start of the process's clock to one moment, of each start of one kind of process."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


READY, ANSWER = "ready", "first answer"


Results = Mapping[tuple[Kind, str], Times]
"""By kind of process and moment."""


def run(tell: Tell, *, quick: bool, against: Path | None = None) -> Section:
    """Makes the packages and starts many processes. Raises `RuntimeError` if a first answer is not 200."""
    rounds, runs = (2, 1) if quick else (ROUNDS, HEAVIEST_RUNS)
    packages = {}
    for name, checkout in ((THIS, ROOT), *([(OTHER, against.resolve())] if against else [])):
        tell(f"making the package of {name}")
        packages[name] = package.make(checkout)
    results = _measure(packages, rounds, tell)
    return _section(packages[THIS], results, rounds, _heaviest(packages[THIS], runs))


def _measure(packages: Mapping[str, package.Package], rounds: int, tell: Tell) -> Results:
    firsts = {EMPTY: First(Call("GET", "/")), **_firsts()}
    kinds = [
        Kind(checkout, bytecode, name)
        for bytecode, name, checkout in itertools.product((False, True), firsts, packages)
    ]
    results = {key: Times() for key in itertools.product(kinds, (READY, ANSWER))}
    for number in range(rounds + 1):
        tell(f"round {number} of {rounds}")
        for kind in kinds:
            took = _start(packages[kind.checkout], kind, firsts[kind.name])
            if number:  # round 0 fills the disk cache
                for moment in (READY, ANSWER):
                    wall_ms, cpu_ms = took[moment]
                    results[kind, moment].wall.append(wall_ms)
                    results[kind, moment].cpu.append(cpu_ms)
    return results


def _start(built: package.Package, kind: Kind, first: First) -> dict[str, tuple[float, float]]:
    """Starts one process. Returns the milliseconds of the wall clock and of the processor, by moment."""
    order = json.dumps(_order(built.folder(bytecode=kind.bytecode), kind.name, first))
    done = built.run(str(CHILD), order, bytecode=kind.bytecode, settings=settings())
    result = json.loads(done.stderr.splitlines()[-1]) if done.returncode == 0 else {}
    if result.get("status") != 200:
        raise RuntimeError(f"{kind} did not answer 200: {done.stderr[-2000:]}")
    return {READY: result["ready_ms"], ANSWER: result["answer_ms"]}


def _order(root: Path, name: str, first: First) -> dict[str, object]:
    """The argument of `cold_child.py`."""
    return {
        "root": str(root),
        "file": None if name == EMPTY else f"{name.removeprefix('/')}.py",
        "method": first.call.method,
        "path": first.call.path,
        "headers": {"host": "bench.example", **(first.call.headers or {})},
        "body": first.call.body.decode(),
        "answers": dict(first.answers),
    }


def _firsts() -> dict[str, First]:
    """The first request to each function, by the function's path."""
    body = webhook_body(1)
    [event] = parse_webhook(json.loads(body), received_at=time.time_ns() // 1_000_000)
    sent = encode(event)
    queued = {"event_id": event.event_id, "status": "queued", "via": "queue", "message_id": "msg_1"}
    recorded = {"outcome": "new", "account_id": event.account_id, "account_state": "active", "effects": []}
    bearer = {"authorization": f"Bearer {keys.INTERNAL_SECRET}", "x-ingest-budget-ms": "3800"}
    return {
        WEBHOOK: First(webhook_call(body), {INGEST: json.dumps({"results": [queued]})}),
        INGEST: First(Call("POST", INGEST, sent, bearer), {"/v2/batch": '[{"messageId": "msg_1"}]'}),
        CONSUMER: First(_delivery(CONSUMER, sent), {"/rest/v1/rpc/record_event": json.dumps(recorded)}),
    }


def _delivery(path: str, body: bytes) -> Call:
    """Returns a delivery with QStash's signature (Upstash, "Verifying signatures")."""
    now_s = int(time.time())
    digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode()
    claims = {"iss": "Upstash", "sub": BASE_URL + path, "iat": now_s, "nbf": now_s, "exp": now_s + 3600, "jti": "1"}
    signature = jwt.encode({**claims, "body": digest}, keys.QSTASH_CURRENT_SIGNING_KEY, algorithm="HS256")
    return Call("POST", path, body, {"upstash-signature": signature, "upstash-message-id": "msg_1"})


def _heaviest(built: package.Package, runs: int) -> str:
    """Returns, in words, the packages whose modules take longest by themselves in the webhook's import."""
    order = json.dumps(_order(built.compiled, WEBHOOK, _firsts()[WEBHOOK]))
    lines = f"import json, sys; sys.path[0] = {str(CHILD.parent)!r}; import cold_child; order = json.loads({order!r})\n"
    lines += "sys.path[0] = order['root']; cold_child.load(order['root'] + '/' + order['file'])"
    spent: dict[str, list[int]] = {}
    for _ in range(runs):
        done = built.run("-X", "importtime", "-c", lines, bytecode=True, settings=settings())
        one: Counter[str] = Counter()
        for micros, module in re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s*([\w.]+)$", done.stderr, re.M):
            one[module.partition(".")[0]] += int(micros)
        for name, micros in one.items():
            spent.setdefault(name, []).append(micros)
    medians = Counter({name: statistics.median(micros) for name, micros in spent.items() if name != CHILD.stem})
    return ", ".join(f"{name} {micros / 1000:.1f} ms" for name, micros in medians.most_common(HEAVIEST))


def _section(built: package.Package, results: Results, rounds: int, heaviest: str) -> Section:
    compared = any(kind.checkout == OTHER for kind, _ in results)
    return Section(
        title="Cold start",
        about=(
            f"A fresh process with a function's package ({built.made}): until the function is imported and ready, and "
            "until its first answer is given. The first request of the webhook and of the internal endpoint is one "
            "message to hand on, that of the consumer one message to record. The network is in memory; the TLS "
            f"contexts and the clients are real. Medians of {rounds}, with the half of the times around them; CPU is "
            "the processor time of the process, which other work on the machine hardly changes. Baseline: "
            f"{EMPTY} that answers `{{}}`, from the same package."
        ),
        head=(
            *("function", "bytecode", *(("checkout",) if compared else ()), "until"),
            *("ms", "half within", "ratio", "CPU, ms", "half within", "ratio"),
        ),
        rows=tuple(
            (
                *(kind.name, "with" if kind.bytecode else "without", *((kind.checkout,) if compared else ()), moment),
                *_cells(times, results[Kind(kind.checkout, kind.bytecode, EMPTY), moment]),
            )
            for (kind, moment), times in results.items()
        ),
        remarks=(
            *(comparison(results) if compared else ()),
            f"Ready with bytecode, by CPU: the webhook takes {_to_floor(results, WEBHOOK)} the time of the baseline, "
            f"and the consumer {_to_floor(results, CONSUMER)}. Most of the difference is pydantic. "
            "The platform compiles only with the project variable VERCEL_PYTHON_COMPILEALL=1 (docs/vercel.md).",
            f"The heaviest packages in the webhook's import, with bytecode (`python -X importtime`): {heaviest}.",
        ),
        pictures=((picture(_medians(results)), "Processor time until each function is ready, and has answered"),),
    )


def _cells(times: Times, floor: Times) -> tuple[str, ...]:
    """The median, the half around it and the ratio to the floor, by each clock."""
    cells: list[str] = []
    for clock, baseline in ((times.wall, floor.wall), (times.cpu, floor.cpu)):
        median = statistics.median(clock)
        cells += (f"{median:.0f}", half(clock, 0), ratio(median, statistics.median(baseline)))
    return tuple(cells)


def _to_floor(results: Results, name: str) -> str:
    """The processor time until a function is ready, with bytecode, as a multiple of the empty app's."""
    ours, floor = (results[Kind(THIS, True, function), READY].cpu for function in (name, EMPTY))
    return ratio(statistics.median(ours), statistics.median(floor))


def comparison(results: Results) -> list[str]:
    """Returns a sentence for each function: this checkout's medians as multiples of the other's."""
    return [
        f"{name}, {THIS} to {OTHER}: "
        + "; ".join(
            f"{words}, {moment} {_compared(results[mine, moment], results[theirs, moment])}"
            for words, mine, theirs in (
                ("without bytecode", Kind(THIS, False, name), Kind(OTHER, False, name)),
                ("with bytecode", Kind(THIS, True, name), Kind(OTHER, True, name)),
                ("with bytecode to the other without", Kind(THIS, True, name), Kind(OTHER, False, name)),
            )
            for moment in (READY, ANSWER)
        )
        + "."
        for name in dict.fromkeys(kind.name for kind, _ in results)
    ]


def _compared(mine: Times, theirs: Times) -> str:
    wall = ratio(statistics.median(mine.wall), statistics.median(theirs.wall))
    return f"{wall} (CPU {ratio(statistics.median(mine.cpu), statistics.median(theirs.cpu))})"


def _medians(results: Results) -> dict[str, tuple[float, float]]:
    """Returns the processor time until ready and until the first answer, by the label of a bar."""
    other = {THIS: "", OTHER: ", the other"}
    return {
        f"{kind.name}, {'with' if kind.bytecode else 'without'} bytecode{other[kind.checkout]}": (
            statistics.median(results[kind, READY].cpu),
            statistics.median(results[kind, ANSWER].cpu),
        )
        for kind in dict.fromkeys(kind for kind, _ in results)
    }

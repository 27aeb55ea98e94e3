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
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jwt

from bench import package
from bench.cold_picture import picture
from bench.function import BASE_URL, CONSUMER, INGEST, WEBHOOK, Call, settings, webhook_body, webhook_call
from bench.section import Section, Tell, ratio
from dev.stack import keys
from dev.stack.config import ROOT
from lib.events import encode
from lib.parse import parse_webhook

ROUNDS = 21
EMPTY = "an empty Starlette app"
THIS, OTHER = "this checkout", "the other"
CHILD = Path(__file__).with_name("cold_child.py")
HEAVIEST = 6


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
    """Milliseconds of each start of one kind, from the start of the process's own clock."""

    ready: list[float] = field(default_factory=list)
    ready_cpu: list[float] = field(default_factory=list)
    answer: list[float] = field(default_factory=list)
    answer_cpu: list[float] = field(default_factory=list)


Results = Mapping[Kind, Times]


def run(tell: Tell, *, quick: bool, against: Path | None = None) -> Section:
    """Makes the packages and starts many processes. Raises `RuntimeError` if a first answer is not 200."""
    rounds = 3 if quick else ROUNDS
    with tempfile.TemporaryDirectory(prefix="bench-package-") as directory:
        packages = {}
        for name, checkout in ((THIS, ROOT), *([(OTHER, against.resolve())] if against else [])):
            tell(f"making the package of {name}")
            packages[name] = package.make(checkout, Path(directory) / name.replace(" ", "-"))
        results = _measure(packages, rounds, tell)
        heaviest = _heaviest(packages[THIS])
    return _section(packages[THIS], results, rounds, heaviest)


def _measure(packages: Mapping[str, package.Package], rounds: int, tell: Tell) -> Results:
    firsts = {EMPTY: First(Call("GET", "/")), **_firsts()}
    results = {
        Kind(checkout, bytecode, name): Times()
        for bytecode, name, checkout in itertools.product((False, True), firsts, packages)
    }
    for number in range(rounds + 1):
        tell(f"round {number} of {rounds}")
        for kind, times in results.items():
            took = _start(packages[kind.checkout], kind, firsts[kind.name])
            if number:  # round 0 fills the disk cache
                times.ready.append(took["ready_ms"])
                times.ready_cpu.append(took["ready_cpu_ms"])
                times.answer.append(took["answer_ms"])
                times.answer_cpu.append(took["answer_cpu_ms"])
    return results


def _start(built: package.Package, kind: Kind, first: First) -> dict[str, float]:
    order = json.dumps(_order(built.folder(bytecode=kind.bytecode), kind.name, first))
    done = built.run(str(CHILD), order, bytecode=kind.bytecode, settings=settings())
    took: dict[str, float] = json.loads(done.stderr.splitlines()[-1]) if done.returncode == 0 else {}
    if took.get("status") != 200:
        raise RuntimeError(f"{kind} did not answer 200: {done.stderr[-2000:]}")
    return took


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


def _heaviest(built: package.Package) -> str:
    """Returns, in words, the packages whose modules take longest by themselves in the webhook's import."""
    order = json.dumps(_order(built.compiled, WEBHOOK, _firsts()[WEBHOOK]))
    lines = f"import json, sys; sys.path[0] = {str(CHILD.parent)!r}; import cold_child; order = json.loads({order!r})\n"
    lines += "sys.path[0] = order['root']; cold_child.load(order['root'] + '/' + order['file'])"
    done = built.run("-X", "importtime", "-c", lines, bytecode=True, settings=settings())
    spent: Counter[str] = Counter()
    for micros, module in re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s*([\w.]+)$", done.stderr, re.M):
        spent[module.partition(".")[0]] += int(micros)
    del spent["cold_child"]
    return ", ".join(f"{name} {micros / 1000:.1f} ms" for name, micros in spent.most_common(HEAVIEST))


def _section(built: package.Package, results: Results, rounds: int, heaviest: str) -> Section:
    compared = any(kind.checkout == OTHER for kind in results)
    return Section(
        title="Cold start",
        about=(
            f"A fresh process with a function's package ({built.made}): until the function is imported and ready, and "
            "until its first answer is given. The first request of the webhook and of the internal endpoint is one "
            "message to hand on, that of the consumer one message to record. The network is in memory; the TLS "
            f"contexts and the clients are real. Medians of {rounds}, with the half of the times around them; CPU is "
            f"the processor time of the process. Baseline: {EMPTY} that answers `{{}}`, from the same package."
        ),
        head=(
            *(("checkout",) if compared else ()),
            *("function", "bytecode", "ready, ms", "half within", "ratio", "CPU, ms"),
            *("first answer, ms", "half within", "ratio", "CPU, ms"),
        ),
        rows=tuple(
            (*((kind.checkout,) if compared else ()), *_row(kind, times, results)) for kind, times in results.items()
        ),
        remarks=(
            *(_comparison(results) if compared else ()),
            "The platform compiles only with the project variable VERCEL_PYTHON_COMPILEALL=1 (docs/vercel.md).",
            f"The heaviest packages in the webhook's import, with bytecode (`python -X importtime`): {heaviest}.",
        ),
        pictures=((picture(_medians(results)), "Ready and first answer of each function"),),
    )


def _row(kind: Kind, times: Times, results: Results) -> tuple[str, ...]:
    floor = results[Kind(kind.checkout, kind.bytecode, EMPTY)]
    return (
        kind.name,
        "with" if kind.bytecode else "without",
        *_cells(times.ready, times.ready_cpu, floor.ready),
        *_cells(times.answer, times.answer_cpu, floor.answer),
    )


def _cells(times: Sequence[float], cpu: Sequence[float], floor: Sequence[float]) -> tuple[str, ...]:
    """The median, the half around it, the ratio to the floor, and the processor time."""
    quarter, median, three_quarters = statistics.quantiles(times, n=4)
    half = f"{quarter:.0f} to {three_quarters:.0f}"
    return (f"{median:.0f}", half, ratio(median, statistics.median(floor)), f"{statistics.median(cpu):.0f}")


def _comparison(results: Results) -> list[str]:
    """Returns a sentence a function: this checkout's medians as ratios to the other's."""
    sentences = []
    for name in dict.fromkeys(kind.name for kind in results):
        ratios = (
            f"{words}: ready {_compared(results[mine].ready, results[theirs].ready)}, CPU "
            f"{_compared(results[mine].ready_cpu, results[theirs].ready_cpu)}, first answer "
            f"{_compared(results[mine].answer, results[theirs].answer)}, CPU "
            f"{_compared(results[mine].answer_cpu, results[theirs].answer_cpu)}"
            for words, mine, theirs in (
                ("without bytecode", Kind(THIS, False, name), Kind(OTHER, False, name)),
                ("with", Kind(THIS, True, name), Kind(OTHER, True, name)),
                ("with, to the other without", Kind(THIS, True, name), Kind(OTHER, False, name)),
            )
        )
        sentences.append(f"{name}, {THIS} to {OTHER}. {'; '.join(ratios)}.")
    return sentences


def _compared(mine: Sequence[float], theirs: Sequence[float]) -> str:
    return ratio(statistics.median(mine), statistics.median(theirs))


def _medians(results: Results) -> dict[str, tuple[float, float]]:
    """Milliseconds until ready and until the first answer, by the label of a bar."""
    other = {THIS: "", OTHER: ", the other"}
    return {
        f"{kind.name}, {'with' if kind.bytecode else 'without'} bytecode{other[kind.checkout]}": (
            statistics.median(times.ready),
            statistics.median(times.answer),
        )
        for kind, times in results.items()
    }

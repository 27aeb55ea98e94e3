"""How long a fresh process takes to import each function, and to give its first answer; beside an empty Starlette app.

Every round starts one process for each, in turns, so that what slows the machine slows all. Knows what each function is
asked first, and what it hears from the network. Must not know what it does.
"""

import base64
import hashlib
import importlib.metadata
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jwt
from matplotlib.figure import Figure

from bench.function import (
    BASE_URL,
    CONSUMER,
    FAILURE,
    HEALTH,
    INGEST,
    WEBHOOK,
    Call,
    settings,
    webhook_body,
    webhook_call,
)  # fmt: skip
from bench.section import Section, Tell, ratio, save
from dev.functions import find_functions
from dev.stack import keys
from dev.stack.config import ROOT
from lib.events.model import encode
from lib.webhooks.parser import parse_webhook

ROUNDS = 21
EMPTY = "an empty Starlette app"
CHILD = Path(__file__).with_name("cold_child.py")
HEAVIEST = 6


@dataclass(frozen=True)
class First:
    """The first request to a function, and what it hears from the network meanwhile."""

    call: Call
    answers: Mapping[str, str] = field(default_factory=dict)


def run(tell: Tell, *, quick: bool) -> Section:
    """Starts many processes."""
    rounds, firsts, hidden = 3 if quick else ROUNDS, _firsts(), _only_on_a_laptop()
    names = (EMPTY, *firsts)
    imports: dict[str, list[float]] = {name: [] for name in names}
    answers: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        tell(f"round {number} of {rounds}")
        for name in names:
            took = _start(name, firsts.get(name, First(Call("GET", "/"))), hidden)
            if number:  # the first one fills the disk cache
                imports[name].append(took["import_ms"])
                answers[name].append(took["answer_ms"])
    median_imports = {name: statistics.median(times) for name, times in imports.items()}
    median_answers = {name: statistics.median(times) for name, times in answers.items()}
    return Section(
        title="Cold start",
        about=(
            "A fresh process, with what the functions have installed and nothing else: until the function is imported, "
            "and until its first answer is given. The webhook's is one message handed over, the consumer's one message "
            "recorded, with the Supabase client (its part for the database) imported and made; the network is in "
            f"memory, the TLS contexts are real. Medians of {rounds}. Baseline: {EMPTY} that answers `{{}}`."
        ),
        head=("function", "import, ms", "ratio", "first answer, ms", "ratio"),
        rows=tuple(
            (
                name,
                f"{median_imports[name]:.0f}",
                ratio(median_imports[name], median_imports[EMPTY]),
                f"{median_answers[name]:.0f}",
                ratio(median_answers[name], median_answers[EMPTY]),
            )
            for name in names
        ),
        remarks=(
            "The aim: the webhook's import at most 1.3 times the baseline's, and the consumer, with the Supabase "
            "client in it, at most 2.5 times.",
            f"What weighs most in the webhook's import (`python -X importtime`): {_heaviest(hidden)}.",
        ),
        pictures=((_picture(median_imports, median_answers), "Import and first answer of each function"),),
    )


def _start(name: str, first: First, hidden: list[str]) -> dict[str, float]:
    file = None if name == EMPTY else str(find_functions(ROOT)[name].file)
    order = {
        "file": file,
        "hidden": hidden,
        "method": first.call.method,
        "path": first.call.path,
        "headers": {"host": "bench.example", **(first.call.headers or {})},
        "body": first.call.body.decode(),
        "answers": dict(first.answers),
    }
    done = subprocess.run(
        [sys.executable, str(CHILD), json.dumps(order)],
        env={"PATH": os.environ["PATH"], **settings()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    took: dict[str, float] = json.loads(done.stderr.splitlines()[-1]) if done.returncode == 0 else {}
    if took.get("status") != 200:
        raise RuntimeError(f"{name} did not answer 200: {done.stderr[-2000:]}")
    return took


def _firsts() -> dict[str, First]:
    """By the path of the function."""
    body = webhook_body(1)
    [event] = parse_webhook(json.loads(body), received_at=time.time_ns() // 1_000_000)
    handed = encode(event)
    given = {"event_id": event.event_id, "status": "queued", "via": "queue", "message_id": "msg_1"}
    recorded = {"outcome": "new", "account_id": event.account_id, "account_state": "active", "effects": []}
    report = {"sourceMessageId": "msg_1", "status": 500, "sourceBody": base64.b64encode(handed).decode()}
    bearer = {"authorization": f"Bearer {keys.INTERNAL_SECRET}", "x-ingest-budget-ms": "3800"}
    return {
        WEBHOOK: First(webhook_call(body), {INGEST: json.dumps({"results": [given]})}),
        INGEST: First(Call("POST", INGEST, handed, bearer), {"/v2/batch": '[{"messageId": "msg_1"}]'}),
        CONSUMER: First(_delivered(CONSUMER, handed), {"/rest/v1/rpc/record_event": json.dumps(recorded)}),
        FAILURE: First(_delivered(FAILURE, json.dumps(report).encode()), {"/rest/v1/rpc/store_dead_letter": "true"}),
        HEALTH: First(Call("GET", HEALTH)),
    }


def _delivered(path: str, body: bytes) -> Call:
    """A delivery, signed as QStash signs (Upstash, "Verifying signatures")."""
    now_s = int(time.time())
    digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode()
    claims = {"iss": "Upstash", "sub": BASE_URL + path, "iat": now_s, "nbf": now_s, "exp": now_s + 3600, "jti": "1"}
    signature = jwt.encode({**claims, "body": digest}, keys.QSTASH_CURRENT_SIGNING_KEY, algorithm="HS256")
    return Call("POST", path, body, {"upstash-signature": signature, "upstash-message-id": "msg_1"})


def _only_on_a_laptop() -> list[str]:
    """Modules of distributions that are installed here and not with the functions."""
    deployed = {
        _canonical(match[1])
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if (match := re.match(r"([A-Za-z0-9._-]+)==", line))
    }
    return [
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if deployed.isdisjoint(map(_canonical, owners))
    ]


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _heaviest(hidden: list[str]) -> str:
    """The packages whose modules take longest by themselves, in words."""
    file = find_functions(ROOT)[WEBHOOK].file
    lines = f"import sys; sys.path[0:0] = {[str(CHILD.parent), str(ROOT)]!r}; import cold_child\n"
    lines += f"sys.meta_path.insert(0, cold_child.Hidden({set(hidden)!r})); cold_child.load({str(file)!r})"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", lines],
        env={"PATH": os.environ["PATH"], **settings()},
        capture_output=True,
        text=True,
        check=True,
    )
    spent: Counter[str] = Counter()
    for micros, module in re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s*([\w.]+)$", done.stderr, re.M):
        spent[module.partition(".")[0]] += int(micros)
    return ", ".join(f"{package} {micros / 1000:.1f} ms" for package, micros in spent.most_common(HEAVIEST))


def _picture(imports: Mapping[str, float], answers: Mapping[str, float]) -> str:
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    names = list(imports)
    axes.barh(names, list(answers.values()), color="#c4ccd6", label="first answer")
    axes.barh(names, list(imports.values()), color="#1f6f54", label="import")
    axes.invert_yaxis()
    axes.set_xlabel("ms from the start, median")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return save(figure, "cold_start.svg")

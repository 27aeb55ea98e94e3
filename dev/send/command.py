"""`python -m dev send`: signs webhook bodies from files and posts them, exactly as they are."""

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click
import httpx

from dev.send.redate import redate
from dev.send.samples import INDEX_NAME, SAMPLES
from dev.send.webhook import WEBHOOK_PATH, Answer, as_meta_writes, post_webhook
from dev.stack import keys
from dev.stack.components import on
from dev.stack.config import ROOT
from dev.stack.environment import user_settings
from dev.stack.options import explained
from dev.stack.ports import HOST, Ports
from lib.core.safe_json import decode_json
from lib.errors.exceptions import BadJson

ANSWER_WITHIN_S = 30.0
MAX_SEED = 2**32 - 1
COUNTS = ("received", "queued", "processed", "ignored", "rejected", "failed")


class Body(NamedTuple):
    """One webhook body and its name."""

    name: str
    content: bytes


def _default_url() -> str:
    base = os.environ.get("DEV_PORT_BASE", "")
    return on(int(base) if base.isdecimal() else Ports.functions) + WEBHOOK_PATH


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--repeat", default=1, show_default=True, type=click.IntRange(1), help="Post everything so many times.")
@click.option("--shuffle", is_flag=True, help="Post in random order, repetitions included.")
@click.option("--seed", type=click.IntRange(0, MAX_SEED), help="The random order of --shuffle, to have it again.")
@click.option("--now", is_flag=True, help="Move all times by the same distance, so that the newest is now.")
@click.option(
    "--url",
    default=_default_url,
    help=f"The webhook, of a deployment too; a bare origin will do. Default: {on(Ports.functions)}{WEBHOOK_PATH}",
)
def send(files: tuple[str, ...], repeat: int, seed: int | None, url: str, *, shuffle: bool, now: bool) -> None:
    """Sign webhook bodies as Meta does, and post them to the running functions.

    FILE is a file, a directory (every .json in it), - for the standard input, or the name of a sample in
    dev/samples, such as text or batch. The bytes are posted as they are. With --now, JSON is written
    anew.

    The signature is made with INSTAGRAM_APP_SECRET from the environment or .env, else with the local stack's.
    The exit status is 1 if any answer was not 200.
    """
    if seed is not None and not shuffle:
        raise click.UsageError("--seed goes with --shuffle.")
    target = _webhook_url(url)
    with explained():
        secret = user_settings(ROOT).get("INSTAGRAM_APP_SECRET", keys.APP_SECRET).split(",")[0].strip()
    bodies = [body for file in files for body in _read(file)]
    posts = (_redated(bodies) if now else bodies) * repeat
    if shuffle:
        seed = random.randint(0, MAX_SEED) if seed is None else seed
        random.Random(seed).shuffle(posts)
        click.echo(f"Shuffled with --seed {seed}.")
    answers = _post_all(posts, target, secret)
    click.echo(_summary(answers))
    sys.exit(0 if all(answer.ok for answer in answers) else 1)


def _webhook_url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise click.BadParameter(f"{text!r} is no http or https address.", param_hint="--url")
    return url.copy_with(path=WEBHOOK_PATH) if url.path in ("", "/") else url


def _read(file: str) -> list[Body]:
    """Returns the bodies for one argument. A file wins over a sample of the same name."""
    if file == "-":
        return [Body("(stdin)", sys.stdin.buffer.read())]
    path = Path(file)
    if path.is_dir():
        paths = sorted(each for each in path.glob("*.json") if each.name != INDEX_NAME)
        if not paths:
            raise click.BadParameter(f"{file} holds no .json file.", param_hint="FILE")
        return [Body(each.name, each.read_bytes()) for each in paths]
    if path.is_file():
        return [Body(path.name, path.read_bytes())]
    sample = SAMPLES / f"{file.removesuffix('.json')}.json"
    if path.name == file and sample.is_file():
        return [Body(sample.name, sample.read_bytes())]
    raise click.BadParameter(
        f"{file} is neither a file, nor a directory, nor one of the samples in dev/samples.", param_hint="FILE"
    )


def _redated(bodies: list[Body]) -> list[Body]:
    """Returns the bodies with the newest time of all set to now. A body that is not JSON stays as it is."""
    moved = redate([_json_or_bytes(body.content) for body in bodies], now_ms=time.time_ns() // 1_000_000)
    return [
        Body(body.name, value if isinstance(value, bytes) else as_meta_writes(value))
        for body, value in zip(bodies, moved, strict=True)
    ]


def _json_or_bytes(content: bytes) -> object:
    try:
        return decode_json(content)
    except BadJson:
        return content


def _post_all(posts: list[Body], url: httpx.URL, secret: str) -> list[Answer]:
    """Posts the bodies and prints a line for each. Raises `click.ClickException` if no server listens."""
    width = max(len(post.name) for post in posts)
    # The shell's proxy is for other machines, not for this one.
    local = url.host in (HOST, "localhost")
    answers: list[Answer] = []
    with httpx.Client(timeout=ANSWER_WITHIN_S, trust_env=not local) as http:
        for post in posts:
            try:
                answer = post_webhook(http, url, post.content, app_secret=secret)
            except httpx.ConnectError as error:
                why = "start the stack with `make dev`, or give --url." if local else error
                raise click.ClickException(f"Nothing answers on {url.scheme}://{url.netloc.decode()}: {why}") from error
            answers.append(answer)
            click.echo(f"{post.name:<{width}}  {_line(answer)}")
    return answers


def _line(answer: Answer) -> str:
    took = click.style(f"{answer.took_ms:5.0f} ms", dim=True)
    if answer.ok:
        return f"{click.style(answer.status, fg='green')}  {took}  {_counts(answer.body)}"
    return f"{click.style(answer.status or '---', fg='red')}  {took}  {_complaint(answer)}"


def _complaint(answer: Answer) -> str:
    error = answer.body.get("error")
    if isinstance(error, dict):
        return ": ".join(str(error[name]) for name in ("code", "message") if name in error)
    return _counts(answer.body) or answer.reason


def _counts(counts: Mapping[str, Any]) -> str:
    shown = [name for name in COUNTS if counts.get(name) or (name == "received" and name in counts)]
    return ", ".join(f"{counts[name]} {name}" for name in shown)


def _summary(answers: list[Answer]) -> str:
    posts = f"{len(answers)} post{'' if len(answers) == 1 else 's'}"
    others = Counter(str(answer.status or "no answer") for answer in answers if not answer.ok)
    if others:
        posts += f", {others.total()} not answered 200 ({', '.join(f'{n} × {what}' for what, n in others.items())})"
    total = {name: sum(answer.count(name) for answer in answers) for name in COUNTS}
    return f"\n{posts}: {_counts(total)}."

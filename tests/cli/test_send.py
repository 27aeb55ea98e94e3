"""`python -m dev send`: it posts what is in the file, and says what was answered."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner, Result

from dev.cli import cli
from dev.send.samples import SAMPLES
from dev.stack import keys
from dev.stack.ports import free_port
from lib.webhooks.signature import verify_hub
from tests.support.builders import message, now_ms, webhook
from tests.support.world import World


@pytest.fixture(autouse=True)
def local_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the developer's own `.env` says."""
    monkeypatch.setenv("INSTAGRAM_APP_SECRET", keys.APP_SECRET)
    monkeypatch.delenv("DEV_PORT_BASE", raising=False)


def send(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, ["send", *arguments], input=stdin)


def to(world: World, *arguments: str, stdin: bytes | None = None) -> Result:
    return send("--url", world.stack.functions_url, *arguments, stdin=stdin)


def written(path: Path, body: object) -> str:
    path.write_text(json.dumps(body))
    return str(path)


@contextmanager
def listener() -> Iterator[tuple[str, list[tuple[str, bytes, str]]]]:
    """A server that is not ours. Yields its address and what comes in: path, body, signature."""
    heard: list[tuple[str, bytes, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((self.path, body, self.headers["X-Hub-Signature-256"]))
            self.send_response(503, "Having A Rest")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", heard
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("name", ["text", "text.json", str(SAMPLES / "text.json")])
def test_a_sample_is_sent_by_its_name_or_its_path(world: World, name: str) -> None:
    done = to(world, name)
    assert done.exit_code == 0, done.output
    assert re.fullmatch(
        r"text\.json  200 +\d+ ms  1 received, 1 queued\n\n1 post: 1 received, 1 queued\.\n", done.output
    )
    world.settle()
    assert world.row("select text from messages")["text"].startswith("Hi! Is the blue serving bowl")


def test_a_file_beside_us_wins_over_a_sample_of_the_same_name(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "text.json", webhook(message("mine")))
    assert to(world, "text.json").exit_code == 0
    world.settle()
    assert world.row("select text from messages")["text"] == "mine"


def test_every_file_of_a_directory_is_sent_but_its_index(world: World) -> None:
    done = to(world, str(SAMPLES))
    files = sorted(path.name for path in SAMPLES.glob("*.json") if path.name != "INDEX.json")
    assert re.findall(r"^(\S+\.json) +200", done.output, re.M) == files
    assert done.exit_code == 0
    world.settle()
    told = re.search(rf"{len(files)} posts: (\d+) received, (\d+) queued\.", done.output)
    assert told
    assert int(told[1]) == int(told[2]) == world.count("events")


def test_the_bytes_are_those_of_the_file_and_signed_as_they_are(tmp_path: Path) -> None:
    odd = b'\xef\xbb\xbf{"object" :"instagram",\r\n "entry":[ ] , "\\u00e4": "\xc3\xa4"}\n\n'
    path = tmp_path / "odd.bin"
    path.write_bytes(odd)
    with listener() as (url, heard):
        done = send("--url", url, str(path))
        send("--url", f"{url}/somewhere/else?x=1", str(path))
    paths, bodies, signatures = zip(*heard, strict=True)
    assert paths == ("/api/webhooks/instagram", "/somewhere/else?x=1")
    assert bodies == (odd, odd)
    assert all(verify_hub(odd, signature, [keys.APP_SECRET]) for signature in signatures)
    assert re.match(r"odd\.bin  503 +\d+ ms  Having A Rest\n", done.output)
    assert done.exit_code == 1


def test_what_is_no_json_is_sent_too_and_its_400_is_shown(world: World, tmp_path: Path) -> None:
    broken = tmp_path / "broken.txt"
    broken.write_text('{"object": "instagram", "entry": [')
    misshapen = written(tmp_path / "misshapen.json", {"object": "instagram", "entry": {}})
    done = to(world, str(broken), misshapen, "text", "--now")
    assert done.exit_code == 1
    assert re.search(r"^broken\.txt +400 +\d+ ms  invalid_payload: .*not JSON", done.output, re.M)
    assert re.search(r"^misshapen\.json +400 +\d+ ms  invalid_payload: .*\$\.entry", done.output, re.M)
    assert "3 posts, 2 not answered 200 (2 × 400): 1 received, 1 queued." in done.output


def test_the_standard_input_is_sent(world: World) -> None:
    done = to(world, "-", stdin=json.dumps(webhook(message("one"), message("two"))).encode())
    assert "2 received, 2 queued" in done.output
    world.settle()
    assert world.count("messages") == 2


def test_repetitions_are_shuffled_as_the_seed_says_and_leave_one_trace(world: World) -> None:
    first = to(world, "text", "image", "voice", "--repeat", "5", "--shuffle")
    seed = re.match(r"Shuffled with --seed (\d+)\.\n", first.output)
    assert seed
    second = to(world, "text", "image", "voice", "--repeat", "5", "--shuffle", "--seed", seed[1])
    order = re.findall(r"^(\w+)\.json", first.output, re.M)
    assert sorted(order) == ["image"] * 5 + ["text"] * 5 + ["voice"] * 5
    assert re.findall(r"^(\w+)\.json", second.output, re.M) == order
    world.settle()
    assert world.count("events") == 3


def test_now_brings_old_bodies_to_today_and_repetitions_stay_repetitions(world: World) -> None:
    assert to(world, "text", "reaction", "--now", "--repeat", "2").exit_code == 0
    world.settle()
    rows = world.rows("select occurred_at from events order by occurred_at")
    assert len(rows) == 2
    assert abs(rows[-1]["occurred_at"].timestamp() * 1000 - now_ms()) < 60_000


def test_a_wrong_secret_is_answered_401_and_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSTAGRAM_APP_SECRET", "of somebody else, of somebody")
    done = to(world, "text")
    assert done.exit_code == 1
    assert re.match(r"text\.json  401 +\d+ ms  wrong_signature: ", done.output)
    assert "somebody" not in done.output


def test_the_first_of_several_secrets_signs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSTAGRAM_APP_SECRET", f"{keys.APP_SECRET}, the old one")
    assert to(world, "text").exit_code == 0


def test_where_nothing_listens_one_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("DEV_PORT_BASE", str(port))
    done = send("text")
    assert done.exit_code == 1
    assert done.output == (
        f"Error: Nothing answers on http://127.0.0.1:{port}: start the stack with `make dev`, or give --url.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nothing-of-that-name"], "nothing-of-that-name is neither a file, nor a directory, nor one of the samples"),
        (["../samples/text"], "is neither a file"),
        (["text", "--seed", "3"], "--seed goes with --shuffle"),
        (["text", "--url", "127.0.0.1:3000"], "is no http or https address"),
        (["text", "--url", "http://[::1"], "is no http or https address"),
        ([], "Missing argument 'FILE...'"),
    ],
)
def test_a_mistake_on_the_command_line_is_named_before_anything_is_sent(
    arguments: list[str], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = send(*arguments)
    assert done.exit_code == 2
    assert complaint in done.output


def test_a_directory_without_bodies_is_a_mistake(tmp_path: Path) -> None:
    assert "holds no .json file" in send(str(tmp_path)).output

"""`make demo`: what it says, that it ends well, and that it notices when something is wrong."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dev.cli import cli
from dev.demo import counts
from dev.demo.story import tell
from dev.demo.tables import lines, middle_cut
from dev.send.samples import samples
from dev.send.webhook import Answer
from dev.stack import Ports, StackConfig, StackError
from dev.stack.config import ROOT
from dev.stack.lock import LOCK_NAME, DataLock
from dev.stack.own import own_config
from tests.support.processes import all_refuse, dev_command, processes_of, started, wait_for_line

HOSTED = {"SUPABASE_URL": "https://hosted.invalid", "QSTASH_URL": "https://hosted.invalid"}


def demo_command(config: StackConfig) -> list[str]:
    return [sys.executable, *dev_command("demo", config)]


@dataclass(frozen=True)
class Shown:
    """One demo, as its user saw it."""

    config: StackConfig
    status: int
    output: str


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    config = StackConfig(data_dir=tmp_path_factory.mktemp("demo"), ports=Ports.free())
    done = subprocess.run(
        demo_command(config),
        cwd=ROOT,
        env={**os.environ, **HOSTED, "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=100,
    )
    return Shown(config, done.returncode, done.stdout)


def test_the_demo_ends_with_all_counts_right(shown: Shown) -> None:
    ending = shown.output.strip().splitlines()[-1]
    told = re.fullmatch(r"(\d+) events, (\d+) processed, 0 lost, 0 doubled. All counts are right.", ending)
    assert told, shown.output
    in_samples = sum(len(sample.kinds) for sample in samples())
    assert int(told[1]) == int(told[2]) > in_samples
    assert shown.status == 0


def test_the_readme_shows_what_the_demo_says(shown: Shown) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = (
        each for each in re.findall(r"^```\w*\n(.*?)^```$", readme, re.M | re.DOTALL) if "webhooks are posted" in each
    )
    said = {_without_chance(line) for line in shown.output.splitlines()}
    assert [line for line in block.splitlines() if line.strip(" …") and _without_chance(line) not in said] == []


def _without_chance(line: str) -> str:
    """Returns `line` without ids, times and blanks, which differ from one run to another."""
    return re.sub(r"ig_\S+|\b\d+(?= in the median| at most|$)| ", "", line.rstrip())


def test_every_event_of_every_sample_has_its_row_with_path_outcome_and_time(shown: Shown) -> None:
    for sample in samples():
        assert re.search(
            rf"^  {sample.name} +{sample.kinds[0]} +ig_\w+\S+ +queued +processed +\d+$", shown.output, re.M
        )
    rows = re.findall(r"^ .* (\w+) +ig_\S+ +queued +processed +\d+$", shown.output, re.M)
    assert rows == [kind for sample in samples() for kind in sample.kinds]


def test_what_landed_is_shown_with_what_became_of_it(shown: Shown) -> None:
    assert re.search(r"mara\.lindqvist +Mara Lindqvist +complete", shown.output)
    assert re.search(r"in +mara\.lindqvist +message +And could you gift-wrap it\? .* edited", shown.output)
    assert re.search(r"in +mara\.lindqvist +message +- +unsent", shown.output)
    assert re.search(r"out +mara\.lindqvist +echo +It is! .* 👍", shown.output)
    assert re.search(r"dm +tomas\.na\.roda +Thank you for the mention, Tomás! +sent", shown.output)
    assert re.search(r"private_reply +jonas\.brennt +It is 68 €\..* +sent", shown.output)


def test_the_repetition_reaches_the_ledger_and_changes_nothing(shown: Shown) -> None:
    told = re.search(
        r"(\d+) events: QStash dropped (\d+) .* of the (\d+) it delivered, the ledger knew (\d+)",
        " ".join(shown.output.split()),
    )
    assert told
    in_samples = sum(len(sample.kinds) for sample in samples())
    assert list(map(int, told.groups())) == [2 * in_samples, in_samples, in_samples, in_samples]
    assert re.search(r"Nothing changed: \d+ rows in \d+ tables, equal in every column\.", shown.output)


def test_without_qstash_the_message_is_processed_directly_and_the_log_says_so(shown: Shown) -> None:
    assert re.search(r"\(one more\) +message +ig_msg_\S+ +direct +processed +\d+", shown.output)
    assert re.search(r"error +QStash did not take the events; processing directly", shown.output)
    assert re.search(r"info +Event processed +ig_msg_\S+", shown.output)


def test_hosted_settings_are_left_alone(shown: Shown) -> None:
    assert "SUPABASE_URL and QSTASH_URL left alone" in shown.output.replace("\n", " ")


def test_a_pipe_gets_plain_lines_that_fit(shown: Shown) -> None:
    assert "\x1b" not in shown.output
    assert "\r" not in shown.output
    assert max(map(len, shown.output.splitlines())) <= 100
    assert len(re.findall(r"webhooks posted", shown.output)) <= 6


def test_the_demo_leaves_its_data_and_no_process(shown: Shown) -> None:
    assert (shown.config.data_dir / "demo" / "postgres" / "PG_VERSION").is_file()
    assert processes_of(shown.config.data_dir) == []
    assert all_refuse(shown.config.ports)


def test_ctrl_c_ends_the_demo_without_a_trace(tmp_path: Path) -> None:
    config = StackConfig(data_dir=tmp_path, ports=Ports.free())
    with started(demo_command(config)) as process:
        wait_for_line(process, "are posted")
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    assert output.strip().splitlines()[-1] == "Stopped before the end."
    assert "Traceback" not in output
    assert processes_of(tmp_path) == []
    assert all_refuse(config.ports)


# That it notices.

NOW = datetime(2026, 11, 24, tzinfo=UTC)
TEXT = tell(1_795_000_000_000).posts[0]
(EVENT,) = TEXT.events
EMPTY: dict[str, list[dict[str, Any]]] = {
    table: []
    for table in ("events", "messages", "profiles", "reactions", "comments", "mentions", "outbox", "dead_letters")
}
LANDED = EMPTY | {
    "events": [{"event_id": EVENT.event_id, "kind": "message", "via": "queue", "processed_at": NOW}],
    "messages": [{"mid": "m", "is_placeholder": False}],
    "profiles": [{"igsid": EVENT.contact_id}],
}


def verdict(snapshot: Mapping[str, Any], sent: list[dict[str, Any]] | None = None) -> counts.Verdict:
    expected = counts.expected([TEXT], direct=0, echoes=True)
    return counts.verdict(expected, counts.found(snapshot, sent or [], [TEXT]))


def test_right_counts_give_status_0() -> None:
    good = verdict(LANDED)
    assert good.exit_code == 0
    assert good.text == "1 events, 1 processed, 0 lost, 0 doubled. All counts are right."


@pytest.mark.parametrize(
    ("doctored", "sent", "complaint"),
    [
        ({"events": []}, [], "expected 1 events in the ledger, found 0"),
        ({"events": [{**LANDED["events"][0], "processed_at": None}]}, [], "expected 1 events processed, found 0"),
        ({"events": [{**LANDED["events"][0], "event_id": "ig_msg_x"}]}, [], "expected 0 events lost, found 1"),
        ({"events": [{**LANDED["events"][0], "kind": "echo"}]}, [], "expected 0 events of kind echo, found 1"),
        ({"events": [{**LANDED["events"][0], "via": "direct"}]}, [], "expected 1 events by the queue, found 0"),
        ({"messages": [*LANDED["messages"] * 2]}, [], "expected 1 messages, found 2"),
        ({"messages": [{"mid": "m", "is_placeholder": True}]}, [], "expected 1 messages, found 0"),
        ({"profiles": []}, [], "expected 1 profiles, found 0"),
        ({"dead_letters": [{"event_id": EVENT.event_id}]}, [], "expected 0 dead letters, found 1"),
        ({}, [{"message_id": "x"}], "expected 0 replies sent twice, found 1"),
        ({"outbox": [{"kind": "dm", "state": "sent", "mid": "x"}]}, [], "expected 0 replies sent, found 1"),
    ],
)
def test_a_wrong_count_is_named_and_gives_status_1(
    doctored: dict[str, Any], sent: list[dict[str, Any]], complaint: str
) -> None:
    bad = verdict(LANDED | doctored, sent)
    assert bad.exit_code == 1
    assert complaint in bad.text.splitlines()
    assert "All counts are right" not in bad.text


def test_a_changed_row_a_missing_row_and_a_row_too_many_are_differences() -> None:
    assert counts.differences(LANDED, LANDED) == []
    changed = LANDED | {"profiles": [{"igsid": "another"}]}
    assert counts.differences(LANDED, changed) == [
        "profiles: 1 rows before, 1 after, 2 in one and not in the other",
    ]
    assert counts.differences(LANDED, EMPTY | {"messages": LANDED["messages"] * 2}) == [
        "events: 1 rows before, 0 after, 1 in one and not in the other",
        "messages: 1 rows before, 2 after, 0 in one and not in the other",
        "profiles: 1 rows before, 0 after, 1 in one and not in the other",
    ]


@pytest.mark.parametrize(
    ("row", "status", "dead", "seen"),
    [
        ({"via": "queue", "processed_at": NOW}, 200, False, ("queued", "processed", 250.0)),
        ({"via": "direct", "processed_at": NOW}, 200, False, ("direct", "processed", 250.0)),
        ({"via": "queue", "processed_at": None}, 200, False, ("queued", "unfinished", None)),
        ({"via": "queue", "processed_at": None}, 200, True, ("queued", "dead letter", None)),
        (None, 200, True, ("-", "dead letter", None)),
        (None, 200, False, ("-", "lost", None)),
        (None, 503, False, ("-", "HTTP 503", None)),
    ],
)
def test_the_verdict_of_an_event_is_what_the_ledger_says(
    row: dict[str, Any] | None, status: int, dead: bool, seen: tuple[str, str, float | None]
) -> None:
    answer = Answer(status, "", {}, NOW.timestamp() * 1000 - 250, 1)
    ledger = {} if row is None else {EVENT.event_id: row}
    (line,) = lines(TEXT, answer, ledger, frozenset({EVENT.event_id} if dead else ()))
    assert (line.sample, line.kind, line.event_id) == ("text", "message", EVENT.event_id)
    assert (line.via, line.verdict, line.ms) == seen


# Where it runs.


def test_default_ports_that_are_taken_give_way_to_free_ones(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # somebody has it already, which does as well
            listener.bind(("127.0.0.1", Ports.functions))
            listener.listen()
        ports = own_config(StackConfig(data_dir=tmp_path), "demo").ports
    assert ports != Ports()
    assert all_refuse(ports)


def test_named_ports_stay_and_a_qstash_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    named = Ports.free()
    assert own_config(StackConfig(data_dir=tmp_path, ports=named), "demo").ports == named
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", named.qstash))
        listener.listen()
        with pytest.raises(StackError, match=rf"^Port {named.qstash} \(qstash\) is already taken"):
            own_config(StackConfig(data_dir=tmp_path, ports=named), "demo")


def test_a_demo_never_uses_hosted_services_nor_the_data_of_others(tmp_path: Path) -> None:
    config = StackConfig(data_dir=tmp_path, ports=Ports.free(), env=HOSTED)
    own = own_config(config, "demo")
    assert own.env == {}
    assert own.data_dir == tmp_path / "demo"
    own.data_dir.mkdir()
    (own.data_dir / "diary.txt").write_text("mine")
    with pytest.raises(StackError, match="was not made by `demo`"):
        own_config(config, "demo")
    assert (own.data_dir / "diary.txt").exists()


def test_what_the_last_demo_left_is_wiped_unless_it_still_runs(tmp_path: Path) -> None:
    config = StackConfig(data_dir=tmp_path, ports=Ports.free())
    lock = DataLock(tmp_path / "demo")
    lock.acquire()
    try:
        with pytest.raises(StackError, match="Another `demo` already runs on"):
            own_config(config, "demo")
    finally:
        lock.release()
    own_config(config, "demo")
    assert not (tmp_path / "demo").exists()


def test_clean_deletes_what_a_demo_left_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / LOCK_NAME).touch()
    (tmp_path / "mine").touch()
    done = CliRunner().invoke(cli, ["reset", "--data-dir", str(tmp_path)])
    assert (done.exit_code, done.output) == (0, f"Deleted {tmp_path / 'demo'}.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_clean_deletes_what_vercel_built_too(tmp_path: Path) -> None:
    for name in ("demo", "vercel", "mine"):
        (tmp_path / name).mkdir()
    (tmp_path / "demo" / LOCK_NAME).touch()
    (tmp_path / "vercel" / "vercel.json").touch()
    done = CliRunner().invoke(cli, ["reset", "--data-dir", str(tmp_path)])
    assert done.output == f"Deleted {tmp_path / 'demo'} and {tmp_path / 'vercel'}.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("room", [18, 20, 36, 60])
def test_a_shortened_id_keeps_its_namespace_and_its_tail(room: int) -> None:
    for event in (event for post in tell(1_795_000_000_000).posts for event in post.events):
        cut = middle_cut(event.event_id, room)
        assert len(cut) <= room
        namespace = "_".join(event.event_id.split("_", 2)[:2]) + "_"
        assert cut.startswith(namespace)
        assert cut.endswith(event.event_id[-4:])

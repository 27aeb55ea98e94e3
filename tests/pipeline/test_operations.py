"""docs/operations.md: every query and every command in it is run, and finds what it is for."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dev.stack.config import ROOT
from tests.support.accounts import FIRST, SECOND, connect
from tests.support.builders import ACCOUNT, message, new_mid, webhook
from tests.support.logs import objects, words_refused
from tests.support.world import World

DOCUMENT = (ROOT / "docs" / "operations.md").read_text()
LINES_IN_CODE = re.compile(r"""(?:_log\.(?:info|warning|error|exception)|\bsay|delivery\.done)\(\s*"([^"]+)\"""")
DAYS_LEFT = 3


def test_every_line_the_functions_can_write_is_in_the_document_and_no_other() -> None:
    written = {
        said
        for folder in ("lib", "api")
        for file in (ROOT / folder).rglob("*.py")
        if file.name != "log.py"  # has an example
        for said in LINES_IN_CODE.findall(file.read_text())
    }
    rows = re.findall(r"^\| (`[A-Z][^|]*`) \| [a-z, ]+ \|", DOCUMENT, re.MULTILINE)
    assert written == {said for row in rows for said in re.findall(r"`([^`]+)`", row)}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)\n```", DOCUMENT, re.DOTALL)


def answers(world: World, mark: str) -> list[dict[str, Any]]:
    """What the one query with `mark` in it answers."""
    (query,) = [each for each in blocks("sql") if mark in each]
    return world.db.execute(query.encode()).fetchall()


def in_trouble(world: World) -> str:
    """Each thing that can be wrong, once. Returns the id of an event that is stuck."""
    connect(world, FIRST, SECOND)
    world.db.execute(
        "update accounts set state = 'needs_reauth', state_code = 'graph_190' where account_id = %s", [FIRST]
    )
    world.db.execute(
        "update account_tokens set expires_at = now() + make_interval(days => %s) where account_id = %s",
        [DAYS_LEFT, SECOND],
    )
    world.rule(trigger="keyword", pattern="price", reply_text="Here")
    world.graph_fault("send", "cut_before_accept")
    stuck = new_mid()
    world.deliver(webhook(message("price?", mid=stuck)))
    world.graph_fault("send", "ok")
    with words_refused(world):
        world.deliver(webhook(message("refused", mid="m_1")))
    world.db.execute("update events set processed_at = null, recorded_at = now() - interval '1 hour'")
    return f"ig_msg_{stuck}"


def test_every_query_of_the_document_runs_as_the_service_role_and_finds_the_trouble(world: World) -> None:
    in_trouble(world)
    assert len(blocks("sql")) >= 7
    with world.db.transaction():
        world.db.execute("set local role service_role")
        found = {query: len(world.db.execute(query.encode()).fetchall()) for query in blocks("sql")}
    assert [query for query, rows in found.items() if rows == 0 and "ig_msg_m_1" not in query] == []


def test_the_document_says_what_is_stuck_and_nothing_where_nothing_is(world: World) -> None:
    assert {row["count"] for row in answers(world, "erasures pending")} == {0}
    assert answers(world, "o.not_before") == []
    stuck = in_trouble(world)
    counts = {row["what"]: row["count"] for row in answers(world, "erasures pending")}
    assert counts == {
        "events unfinished for five minutes": 1,
        "effects whose worker is gone": 0,
        "sends nobody knows the end of": 1,
        "dead letters open": 1,
        "erasures pending": 0,
    }
    assert [row["event_id"] for row in answers(world, "o.not_before")] == [stuck]
    (send,) = answers(world, "sending_at, lease_until")
    assert send["state"] == "unknown"
    world.db.execute("update outbox set state = 'claimed', lease_until = now() - interval '1 s'")
    assert {row["what"]: row["count"] for row in answers(world, "erasures pending")}[
        "effects whose worker is gone"
    ] == 1
    assert [row["owes"] for row in answers(world, "o.not_before")] == ["dm"]


def test_the_document_says_what_failed_most(world: World) -> None:
    in_trouble(world)
    failed = {
        (row["what"], row["kind"], row["error_code"]): row["times"] for row in answers(world, "accounts,\n    max")
    }
    assert failed.pop(("dead letter", "message", "database_constraint")) == 1
    ((what, kind, _code),) = failed
    assert (what, kind) == ("effect unknown", "dm")


def test_the_document_says_how_far_behind_we_are(world: World) -> None:
    world.deliver(webhook(message(), message()))
    world.db.execute(
        "update events set occurred_at = recorded_at - interval '1 hour', received_at = recorded_at - interval '2 min'"
    )
    (hour,) = answers(world, "half_from_instagram")
    assert (hour["events"], hour["processed_directly"]) == (2, 0)
    assert (hour["most_from_instagram"].total_seconds(), hour["most_from_webhook"].total_seconds()) == (3600, 120)
    (now,) = answers(world, "since_the_last_event")
    assert (now["unfinished"], now["oldest_unfinished"]) == (0, None)


def test_the_document_says_which_account_needs_a_token(world: World) -> None:
    connect(world, ACCOUNT)
    assert answers(world, "days_left") == []
    in_trouble(world)
    found = [
        (row["account_id"], row["state"], row["state_code"], row["days_left"]) for row in answers(world, "days_left")
    ]
    assert [row[:3] for row in found] == [(FIRST, "needs_reauth", "graph_190"), (SECOND, "active", None)]
    assert found[1][3] in (DAYS_LEFT - 1, DAYS_LEFT)


def test_the_document_tells_the_story_of_one_event(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="Here")
    world.deliver(webhook(message("price?", mid="m_1")))
    (row,) = answers(world, "failed_with")
    assert (row["effect"], row["state"], row["dead_letter"]) == ("dm", "sent", None)


def shell(world: World, folder: Path) -> str:
    """Every command of the document, one after the other, over this log and this QStash; what they print.

    `npx vercel logs` is somebody's account: in its place stands what it prints, the lines wrapped in both its ways.
    """
    for tool in ("jq", "curl"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    log = [line for line in world.functions_log().splitlines() if line.startswith("{")]
    wrapped: list[dict[str, Any]] = [{"type": "log", "data": {"message": line}} for line in log[::2]]
    wrapped += [{"timestamp": 1, "logs": [{"message": f"GET /\n{line}\n"}]} for line in log[1::2]]
    (folder / "log").write_text("\n".join(map(json.dumps, wrapped)))
    script = "\n".join(["set -e", f"npx() {{ cat {folder}/log; }}", *blocks("sh")])
    done = subprocess.run(
        ["sh", "-c", script],
        env={
            "PATH": os.environ["PATH"], "NO_PROXY": "*",
            "QSTASH_URL": world.stack.qstash_url, "QSTASH_TOKEN": world.stack.env["QSTASH_TOKEN"],
        },
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_commands_of_the_document_find_what_failed(world: World, tmp_path: Path) -> None:
    in_trouble(world)
    printed = shell(world, tmp_path)
    assert re.search(r"\d Delivery failed · permanent · database_constraint\n", printed)
    assert "Delivery failed" in [one["message"] for one in objects(printed) if one.get("event_id") == "ig_msg_m_1"]
    assert re.search(r'^\{"messageId":"msg_\w+","responseStatus":489,.*"at":"20', printed, re.MULTILINE)
    assert re.search(r'^\{"dlqId":"[^"]+","messageId":"msg_\w+","responseStatus":489,', printed, re.MULTILINE)

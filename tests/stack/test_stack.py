"""The stack's own life: what it says when it can't start, and that it leaves nothing behind."""

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import psycopg
import pytest

from dev.stack import Ports, Stack, StackConfig, StackError
from tests.support.processes import all_refuse, dev_command, processes_of, refuses, started, wait_for_line


@pytest.fixture
def fresh(project: Path, tmp_path: Path) -> StackConfig:
    """The little project's stack, never started before."""
    return StackConfig(
        data_dir=tmp_path / "data",
        ports=Ports.free(),
        fast=True,
        functions_dir=project,
        migrations_dir=project / "migrations",
    )


@pytest.fixture(scope="module")
def rested(tmp_path_factory: pytest.TempPathFactory) -> StackConfig:
    """This project's own stack, started once and stopped: its data is there."""
    config = StackConfig(data_dir=tmp_path_factory.mktemp("rested"), ports=Ports.free(), fast=True)
    with Stack(config) as stack, psycopg.connect(stack.dsn) as connection:
        connection.execute("create table public.kept as select 1 as id")
    return config


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken


def test_a_cold_start_takes_seconds_and_a_stop_leaves_no_process(fresh: StackConfig) -> None:
    lines: list[str] = []
    stack = Stack(fresh)
    stack.start(lines.append)
    assert re.fullmatch(r"ready after \d+\.\d s", lines[-1])
    assert processes_of(fresh.data_dir)
    stack.stop()
    stack.stop()
    assert processes_of(fresh.data_dir) == []
    assert all_refuse(fresh.ports)


def test_the_second_start_keeps_the_data_and_applies_nothing_again(rested: StackConfig) -> None:
    began = time.monotonic()
    with Stack(rested) as stack:
        assert time.monotonic() - began < 6  # several times the usual: the machine may be busy
        with psycopg.connect(stack.dsn) as connection:
            assert connection.execute("select id from public.kept").fetchone() == (1,)
        assert stack.migrate() == 0


@pytest.mark.parametrize("pid", [2**22 - 7, os.getpid()], ids=["a dead process", "a living stranger"])
def test_a_stale_postmaster_lock_is_healed(rested: StackConfig, pid: int) -> None:
    (rested.data_dir / "postgres" / "postmaster.pid").write_text(f"{pid}\n{rested.data_dir}/postgres\n0\n1\n\n\n")
    lines: list[str] = []
    stack = Stack(rested)
    try:
        stack.start(lines.append)
    finally:
        stack.stop()
    assert "postgres: removed a stale lock" in lines


def test_a_second_stack_on_the_same_data_is_refused_in_one_sentence(stack: Stack) -> None:
    rival = Stack(replace(stack.config, ports=Ports.free()))
    with pytest.raises(StackError, match=rf"already runs on .* \(process {os.getpid()}\).*--data-dir") as refusal:
        rival.start()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["functions", "postgres", "rest", "qstash"])
def test_a_taken_port_is_named_with_its_holder_and_the_way_out(
    fresh: StackConfig, listener: socket.socket, name: str
) -> None:
    port = listener.getsockname()[1]
    with pytest.raises(StackError) as refusal:
        Stack(replace(fresh, ports=replace(fresh.ports, **{name: port}))).start()
    message = str(refusal.value)
    assert message.startswith(f"Port {port} ({name}) is already taken by ")
    assert f"(process {os.getpid()})" in message
    assert f"--{name}-port" in message
    assert "\n" not in message
    assert processes_of(fresh.data_dir) == []


def test_a_changed_migration_is_refused_with_the_way_out(fresh: StackConfig, tmp_path: Path) -> None:
    migrations = tmp_path / "migrations"
    migrations.mkdir()
    file = migrations / "1_things.sql"
    file.write_text("create table things (id integer);")
    config = replace(fresh, migrations_dir=migrations)
    with Stack(config) as stack:
        (migrations / "2_more.sql").write_text("create table more (id integer); select 1/0;")
        with pytest.raises(StackError, match=r"2_more failed: division by zero"):
            stack.migrate()
        (migrations / "2_more.sql").write_text("create table more (id integer);")
        assert stack.migrate() == 1
        file.write_text("create table things (id bigint);")
        with pytest.raises(StackError, match=r"1_things was changed .*`make clean`"):
            stack.migrate()


def test_a_child_that_dies_at_the_start_is_reported_with_the_end_of_its_log(fresh: StackConfig) -> None:
    stack = Stack(replace(fresh, echo="no-such-mode"))
    with pytest.raises(StackError, match=r"graph stopped while starting \(exit code 2\)") as failure:
        stack.start()
    assert "no-such-mode" in str(failure.value)
    assert processes_of(fresh.data_dir) == []
    assert all_refuse(fresh.ports)


def test_settings_of_the_shell_do_not_reach_the_functions(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", "https://hosted.example")
    monkeypatch.setenv("INSTAGRAM_APP_SECRET", "of-the-shell")
    with stack.functions({"PHASE3_URL": "http://127.0.0.1:9/x"}) as base_url:
        env = httpx.get(f"{base_url}/api/environment", trust_env=False).json()
    assert env["PHASE3_URL"] == "http://127.0.0.1:9/x"
    assert env["PUBLIC_URL"] == base_url
    assert env["SUPABASE_URL"] == stack.supabase_url
    assert env["INSTAGRAM_APP_SECRET"] == "local-app-secret"
    assert refuses(int(base_url.rsplit(":", 1)[1]))


def test_a_named_supabase_is_used_instead_of_a_local_one(fresh: StackConfig) -> None:
    env = {"SUPABASE_URL": "https://x.supabase.example", "SUPABASE_SERVICE_ROLE_KEY": "k"}
    with Stack(replace(fresh, env=env)) as stack:
        assert "postgres" not in stack.names
        assert stack.env["SUPABASE_URL"] == "https://x.supabase.example"
    with pytest.raises(StackError, match="SUPABASE_SERVICE_ROLE_KEY is not"):
        Stack(replace(fresh, env={"SUPABASE_URL": "https://x.supabase.example"})).start()


def test_a_qstash_that_already_listens_is_used(stack: Stack, fresh: StackConfig) -> None:
    lines: list[str] = []
    second = Stack(replace(fresh, ports=replace(fresh.ports, qstash=stack.config.ports.qstash)))
    second.start(lines.append)
    try:
        assert f"qstash: using the one that answers on port {stack.config.ports.qstash}" in lines
        assert "qstash" not in second.names
    finally:
        second.stop()
    assert stack.is_running("qstash")


def up_command(config: StackConfig) -> list[str]:
    return [sys.executable, *dev_command("up", config)]


@pytest.mark.parametrize(
    ("number", "shell"),
    [
        (signal.SIGINT, []),
        (signal.SIGTERM, []),
        (signal.SIGINT, ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]),
    ],
    ids=["ctrl-c", "kill", "ctrl-c of a shell that ignores it"],
)
def test_up_stops_cleanly_when_asked(rested: StackConfig, number: signal.Signals, shell: list[str]) -> None:
    with started([*shell, *up_command(rested)]) as process:
        wait_for_line(process, "stop with Ctrl-C")
        process.send_signal(number)
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in output
    assert output.strip().splitlines()[-1].startswith("Stopped.")
    assert all_refuse(rested.ports)
    assert processes_of(rested.data_dir) == []


@pytest.mark.parametrize("after_s", [0.4, 1.2])
def test_ctrl_c_during_the_start_stops_what_had_started(rested: StackConfig, after_s: float) -> None:
    with started(up_command(rested)) as process:
        time.sleep(after_s)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=20)
    assert "Traceback" not in output
    assert processes_of(rested.data_dir) == []
    assert all_refuse(rested.ports)


def test_a_test_that_fails_leaves_no_stack_behind(rested: StackConfig) -> None:
    def fails() -> None:
        with started(up_command(rested)) as process:
            wait_for_line(process, "stop with Ctrl-C")
            assert processes_of(rested.data_dir) == []

    with pytest.raises(AssertionError):
        fails()
    assert processes_of(rested.data_dir) == []


def test_nothing_outlives_a_parent_that_was_killed(rested: StackConfig) -> None:
    with started(up_command(rested)) as process:
        wait_for_line(process, "stop with Ctrl-C")
        process.kill()
        process.communicate()
    # The next stack waits for the remains to go, then starts as if nothing had happened.
    with Stack(rested):
        pass
    assert processes_of(rested.data_dir) == []

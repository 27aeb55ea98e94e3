"""The stand-in as a process: it says where it is, and it ends at once and quietly."""

import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from dev.qstash.config import DEV_TOKEN
from tests.qstash.stand import Receiver, Reply, eventually
from tests.support.processes import started

COMMAND = [sys.executable, "-W", "error", "-c", "from dev.qstash.command import qstash; qstash()"]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_a_second_or_so_and_without_noise(receiver: Receiver, sig: signal.Signals) -> None:
    port = _free_port()
    with started([*COMMAND, "--port", str(port)]) as process:
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {DEV_TOKEN}"})

        def answers() -> bool:
            try:
                return client.get("/__dev/state").status_code == 200
            except httpx.TransportError:
                return False

        eventually(answers, "the start of the process")
        # In the middle of everything: a delivery, a retry, a delayed message, a schedule, a hanging publish.
        held = receiver.script("/held", Reply(hold=True))
        failing = receiver.script("/failing", Reply(500))
        flow = {"Upstash-Flow-Control-Key": "k", "Upstash-Flow-Control-Value": "parallelism=1,rate=1"}
        for url, headers in ((held, flow), (held, flow), (failing, {}), (failing, {"Upstash-Delay": "1d"})):
            client.post(f"/v2/publish/{url}", headers=headers).raise_for_status()
        client.post(f"/v2/schedules/{held}", headers={"Upstash-Cron": "* * * * *"}).raise_for_status()
        eventually(lambda: receiver.at("/held") and client.get("/__dev/state").json()["waiting_retry"])
        client.post("/__dev/faults", json={"publish": "hang"}).raise_for_status()
        hanging = socket.create_connection(("127.0.0.1", port))
        request = f"POST /v2/publish/{held} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {DEV_TOKEN}\r\n"
        hanging.sendall(f"{request}Content-Length: 0\r\n\r\n".encode())
        client.get("/__dev/state")
        began = time.monotonic()
        process.send_signal(sig)
        output, _ = process.communicate(timeout=10)
        took_s = time.monotonic() - began
        hanging.close()
        client.close()
    assert output.splitlines() == [
        f"QStash stand-in on http://127.0.0.1:{port} (token eyJVc2…, time scale 1; stop with Ctrl-C)"
    ]
    assert process.returncode == 0
    # Half a second here; the rest is for a machine that has other things to do.
    assert took_s < 3


def test_a_taken_port_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*COMMAND, "--port", str(port)], capture_output=True, text=True, check=False, env=dict(os.environ)
        )
    assert done.returncode == 1
    assert done.stderr == f"Error: 127.0.0.1:{port} is in use. Choose another one with --port.\n"

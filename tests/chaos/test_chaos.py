"""A short chaos run, as its user starts it: everything breaks, nothing is lost, doubled or sent twice."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dev.stack import Ports
from dev.stack.config import ROOT
from tests.chaos.schedule import ALL_RETRIES_S, schedule

SEED, EVENTS, MINUTES, TIME_SCALE = 20261124, 240, 0.25, 0.002


@pytest.mark.timeout(400)
def test_under_every_fault_nothing_is_lost_doubled_sent_twice_or_judged_wrongly(tmp_path: Path) -> None:
    picture = tmp_path / "run.png"
    options = {"seed": SEED, "events": EVENTS, "minutes": MINUTES, "time-scale": TIME_SCALE, "plot": picture}
    options |= {"data-dir": tmp_path / "data"} | {f"{name}-port": port for name, port in vars(Ports.free()).items()}
    flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    done = subprocess.run(
        [sys.executable, "-m", "dev", "chaos", *flags],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=390,
    )
    ending = done.stdout.strip().splitlines()[-1]
    assert ending == "lost 0, doubled 0, double DMs 0, wrong verdicts 0. The promise held.", done.stdout
    assert done.returncode == 0
    for fault in schedule(SEED, MINUTES * 60, ALL_RETRIES_S * TIME_SCALE):
        assert f"{fault.at_s:7.1f} s  {fault.kind.name}" in done.stdout
    told, processed = (int(re.findall(rf"(\d+) +events {what}", done.stdout)[0]) for what in ("told", "processed"))
    assert told == processed > EVENTS * 0.9
    assert picture.read_bytes().startswith(b"\x89PNG")

"""`make bench`: it runs, with its baselines, and a quick run leaves the report alone. No figure is judged."""

import os
import re
import subprocess
import sys

from bench.__main__ import BENCHMARKS, REPORT
from bench.section import PLOTS
from dev.stack.config import ROOT


def test_a_quick_run_prints_ratios_and_leaves_the_report_as_it_is() -> None:
    before = REPORT.read_text("utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "bench", "webhook", "cold_start", "--quick"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"\d+\.\d\d×", done.stdout)) >= 4 + 2 * 6
    assert "1000 events lead to 11 outbound requests" in done.stdout
    assert REPORT.read_text("utf-8") == before


def test_the_report_has_every_benchmark_and_its_pictures() -> None:
    report = REPORT.read_text("utf-8")
    assert re.findall(r"^<!-- (\w+) -->$", report, re.M) == list(BENCHMARKS)
    assert {file.name for file in PLOTS.iterdir()} == set(re.findall(r"\(plots/(\w+\.svg)\)", report))

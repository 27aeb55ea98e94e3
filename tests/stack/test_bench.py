"""`make bench`: it runs, with its baselines, and a quick run leaves the report alone. No figure is judged."""

import os
import re
import subprocess
import sys

from bench.__main__ import BENCHMARKS
from bench.quotes import DOCUMENTS, REPORT, renewed, sections
from bench.section import PLOTS
from dev.stack.config import ROOT


def test_a_quick_run_prints_ratios_and_leaves_the_report_as_it_is() -> None:
    before = REPORT.read_text("utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "bench", "client", "cold_start", "quick"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    client, cold_start = 2 * 3 * 2, 4 * 3 * 2
    assert len(re.findall(r"\d+\.\d\d×", done.stdout)) >= client + cold_start
    assert "aim: at most 1.50×" in done.stdout
    assert REPORT.read_text("utf-8") == before


def test_the_report_has_every_benchmark_and_its_pictures() -> None:
    report = REPORT.read_text("utf-8")
    assert re.findall(r"^<!-- (\w+) -->$", report, re.M) == list(BENCHMARKS)
    assert {file.name for file in PLOTS.iterdir()} == set(re.findall(r"\(plots/(\w+\.svg)\)", report))


def test_the_figures_in_the_documents_are_those_of_the_report() -> None:
    parts = sections(REPORT.read_text("utf-8"))
    quotes = [file.name for file in DOCUMENTS for _ in re.findall(r"<!-- bench: ", file.read_text("utf-8"))]
    assert {"README.md", "cost.md", "vercel.md"} <= set(quotes)
    for file in DOCUMENTS:
        assert renewed(file.read_text("utf-8"), parts) == file.read_text("utf-8"), f"make bench renews {file.name}"

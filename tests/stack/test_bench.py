"""`make bench`: it runs, with its baselines, and a quick run leaves the report alone. No figure is judged."""

import os
import re
import subprocess
import sys

from click.testing import CliRunner

from bench.__main__ import BENCHMARKS, REPORT, bench
from bench.cold_start import ANSWER, OTHER, READY, THIS, Kind, Times, comparison
from bench.section import PLOTS
from dev.stack.config import ROOT


def test_a_quick_run_prints_ratios_and_leaves_the_report_as_it_is() -> None:
    before = REPORT.read_text("utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "bench", "webhook", "hop", "cold_start", "--quick"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    webhook, hop, cold_start = 2 * 4, 8, 2 * 2 * 2 * 4
    assert len(re.findall(r"\d+\.\d\d×", done.stdout)) >= webhook + hop + cold_start
    assert "1000 events lead to 11 outbound requests" in done.stdout
    assert REPORT.read_text("utf-8") == before


def test_another_checkout_is_compared_by_the_medians_of_both_clocks() -> None:
    results = {
        (Kind(checkout, bytecode, "/api/health"), moment): Times([times, 9 * times, times], [cpu, cpu, 9 * cpu])
        for checkout, bytecode, times, cpu in (
            (THIS, False, 100, 50),
            (OTHER, False, 200, 200),
            (THIS, True, 60, 10),
            (OTHER, True, 120, 40),
        )
        for moment in (READY, ANSWER)
    }
    assert comparison(results) == [
        "/api/health, this checkout to the other: "
        "without bytecode, ready 0.50× (CPU 0.25×); without bytecode, first answer 0.50× (CPU 0.25×); "
        "with bytecode, ready 0.50× (CPU 0.25×); with bytecode, first answer 0.50× (CPU 0.25×); "
        "with bytecode to the other without, ready 0.30× (CPU 0.05×); "
        "with bytecode to the other without, first answer 0.30× (CPU 0.05×)."
    ]


def test_only_the_cold_start_takes_another_checkout() -> None:
    for names in (["webhook"], [], ["cold_start", "webhook"]):
        refused = CliRunner().invoke(bench, [*names, "--against", str(ROOT)])
        assert refused.exit_code == 2
        assert "cold_start alone" in refused.output


def test_the_report_has_every_benchmark_and_its_pictures() -> None:
    report = REPORT.read_text("utf-8")
    assert re.findall(r"^<!-- (\w+) -->$", report, re.M) == list(BENCHMARKS)
    assert {file.name for file in PLOTS.iterdir()} == set(re.findall(r"\(plots/(\w+\.svg)\)", report))

"""`python -m cli doctor`: the command line, and how findings are shown."""

import asyncio
import json
import sys
from collections.abc import Mapping

import click

from cli.doctor.case import Case, case_of
from cli.doctor.examination import CHECKS, examine
from cli.doctor.finding import Finding
from cli.examples import examples
from dev.stack.config import StackConfig
from dev.stack.options import explained, stack_options

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red", "skipped": "bright_black"}
STATE_WIDTH = max(map(len, COLOURS))
NAME_WIDTH = max(map(len, CHECKS))


@click.command(epilog=examples("doctor", "doctor --url https://YOUR-DOMAIN"))
@click.option(
    "--url", default="", help="The deployment. Default: PUBLIC_URL or PRODUCTION_DOMAIN, or else the local stack."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for machines.")
@stack_options
def doctor(config: StackConfig, url: str, *, as_json: bool) -> None:
    """Check a deployment from end to end: settings, webhook, QStash, consumer, database, tokens, subscriptions.

    .env has to have the deployment's own settings. Without settings the stack of `make dev` is checked. The command
    sends one test event through the whole pipeline and deletes its row again. It checks the accounts like `accounts
    check`, which stops an account with a dead token. It writes nothing else. The exit status is 1 if a check failed.
    """
    if url and not url.startswith(("https://", "http://")):
        raise click.BadParameter(f"{url!r} does not begin with https:// or http://.", param_hint="--url")
    with explained():
        case = case_of(config, url)
    if not as_json:
        click.echo(f"Checking {case.url} ({'settings of the local stack' if case.is_local else 'settings of .env'})\n")
    findings = asyncio.run(examine(case, _silent if as_json else _show))
    failed = any(finding.state == "fail" for finding in findings.values())
    click.echo(_as_json(case, findings, failed=failed) if as_json else _summary(findings))
    sys.exit(1 if failed else 0)


def _silent(_name: str, _finding: Finding) -> None:
    """Shows nothing: the JSON comes at the end."""


def _show(name: str, finding: Finding) -> None:
    state = click.style(finding.state.ljust(STATE_WIDTH), fg=COLOURS[finding.state])
    click.echo(f"{state}  {name.ljust(NAME_WIDTH)}  {finding.saw}")
    for label, text in (("cause", finding.cause), ("fix", finding.fix)):
        for line in text.splitlines():
            click.echo(f"{' ' * (STATE_WIDTH + NAME_WIDTH + 4)}{label}: {line}")


def _summary(findings: Mapping[str, Finding]) -> str:
    states = [finding.state for finding in findings.values()]
    return "\n" + ", ".join(f"{states.count(state)} {state}" for state in COLOURS if state in states) + "."


def _as_json(case: Case, findings: Mapping[str, Finding], *, failed: bool) -> str:
    checks = [{"name": name, **finding.model_dump(exclude_defaults=True)} for name, finding in findings.items()]
    return json.dumps({"url": case.url, "ok": not failed, "checks": checks}, indent=2, ensure_ascii=False)

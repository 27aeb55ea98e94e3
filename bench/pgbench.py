"""Calls the SQL functions in Postgres itself, by pgbench: the same arguments, prepared, without HTTP."""

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from bench.bare import Request
from dev.stack.postgres import binaries

NEWEST = 2**53


def script(requests: Sequence[Request], marks: Mapping[str, str], people: range) -> str:
    """Returns a script with the calls of `requests`, each run for another event (PostgreSQL, "pgbench")."""
    lines = [f"\\set n random(1, {NEWEST})", f"\\set who random({people.start}, {people.stop - 1})"]
    for request in requests:
        function = request.target.rsplit("/", 1)[-1]
        arguments = ", ".join(f"{name} => {_sql(value, marks)}" for name, value in json.loads(request.body).items())
        lines.append(f"select public.{function}({arguments});")
    return "\n".join(lines) + "\n"


def _sql(value: object, marks: Mapping[str, str]) -> str:
    """Returns a constant in which each id of the event is replaced by one of the next event."""
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    text = value if isinstance(value, str) else json.dumps(value)
    # Colons are escaped, because pgbench takes the word after a colon for a variable.
    constant = "E'" + text.replace("\\", "\\\\").replace("'", "''").replace(":", "\\x3A") + "'"
    for name, mark in marks.items():
        if name != "lease" and mark in text:
            other = ":who::text" if name == "person" else f"'{name}' || :n::text"
            constant = f"replace({constant}, '{mark}', {other})"
    return constant if isinstance(value, str) else f"{constant}::jsonb"


def run(dsn: str, text: str, *, at_once: int, events: int) -> float:
    """Returns the events a second. Raises `RuntimeError` with pgbench's own message."""
    server = urlsplit(dsn)
    with tempfile.TemporaryDirectory(prefix="pgbench-") as directory:
        file = Path(directory) / "events.sql"
        file.write_text(text, "utf-8")
        command = (
            binaries() / "pgbench", "--no-vacuum", "--protocol=prepared", f"--client={at_once}",
            f"--transactions={max(1, events // at_once)}", f"--file={file}",
            f"--host={server.hostname}", f"--port={server.port}", f"--username={server.username}",
            server.path.strip("/"),
        )  # fmt: skip
        env = {"PATH": os.defpath, "PGOPTIONS": "-c role=service_role"}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    pace = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    if done.returncode != 0 or pace is None or "number of failed transactions: 0 " not in done.stdout:
        raise RuntimeError(f"pgbench: {done.stderr or done.stdout}")
    return float(pace[1])

"""Whatever a function's process writes, before and after its settings are read, is lines of JSON without words."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from dev.functions import find_functions

ROOT = Path(__file__).resolve().parents[2]
WORDS = "somebody's own words"
START = "import lib.core.start_log\n"

PLATFORM = """
    import atexit, logging, sys, traceback

    original, held = sys.stderr, []

    class Wrapper:
        def __init__(self, stream):
            self.stream = stream

        def write(self, text):
            held.append(text)

        def __getattr__(self, name):
            return getattr(self.stream, name)

    class Handler(logging.Handler):
        def emit(self, record):
            text = record.getMessage()
            if record.exc_info:
                text += "".join(traceback.format_exception(*record.exc_info))
            held.append(text + chr(10))

    sys.stdout, sys.stderr = Wrapper(sys.stdout), Wrapper(sys.stderr)
    logging.basicConfig(level=logging.INFO, handlers=[Handler()], force=True)

    def leave():
        original.write("".join(held))
        held.clear()

    atexit.register(leave)

    def load(file):
        import importlib.util
        try:
            spec = importlib.util.spec_from_file_location("entry", file)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        except Exception:
            original.write(f"could not import {file}:" + chr(10) + traceback.format_exc() + chr(10))
            sys.exit(1)
        return module
"""
"""What Vercel's runtime does with the streams and with an import that fails (vercel-runtime 0.24.1, `vc_init.py`)."""


def written(code: str, *, path: Path | None = None, **env: str) -> list[dict[str, Any]]:
    """The lines that a new process writes. Fails if one is not a JSON object, or has somebody's words."""
    folders = os.pathsep.join(map(str, filter(None, (path, ROOT))))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, timeout=60,
        check=False, env={"PATH": os.environ["PATH"], "PYTHONPATH": folders, **env},
    )  # fmt: skip
    text = done.stdout + done.stderr
    assert WORDS not in text, text
    lines = []
    for line in text.splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            pytest.fail(f"no line of JSON: {line!r}\n{text}")
        assert {"time", "level", "message", "logger"} <= set(lines[-1])
    return lines


def test_a_process_without_this_writes_what_it_likes() -> None:
    with pytest.raises(pytest.fail.Exception, match="no line of JSON"):
        written("print('hello')")


STRAY = {
    "print": "print(WORDS)",
    "print in pieces": "print(WORDS, 1, sep='|', end=''); print()",
    "print to stderr": "print(WORDS, file=sys.stderr)",
    "write": "sys.stdout.write(WORDS + '\\nand more\\n')",
    "bytes": "sys.stdout.buffer.write(WORDS.encode() + b'\\n'); sys.stdout.buffer.flush()",
    "several lines": "sys.stderr.writelines([WORDS + '\\n', 'two\\n'])",
    "first stderr": "sys.__stderr__.write(WORDS + '\\n')",
    "a JSON text that is no object": "sys.__stderr__.write('[1, 2]\\n')",
    "warning": "warnings.warn(WORDS)",
    "warning of a kind": "warnings.simplefilter('always'); warnings.warn(WORDS, ResourceWarning)",
    "deprecation": "warnings.simplefilter('always'); warnings.warn(WORDS, DeprecationWarning)",
    "library": "logging.getLogger('a.library').warning('about %s', WORDS)",
    "library with an error": "logging.getLogger('a.library').error(ValueError(WORDS))",
    "library with a wrong template": "logging.getLogger('a.library').error('%d %d', WORDS)",
    "root": "logging.info('hello'); logging.error('about %s', WORDS)",
    "last resort": "logging.getLogger('a.library').critical('bye')",
    "exception": "logging.getLogger('a').error('failed', exc_info=ValueError(WORDS))",
    "printed traceback": "\ntry:\n    raise ValueError(WORDS)\nexcept ValueError:\n    traceback.print_exc()",
    "uncaught": "raise ValueError(WORDS)",
    "uncaught group": "raise ExceptionGroup(WORDS, [ValueError(WORDS)])",
    "uncaught while another": "\ntry:\n    raise ValueError(WORDS)\nexcept ValueError:\n    raise KeyError(WORDS)",
    "thread": "t = threading.Thread(target=fail); t.start(); t.join()",
    "finalizer": "\nclass A:\n    def __del__(self):\n        raise ValueError(WORDS)\nA()\n",
    "task": "\nasync def main():\n"
    "    asyncio.ensure_future(afail())\n    await asyncio.sleep(0.01)\nasyncio.run(main())",
    "callback": "\nasync def main():\n    asyncio.get_running_loop().call_soon(fail)\n    await asyncio.sleep(0.01)\n"
    "asyncio.run(main())",
    "loop": "\nasync def main():\n"
    "    asyncio.get_running_loop().call_exception_handler({'message': 'bad', 'x': WORDS})\n"
    "asyncio.run(main())",
    "not awaited": "\nwarnings.simplefilter('always')\nafail()\n",
    "unclosed": "\nwarnings.simplefilter('always')\nimport socket\nsocket.socket()\n",
    "import": "import a_module_that_is_not_there",
    "syntax": "compile('a b', 'a file', 'exec')",
    "syntax warning": "warnings.simplefilter('always'); compile('a is 1', 'a file', 'exec')",
    "our own with a value that JSON has not": "log.get('x').info('hello', ms=float('nan'), other={(1, 2): 3})",
    "our own with an object that has no text": "\nclass A:\n    def __str__(self):\n        raise ValueError(WORDS)\n"
    "log.get('x').info('hello', it=A())",
    "our own with a circle": "a = []; a.append(a); log.get('x').info('hello', it=a)",
    "our own with a surrogate": "log.get('x').info('hello \\ud800', it='\\ud800')",
}
HEAD = f"""
import asyncio, json, logging, sys, threading, traceback, warnings
from lib.core import log
WORDS = {WORDS!r}
def fail():
    raise ValueError(WORDS)
async def afail():
    raise ValueError(WORDS)
"""


@pytest.mark.parametrize("platform", ["", PLATFORM], ids=["bare", "vercel"])
@pytest.mark.parametrize("code", STRAY.values(), ids=STRAY)
def test_every_way_of_writing_ends_in_lines_of_json(code: str, platform: str) -> None:
    assert written(f"{textwrap.dedent(platform)}{START}{HEAD}{code}")


def test_what_was_wrong_is_said_by_type_and_place() -> None:
    (line,) = written(START + HEAD + "fail()")
    assert (line["message"], line["exception"]) == ("Process ended by an error", "ValueError")
    assert line["frames"][-1].endswith("fail")
    (line,) = written(START + "import a_module_that_is_not_there")
    assert (line["exception"], line["module"]) == ("ModuleNotFoundError", "a_module_that_is_not_there")
    (line,) = written(START + HEAD + "warnings.warn(WORDS, FutureWarning)")
    assert (line["message"], line["category"]) == ("Warning of a library", "FutureWarning")
    (line,) = written(START + HEAD + "print(WORDS)")
    assert (line["stream"], line["characters"]) == ("stdout", len(WORDS))


# The functions.

FILES = {path: function.file for path, function in find_functions(ROOT).items()}

ASK = """
    import asyncio
    async def ask(app, method, path):
        sent = []
        async def receive():
            return {"type": "http.request", "body": b"{}", "more_body": False}
        async def send(message):
            sent.append(message)
        await app({
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "https", "method": method,
            "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"",
            "headers": [], "client": None, "server": ("x", 1),
        }, receive, send)
        return sent[0]["status"]
"""


@pytest.mark.parametrize("path", FILES)
def test_a_function_without_settings_writes_json(path: str) -> None:
    code = f"""{textwrap.dedent(PLATFORM)}{textwrap.dedent(ASK)}
app = load({str(FILES[path])!r}).app
for method in ("GET", "HEAD", "POST", "DELETE"):
    for route in ({path!r}, {path + "/sweep"!r}, {path + "/retention"!r}, {path + "/data-deletion"!r}):
        asyncio.run(ask(app, method, route))
"""
    lines = written(code)
    assert {"Request refused"} <= {line["message"] for line in lines}
    if path != "/api/health":
        assert {"Not configured"} <= {line["message"] for line in lines}
        assert {line["code"] for line in lines if line["message"] == "Not configured"} == {"bad_configuration"}


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("platform", [PLATFORM, ""], ids=["vercel", "bare"])
@pytest.mark.parametrize("broken", ["starlette", "pydantic", "pydantic_core"])
def test_a_function_that_cannot_be_imported_says_so_in_json(
    path: str, platform: str, broken: str, tmp_path: Path
) -> None:
    (tmp_path / broken).mkdir()
    (tmp_path / broken / "__init__.py").write_text(
        f"import sys, warnings\nwarnings.warn({WORDS!r})\nprint({WORDS!r})\nimport {broken}_core_that_is_not_there\n"
    )
    load = f"load({str(FILES[path])!r})" if platform else f"import runpy; runpy.run_path({str(FILES[path])!r})"
    lines = written(f"{textwrap.dedent(platform)}\n{load}", path=tmp_path)
    (failed,) = [line for line in lines if "exception" in line]
    assert (failed["exception"], failed["module"]) == ("ModuleNotFoundError", f"{broken}_core_that_is_not_there")
    assert {"Warning of a library", "Text written past the log"} <= {line["message"] for line in lines}

"""Makes a line of JSON of everything that a function writes past our log.

That is: what is printed, warnings, errors that nobody caught, and the report of the platform that a file of `api/`
cannot be imported. Its text may quote a secret or a person, and is left out; the error's type and frames are kept.
What the interpreter itself writes when it dies (a lack of memory, a fault in a C extension) cannot be caught here.
"""

import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterable
from types import TracebackType
from typing import Any, TextIO

_log = logging.getLogger(__name__)


class StrayText:
    """Stands in the place of stdout or stderr. Each text that is written becomes one line of the log."""

    def __init__(self, stream: Any, name: str) -> None:
        self.unwrapped = stream
        self._name = name

    def write(self, text: str | bytes) -> int:
        """Logs that something was written. `print` writes its line feed by itself, which is no text."""
        if text.strip():
            _tell(self._name, text)
        return len(text)

    def writelines(self, lines: Iterable[str | bytes]) -> None:
        """As `write`, for each line."""
        for line in lines:
            self.write(line)

    @property
    def buffer(self) -> "StrayText":
        """The stream for bytes."""
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unwrapped, name)


def catch() -> None:
    """Catches everything that this process writes from now on, and that is not a line of our log. May be called again.

    Changes the process as a whole: it is for a function on the platform, and not for a command or a test.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, StrayText):
            setattr(sys, name, StrayText(stream, name))
    _catch_original_stderr()
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable
    warnings.showwarning = _warning


def _catch_original_stderr() -> None:
    # Vercel's runtime keeps the first sys.stderr, and reports there why a file could not be imported (vercel-runtime
    # 0.24, `vc_init.py`). So its own method is replaced, and not the stream. The lines of our log that the runtime
    # holds until then come the same way, and pass.
    stream = sys.__stderr__
    if stream is None or hasattr(stream, "writes_json"):
        return
    write = stream.write

    def write_json(text: str) -> int:
        if not text.strip() or _is_json(text):
            return write(text)
        _tell("stderr", text)
        return len(text)

    stream.write = write_json  # type: ignore[method-assign]
    stream.writes_json = True  # type: ignore[attr-defined]


def _is_json(text: str) -> bool:
    try:
        return all(isinstance(json.loads(line), dict) for line in text.splitlines() if line.strip())
    except ValueError:
        return False


def _tell(stream: str, text: str | bytes) -> None:
    extra = {"fields": {"stream": stream, "characters": len(text)}}
    # A traceback is printed while its error is handled.
    _log.warning("Text written past the log", extra=extra, exc_info=sys.exc_info())


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _log.error("Process ended by an error", extra={"fields": {}}, exc_info=(kind, error, trace))


def _uncaught_in_thread(uncaught: threading.ExceptHookArgs) -> None:
    if uncaught.exc_type is not SystemExit and uncaught.exc_value is not None:
        info = (uncaught.exc_type, uncaught.exc_value, uncaught.exc_traceback)
        _log.error("Thread ended by an error", extra={"fields": {}}, exc_info=info)


def _unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    error = unraisable.exc_value or unraisable.exc_type()
    info = (unraisable.exc_type, error, unraisable.exc_traceback)
    _log.error("Error that could not be raised", extra={"fields": {}}, exc_info=info)


def _warning(  # noqa: PLR0917  the standard library calls it so
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    # The message may quote the value that it warns of.
    del message, file, line
    fields = {"category": category.__qualname__, "where": f"{filename}:{lineno}"}
    _log.warning("Warning of a library", extra={"fields": fields})

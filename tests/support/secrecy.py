"""What no log line and no answer may hold, looked for all through the test session: the secrets that the functions
are set up with, and the words of the people who write.

It sees every record that is logged in this process, what every function process writes to its log, and every answer
that `World` gets from a function. A leak is kept with its place until `tests/conftest.py` fails the test for it.
Must not know any route, nor what a line is about.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from dev.stack import keys
from lib.core.log import JsonLines

OF_SETTINGS = ("SECRET", "TOKEN", "KEY")
"""A setting with such a word in its name has a secret."""

SHORTEST_SECRET = 8
SHORTEST_WORDS = 12
"""Characters. Anything shorter ("wrong", "in the way") would be found by chance in what we say ourselves."""

MARKS = {"very-secret": "an account's access token", keys.ACCESS_TOKEN: "INSTAGRAM_ACCESS_TOKEN"}
"""Tokens that the tests keep in the database all begin like this (`tests/support/accounts.py`)."""

_WORDS = ("text", "title", "payload")
"""Fields of a webhook in which there are words of people, or what a developer put into a button."""


class Secrecy:
    """What is to be kept, what was looked through, and what was found."""

    def __init__(self) -> None:
        self._secrets = dict(MARKS)
        self._words: set[str] = set()
        self._read: dict[Path, int] = {}
        self.looked_at = {"records": 0, "answers": 0, "log bytes": 0}
        self.leaks: list[str] = []

    def learn_settings(self, env: Mapping[str, str]) -> None:
        """The secrets among settings; of several with commas between, each."""
        for name, value in env.items():
            if any(word in name for word in OF_SETTINGS):
                for secret in map(str.strip, value.split(",")):
                    if len(secret) >= SHORTEST_SECRET:
                        self._secrets |= dict.fromkeys((secret, quote(secret, safe="")), name)

    def learn_words(self, request: httpx.Request) -> None:
        """The words in a body that is posted as JSON, from now until `forget_words`."""
        try:
            words = [word for word in _words_in(json.loads(request.content)) if len(word) >= SHORTEST_WORDS]
        except (ValueError, RecursionError):
            return
        self._words.update(words, (json.dumps(word)[1:-1] for word in words))

    def forget_words(self) -> None:
        """The next test has words of its own, and some say what another's log may say."""
        self._words.clear()

    def look_at(self, text: str, place: str) -> None:
        """Keeps a leak for each thing in `text` that may not be there."""
        self.leaks += [f"{name} is in {place}" for secret, name in self._secrets.items() if secret in text]
        self.leaks += [f"somebody's words ({word[:20]!r}…) are in {place}" for word in self._words if word in text]

    def look_at_answer(self, answer: httpx.Response) -> None:
        """An answer, if it is of a function: its headers and its body."""
        if answer.request.url.path.startswith("/api/"):
            answer.read()
            self.looked_at["answers"] += 1
            place = f"the answer to {answer.request.method} {answer.request.url.path} ({answer.status_code})"
            self.look_at(f"{answer.headers}\n{answer.text}", place)

    def begins_anew(self, log: Path) -> None:
        """Another process writes this file now, from its beginning."""
        self._read.pop(log, None)

    def look_at_logs(self, logs: Iterable[Path]) -> None:
        """What has been written to these files since they were looked at last."""
        for log in logs:
            seen = self._read.get(log, 0)
            if log.stat().st_size < seen:  # written anew
                seen = 0
            with log.open("rb") as file:
                file.seek(seen)
                new = file.read()
            new = new[: new.rfind(b"\n") + 1]  # half a line is looked at when it is whole
            self._read[log] = seen + len(new)
            self.looked_at["log bytes"] += len(new)
            self._look_at_lines(new.decode("utf-8", "replace"), log)

    def _look_at_lines(self, text: str, log: Path) -> None:
        """Each line on its own only where there is something to be found in the whole."""
        found = len(self.leaks)
        self.look_at(text, str(log))
        if len(self.leaks) > found:
            del self.leaks[found:]
            for line in text.splitlines():
                self.look_at(line, f"{log}: {line[:300]}")

    @contextmanager
    def watching_records(self) -> Iterator[None]:
        """Inside, each record of each logger is looked at as `lib.log` would write it."""
        handle, lines = logging.Logger.handle, JsonLines()

        def handle_watched(logger: logging.Logger, record: logging.LogRecord) -> None:
            self.looked_at["records"] += 1
            self.look_at(lines.format(record), f"a line of {record.name} ({record.pathname}:{record.lineno})")
            handle(logger, record)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(logging.Logger, "handle", handle_watched)
            yield


def _words_in(value: object) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _words_in(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in _WORDS and isinstance(item, str):
                yield item
            else:
                yield from _words_in(item)


def function_logs(directory: Path) -> list[Path]:
    """The logs of the functions below `directory`, and of the consumer that is killed."""
    return [*directory.rglob("functions*.log"), *directory.rglob("serve.log")]


watch = Secrecy()
"""One a session: the tests' processes have one set of secrets."""

watch.learn_settings({name: value for name, value in vars(keys).items() if isinstance(value, str) and name.isupper()})

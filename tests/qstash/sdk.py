"""The official SDK, sync or async, called by method name; and what its types promise, checked.

A test says which methods it covers; the fixture sees to it that it really calls them.
"""

import asyncio
import dataclasses
import enum
import inspect
import types
from collections.abc import Callable
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from qstash import AsyncQStash, QStash

Flavour = Literal["sync", "async"]

COVERED: set[str] = set()
"""Every SDK method that some contract test covers, as `api.method`."""

EXCLUDED = {
    # The transport under all the other methods, with no meaning of its own.
    "http.request",
    "http.stream",
}
"""Public SDK methods without a contract test, each with its reason."""

_Test = TypeVar("_Test", bound=Callable[..., None])


def covers(*names: str) -> Callable[[_Test], _Test]:
    """Enters a test into the registry."""

    def register(test: _Test) -> _Test:
        COVERED.update(names)
        test.__dict__["covers"] = names
        return test

    return register


class Sdk:
    """One client of either flavour; `call("message.publish", url=…)` works the same for both."""

    def __init__(self, flavour: Flavour, *, token: str, base_url: str) -> None:
        self.flavour = flavour
        self.called: set[str] = set()
        self._runner = asyncio.Runner()
        client_class = QStash if flavour == "sync" else AsyncQStash
        self.client: Any = client_class(token, retry=False, base_url=base_url)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Calls one method and returns its result, whose type is checked as far as it is a dataclass."""
        api, method = name.split(".")
        self.called.add(name)
        result = getattr(getattr(self.client, api), method)(*args, **kwargs)
        if inspect.isawaitable(result):
            result = self._runner.run(_finish(result))
        check_promises(result)
        return result

    def close(self) -> None:
        transport = self.client.http._client
        if self.flavour == "sync":
            transport.close()
        else:
            self._runner.run(transport.aclose())
        self._runner.close()


async def _finish(awaitable: Any) -> Any:
    return await awaitable


def public_methods(client: object) -> set[str]:
    """Every public method of every API a client offers, as `api.method`."""
    return {
        f"{api_name}.{method}"
        for api_name, api in vars(client).items()
        for method in dir(type(api))
        if not method.startswith("_") and callable(getattr(api, method))
    }


def check_promises(value: object) -> None:
    """Fails where a dataclass of the SDK holds something its annotations do not allow."""
    if isinstance(value, list):
        for item in value:
            check_promises(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for name, hint in get_type_hints(type(value)).items():
            given = getattr(value, name)
            assert _allowed(given, hint), f"{type(value).__name__}.{name}: {given!r} is no {hint}"
            check_promises(given)


def _allowed(value: object, hint: Any) -> bool:
    origin = get_origin(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_allowed(value, option) for option in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if origin is list:
        return isinstance(value, list) and all(_allowed(item, get_args(hint)[0]) for item in value)
    if origin is dict:
        key, item = get_args(hint)
        return isinstance(value, dict) and all(_allowed(k, key) and _allowed(v, item) for k, v in value.items())
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return isinstance(value, hint)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)

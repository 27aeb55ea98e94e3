"""URL groups, called topics in the paths: one publish becomes a message for each endpoint.

Source: Upstash, features/url-groups and API reference, "URL Groups".
"""

import time
from dataclasses import dataclass, field

from dev.qstash.destinations import check_name, check_url
from dev.qstash.errors import bad_request, not_found
from dev.qstash.message import Json


@dataclass(frozen=True)
class Endpoint:
    """One endpoint; the name is optional."""

    url: str
    name: str | None = None


@dataclass
class UrlGroup:
    """One group; endpoints by URL, in the order they came."""

    name: str
    created_at_ms: int
    updated_at_ms: int
    endpoints: dict[str, Endpoint] = field(default_factory=dict)


class UrlGroups:
    """All groups by name."""

    def __init__(self) -> None:
        self._groups: dict[str, UrlGroup] = {}

    def endpoints(self, name: str) -> list[Endpoint] | None:
        """Returns the endpoints of a group, or None if there is no such group."""
        group = self._groups.get(name)
        return list(group.endpoints.values()) if group else None

    def upsert(self, name: str, wanted: object) -> None:
        """Adds or renames endpoints, and creates the group if there is none. Raises `ApiError` 400."""
        endpoints = [_checked(item) for item in _items(wanted)]
        _check_group_name(name)
        now_ms = int(time.time() * 1000)
        group = self._groups.setdefault(name, UrlGroup(name, now_ms, now_ms))
        group.updated_at_ms = now_ms
        for endpoint in endpoints:
            same_name = [url for url, known in group.endpoints.items() if known.name == endpoint.name]
            if endpoint.name is not None and same_name and same_name[0] != endpoint.url:
                del group.endpoints[same_name[0]]
            group.endpoints[endpoint.url] = endpoint

    def remove(self, name: str, unwanted: object) -> None:
        """Removes endpoints by name or URL. A group without endpoints is removed too. Raises `ApiError`."""
        items = _items(unwanted)
        group = self._existing(name)
        for item in items:
            if not item.get("url") and not item.get("name"):
                raise bad_request("either name or url of the endpoint must be provided")
            for endpoint in list(group.endpoints.values()):
                if endpoint.url == item.get("url") or (endpoint.name and endpoint.name == item.get("name")):
                    del group.endpoints[endpoint.url]
        group.updated_at_ms = int(time.time() * 1000)
        if not group.endpoints:
            del self._groups[name]

    def get(self, name: str) -> Json:
        """The schema `URLGroup`. Raises `ApiError` 404."""
        return _show(self._existing(name))

    def list(self) -> list[Json]:
        """All groups."""
        return [_show(group) for group in self._groups.values()]

    def delete(self, name: str) -> None:
        """Forgets a group. An unknown group is no error."""
        self._groups.pop(name, None)

    def reset(self) -> None:
        """Forgets all groups."""
        self._groups.clear()

    def _existing(self, name: str) -> UrlGroup:
        if name not in self._groups:
            raise not_found("topic", name)
        return self._groups[name]


def _items(body: object) -> list[Json]:
    items = body.get("endpoints") if isinstance(body, dict) else None
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise bad_request("endpoints must be a non-empty array of objects")
    return items


def _checked(item: Json) -> Endpoint:
    url, name = item.get("url"), item.get("name")
    if not isinstance(url, str):
        raise bad_request("url of the endpoint must be provided")
    if name is not None and not isinstance(name, str):
        raise bad_request("name of the endpoint must be a string")
    try:
        return Endpoint(check_url(url), check_name(name, "endpoint names") if name else None)
    except ValueError as error:
        raise bad_request(f"invalid endpoint: {error}") from None


def _check_group_name(name: str) -> None:
    try:
        check_name(name, "url group names")
    except ValueError as error:
        raise bad_request(str(error)) from None


def _show(group: UrlGroup) -> Json:
    return {
        "name": group.name,
        "createdAt": group.created_at_ms,
        "updatedAt": group.updated_at_ms,
        "endpoints": [
            {"url": endpoint.url, **({"name": endpoint.name} if endpoint.name else {})}
            for endpoint in group.endpoints.values()
        ],
    }

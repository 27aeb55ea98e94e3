"""Which letters a command is about: the options, and the filter that they make."""

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, get_args

import click

from cli.moment import Moment
from lib.dead_letters.store import LetterFilter
from lib.events.model import Kind


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that filter letters. The command receives them as `wanted: LetterFilter`."""

    @functools.wraps(command)
    def with_filter(
        code: str | None,
        kind: Kind | None,
        account: str | None,
        since: datetime | None,
        until: datetime | None,
        **others: Any,
    ) -> Any:
        return command(wanted=LetterFilter(code=code, kind=kind, account=account, since=since, until=until), **others)

    return _decorated(
        with_filter,
        click.option("--code", help="Only letters with this error code: database_constraint, …"),
        click.option("--kind", type=click.Choice(get_args(Kind)), help="Only this kind of event."),
        click.option("--account", metavar="ID", help="Only this account, by either of its ids."),
        click.option("--since", type=Moment(), help="Failed since: 2026-11-24, 2026-11-24T15:00, 7d, 12h."),
        click.option("--until", type=Moment(), help="Failed before."),
    )


def open_letters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds three ways to name open letters: ids, a filter, or --all. The command receives `chosen: LetterFilter`."""

    @functools.wraps(command)
    def with_chosen(wanted: LetterFilter, ids: tuple[str, ...], *, everything: bool, **others: Any) -> Any:
        return command(chosen=_chosen(wanted, ids, everything=everything), **others)

    return _decorated(
        filter_options(with_chosen),
        click.argument("ids", metavar="[ID]...", nargs=-1),
        click.option("--all", "everything", is_flag=True, help="All open letters."),
    )


def _decorated(command: Callable[..., Any], *decorators: Callable[..., Any]) -> Callable[..., Any]:
    # The last decorator is applied first, as if they stood above the function.
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def _chosen(wanted: LetterFilter, ids: tuple[str, ...], *, everything: bool) -> LetterFilter:
    """Returns the letters that failed until now. Raises a usage error unless exactly one way is used."""
    filtered = wanted != LetterFilter()
    if (bool(ids), filtered, everything).count(True) != 1:
        raise click.UsageError("Give ids, or a filter, or --all.")
    until = wanted.until or datetime.now(UTC)
    # A letter that is named by its id is found in any state, so that the command can say that it is closed already.
    chosen: dict[str, object] = {"ids": ids} if ids else {"state": "open"}
    return wanted.model_copy(update={"until": until, **chosen})

"""Supabase's roles, then the project's migrations, each once and in the order of their names.

The record of applied migrations is the Supabase CLI's. psycopg takes 0.3 s to import and every child of the stack
imports this module, so psycopg is imported on use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dev.stack.errors import StackError

if TYPE_CHECKING:
    import psycopg

START_AFRESH = "run `make clean` (or `python -m dev reset`) to start with an empty database."


@dataclass(frozen=True)
class Migration:
    """One file `{version}_{name}.sql`."""

    version: str
    name: str
    sql: str


def accepts_connections(dsn: str) -> bool:
    """Whether the server is up and lets us in."""
    import psycopg  # noqa: PLC0415

    try:
        psycopg.connect(dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def create_roles(superuser_dsn: str, *, new_project: bool) -> None:
    """Makes a bare cluster look like a new Supabase project. Does nothing the second time.

    With `new_project` it looks like one made since May 2026, which grants nothing by default.
    """
    import psycopg  # noqa: PLC0415

    with psycopg.connect(superuser_dsn) as connection:
        known = connection.execute("select 1 from pg_roles where rolname = 'authenticator'").fetchone()
        if known is None:
            _run(connection, Path(__file__).with_name("roles.sql").read_text())
            if new_project:
                _run(connection, Path(__file__).with_name("new_project.sql").read_text())


def read_migrations(directory: Path) -> list[Migration]:
    """The migrations of a directory, in order."""
    migrations = []
    for path in sorted(directory.glob("*.sql")):
        version, _, name = path.stem.partition("_")
        migrations.append(Migration(version, name, path.read_text()))
    return migrations


def migrate(dsn: str, directory: Path, report: Callable[[str], None] = lambda _: None) -> int:
    """Applies new files, each in one transaction, and makes PostgREST reload its schema. Returns how many were new.

    Raises `StackError` if an applied file has changed or gone, or if a file fails. A file that fails is undone.
    """
    import psycopg  # noqa: PLC0415

    migrations = read_migrations(directory)
    with psycopg.connect(dsn, autocommit=True) as connection:
        applied = _applied(connection)
        _check_unchanged(migrations, applied)
        new = [migration for migration in migrations if migration.version not in applied]
        for migration in new:
            _apply(connection, migration)
            report(f"postgres: applied {migration.version}_{migration.name}")
        connection.execute("notify pgrst, 'reload schema'")
    return len(new)


def _applied(connection: psycopg.Connection) -> dict[str, str]:
    rows = connection.execute("select version, statements[1] from supabase_migrations.schema_migrations")
    return dict(rows.fetchall())


def _check_unchanged(migrations: list[Migration], applied: dict[str, str]) -> None:
    current = {migration.version: migration for migration in migrations}
    for version, sql in sorted(applied.items()):
        if version not in current:
            raise StackError(f"Migration {version} was applied to this database but its file is gone: {START_AFRESH}")
        if current[version].sql != sql:
            raise StackError(
                f"Migration {version}_{current[version].name} was changed after this database applied it: "
                f"{START_AFRESH}"
            )


def _apply(connection: psycopg.Connection, migration: Migration) -> None:
    import psycopg  # noqa: PLC0415

    try:
        with connection.transaction():
            _run(connection, migration.sql)
            connection.execute(
                "insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)",
                (migration.version, migration.name, [migration.sql]),
            )
    except psycopg.Error as error:
        raise StackError(
            f"Migration {migration.version}_{migration.name} failed: {_explain(error, migration)}"
        ) from error


def _explain(error: psycopg.Error, migration: Migration) -> str:
    position = error.diag.statement_position
    where = ""
    if position is not None and position.isdecimal():
        where = f" (line {migration.sql.count(chr(10), 0, int(position)) + 1})"
    return f"{str(error).strip()}{where}"


def _run(connection: psycopg.Connection, sql: str) -> None:
    # As bytes: psycopg's types take a `str` for composed SQL unless it is a literal.
    connection.execute(sql.encode())

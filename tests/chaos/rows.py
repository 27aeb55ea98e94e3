"""What people and migrations do to the database of a running deployment, and how it is undone.

Each call waits for the database: another lane may have stopped it. Each may be repeated.
"""

import time
from collections.abc import Callable
from typing import Any

import psycopg
from cryptography.fernet import Fernet
from psycopg import sql

from dev.stack import Stack
from lib.accounts.tokens import seal
from tests.chaos.traffic import STORED

PATIENCE_S = 60.0
PAUSE_S = 0.1
MARK = -77
"""The priority of the rules that cannot be read: by it they are found again."""

UNREADABLE_RULES = (
    {"trigger": "from_the_future", "reply_text": "hello"},
    {"trigger": "keyword", "match": "glob", "pattern": "*", "reply_text": "hello"},
    {"trigger": "keyword", "pattern": None, "reply_text": "hello"},
    {"trigger": "keyword", "match": "regex", "pattern": "((", "reply_text": "hello"},
    {"trigger": "keyword", "pattern": "nobody", "attachment": '{"type": "MEDIA_SHARE", "id": 17900000000000001}'},
    {"trigger": "keyword", "pattern": "nobody", "reply_text": "hello", "quick_replies": '"none"'},
)
"""Rules that no constraint takes, but that a newer schema, or a repair by hand, may have left there."""

Action = Callable[["psycopg.Connection[Any]"], None]


class Rows:
    """Faults in the rows of one stack."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._ciphertext: str | None = None

    def refuse_role(self) -> None:
        """A migration forgot the grants, or somebody took them away."""
        self._do(lambda database: _run(database, "revoke usage on schema ingestion from service_role"))

    def grant_role(self) -> None:
        """The grants are back."""
        self._do(lambda database: _run(database, "grant usage on schema ingestion to service_role"))

    def add_unreadable_rules(self) -> None:
        """Inserts `UNREADABLE_RULES` while constraints and triggers are off."""
        self._do(_add_unreadable_rules)

    def remove_unreadable_rules(self) -> None:
        """They are gone, and every constraint holds again."""
        self._do(_remove_unreadable_rules)

    def seal_with_another_key(self) -> None:
        """The stored token cannot be decrypted, as with a wrong `TOKEN_ENCRYPTION_KEY`."""
        other = seal("local-unreadable", account_id=STORED, keys=[Fernet.generate_key().decode()])
        self._do(lambda database: self._replace_token(database, other))

    def unseal(self) -> None:
        """The stored token is as it was."""
        if self._ciphertext is not None:
            ciphertext = self._ciphertext
            self._do(lambda database: self._replace_token(database, ciphertext))
            self._ciphertext = None

    def _replace_token(self, database: "psycopg.Connection[Any]", ciphertext: str) -> None:
        row = database.execute("select ciphertext from account_tokens where account_id = %s", (STORED,)).fetchone()
        assert row is not None
        if self._ciphertext is None:
            self._ciphertext = row[0]
        database.execute("update account_tokens set ciphertext = %s where account_id = %s", (ciphertext, STORED))

    def _do(self, action: Action) -> None:
        """Does `action` in one transaction, again while the database is away."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                with psycopg.connect(self._stack.dsn, connect_timeout=2) as database:
                    action(database)
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(PAUSE_S)


def _run(database: "psycopg.Connection[Any]", statement: str) -> None:
    database.execute(statement.encode())


def _add_unreadable_rules(database: "psycopg.Connection[Any]") -> None:
    checks = database.execute(
        "select conname, pg_get_constraintdef(oid) from pg_constraint"
        " where conrelid = 'reply_rules'::regclass and contype = 'c'"
    ).fetchall()
    database.execute("alter table reply_rules disable trigger user")
    for name, _ in checks:
        database.execute(sql.SQL("alter table reply_rules drop constraint {}").format(sql.Identifier(name)))
    for rule in UNREADABLE_RULES:
        database.execute(
            sql.SQL("insert into reply_rules (priority, {}) values (%s, {})").format(
                sql.SQL(", ").join(map(sql.Identifier, rule)), sql.SQL(", ").join(sql.Placeholder() * len(rule))
            ),
            (MARK, *rule.values()),
        )
    for name, check in checks:
        unvalidated = check.removesuffix(" NOT VALID") + " NOT VALID"
        statement = "alter table reply_rules add constraint {} {}"
        database.execute(sql.SQL(statement).format(sql.Identifier(name), sql.SQL(unvalidated)))
    database.execute("alter table reply_rules enable trigger user")
    # The trigger that counts changes was off, too.
    database.execute("update ingestion.rules_version set version = version + 1")


def _remove_unreadable_rules(database: "psycopg.Connection[Any]") -> None:
    database.execute("delete from reply_rules where priority = %s", (MARK,))
    for (name,) in database.execute(
        "select conname from pg_constraint where conrelid = 'reply_rules'::regclass and contype = 'c'"
        " and not convalidated"
    ).fetchall():
        database.execute(sql.SQL("alter table reply_rules validate constraint {}").format(sql.Identifier(name)))

"""Everything a person can leave with us, and how to find any of it again, in whatever table it lies.

Talks to the running pipeline through `World`. Must not know how anything is erased.
"""

import json
from typing import Any

from psycopg import sql

from tests.support.builders import (
    ACCOUNT,
    comment,
    echo,
    edit,
    item,
    message,
    new_mid,
    postback,
    reaction,
    read,
    unsend,
    webhook,
)
from tests.support.world import World


class Life:
    """One person with one account; `needles` are what can give them away: ids, words, a name."""

    def __init__(self, world: World, *, contact: str, words: str, account: str = ACCOUNT) -> None:
        self.contact, self.account, self.words = contact, account, words
        self.webhooks = [self._of_account(body) for body in self._leave(world)]
        for body in self.webhooks:
            world.deliver(body)
        self._lose_letters(world)
        name = world.row("select username from profiles where account_id = %s and igsid = %s", account, contact)
        self.username: str = name["username"]
        # The last comment has nothing of its author but the name.
        anonymous = comment(f"{words} signed with the name")
        anonymous["value"]["from"] = {"username": self.username}
        self.webhooks.append(self._of_account(webhook(anonymous, under="changes")))
        world.deliver(self.webhooks[-1])
        self.needles = [contact, words, self.username]

    def _leave(self, world: World) -> list[dict[str, Any]]:
        contact, words = self.contact, self.words
        mids = [new_mid() for _ in range(4)]
        nobody = {"timestamp": 1_790_000_000_000}
        return [
            webhook(
                message(f"{words} price", mid=mids[0], contact=contact),
                message(f"{words} to be taken back", mid=mids[1], contact=contact),
                echo(f"dear {words}", mid=mids[2], contact=contact),
                edit(mids[0], f"{words} edited", contact=contact),
                unsend(mids[1], contact=contact),
                # Of a message that never came.
                edit(mids[3], f"{words} never seen", contact=contact),
                reaction(mids[2], contact=contact),
                read(mids[2], contact=contact),
                postback(f"{words} button", contact=contact),
                item(contact=contact, optin={"type": "notification_messages", "payload": words}),
                item(contact=contact, something_new={"of": words}),
                # Without its sender, and with a higher number than the one above.
                {**nobody, "message_edit": {"mid": mids[0], "text": f"{words} edited again", "num_edit": 2}},
            ),
            webhook(
                comment(f"{words} comment", contact=contact),
                {"field": "something_new", "value": {"by": [{"id": contact}], "text": words}},
                {"field": "something_new", "value": {"by": int(contact), "text": words}},
                under="changes",
            ),
        ]

    def _of_account(self, body: dict[str, Any]) -> dict[str, Any]:
        changed: dict[str, Any] = json.loads(json.dumps(body).replace(ACCOUNT, self.account))
        return changed

    def _lose_letters(self, world: World) -> None:
        """What QStash gave up on: an event, and a body that was none."""
        event = {"kind": "message", "account_id": self.account, "contact_id": self.contact, "text": self.words}
        body = json.dumps({"account_id": self.account, "contact_id": self.contact, "text": self.words})
        world.db.execute(
            "insert into dead_letters (source_message_id, account_id, event) values (%s, %s, %s)",
            (f"msg_event_{self.account}_{self.contact}", self.account, json.dumps(event)),
        )
        world.db.execute(
            "insert into dead_letters (source_message_id, body) values (%s, %s)",
            (f"msg_body_{self.account}_{self.contact}", body),
        )


def traces(world: World, *needles: str) -> dict[str, int]:
    """How many rows of each table, of any schema of ours, hold one of `needles` anywhere."""
    tables = world.rows(
        "select table_schema as schema, table_name as name from information_schema.tables "
        "where table_type = 'BASE TABLE' and table_schema in ('public', 'ingestion')"
    )
    assert {"events", "erasures", "erased_people"} <= {table["name"] for table in tables}
    found = {}
    for table in tables:
        counted = world.db.execute(
            sql.SQL(
                "select count(*) as n from {} t where exists (select from unnest(%s::text[]) needle "
                "where strpos(t::text, needle) > 0)"
            ).format(sql.Identifier(table["schema"], table["name"])),
            (list(needles),),
        ).fetchone()
        assert counted is not None
        if counted["n"]:
            found[table["name"]] = counted["n"]
    return found

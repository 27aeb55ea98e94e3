"""A fault of ours is not a fault of the event: a wrong key, role, schema or setting, a proxy's page."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.builders import CONTACT, message, webhook
from tests.support.deliveries import failure_callback, post
from tests.support.receiver import receiver
from tests.support.world import FAILURE, World

PAGE = "<html><head><title>403 Forbidden</title></head><body>nginx</body></html>"


def refusal(code: str, status: int) -> dict[str, Any]:
    """An answer of PostgREST's, or of a gateway that speaks like it."""
    return {"status": status, "body": json.dumps({"code": code, "message": "no", "details": None, "hint": None})}


OUTAGES: dict[str, dict[str, Any]] = {
    "a JWT from the future": refusal("PGRST303", 401),
    "a JWT secret that is away": refusal("PGRST300", 500),
    "a JWT that is none": refusal("PGRST301", 401),
    "no grant": refusal("42501", 403),
    "a wrong role": refusal("28000", 403),
    "a wrong password": refusal("28P01", 400),
    "a function that is missing": refusal("42883", 404),
    "a table that is missing": refusal("42P01", 404),
    "a column that is missing": refusal("42703", 400),
    "a schema that is missing": refusal("3F000", 400),
    "a function PostgREST does not know": refusal("PGRST202", 404),
    "a schema PostgREST does not serve": refusal("PGRST106", 406),
    "a trigger of the user's own": refusal("P0001", 400),
    "a key the gateway does not know": {"status": 401, "body": '{"message":"Invalid API key"}'},
    **{f"a page with {status}": {"status": status, "body": PAGE, "content_type": "text/html"}
       for status in (400, 401, 402, 403, 404, 405, 407, 409, 410, 421, 451, 502, 503)},
    "a page with 200": {"status": 200, "body": PAGE, "content_type": "text/html"},
    "nothing with 403": {"status": 403, "body": ""},
    "JSON of somebody else": {"status": 404, "body": '{"error":{"code":"NOT_FOUND","message":"The page is gone"}}'},
}  # fmt: skip


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_an_outage_of_the_database_ends_no_event_on_its_way_through_qstash(
    world: World, outage: dict[str, Any]
) -> None:
    world.gateway_fault(function="record_event", times=2, **outage)
    world.deliver(webhook(message("hello")))
    assert (world.count("messages"), world.count("dead_letters")) == (1, 0)


@pytest.mark.parametrize(("function", "events"), [("record_event", 1), ("record_events", 3)])
@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_an_outage_of_the_database_on_the_direct_path_makes_meta_deliver_again(
    world: World, outage: dict[str, Any], function: str, events: int
) -> None:
    body = webhook(*[message(f"hello {number}") for number in range(events)])
    with world.qstash_fault(publish="refuse"):
        world.gateway_fault(function=function, times=2, **outage)
        refused = world.post_webhook(body)
        assert refused.status_code == 503, refused.text
        assert "rejected" not in refused.json()
        assert world.post_webhook(body).status_code == 200
    assert (world.count("messages"), world.count("dead_letters")) == (events, 0)


def test_one_passing_refusal_of_a_jwt_costs_nothing_on_either_path(world: World) -> None:
    for publish in ("ok", "refuse"):
        world.gateway_fault(function="record_event", times=1, **OUTAGES["a JWT from the future"])
        with world.qstash_fault(publish=publish):
            world.deliver(webhook(message("hello")))
    assert (world.count("messages"), world.count("dead_letters")) == (2, 0)


EVENTS_OWN = ("22", "23", "54")
"""The SQLSTATEs that speak of the data, and so may end an event."""


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    status=st.sampled_from((400, 401, 403, 404, 406, 409, 415, 422, 429, 500, 502, 503, 504)),
    code=st.one_of(
        st.none(),
        st.sampled_from(
            ("PGRST100", "PGRST102", "PGRST116", "PGRST204", "PGRST302", "PGRSTX00", "404", "unauthorized")
        ),
        st.from_regex(r"[0-9A-Z]{5}", fullmatch=True).filter(lambda code: not code.startswith(EVENTS_OWN)),
    ),
    page=st.booleans(),
)
def test_whatever_a_gateway_answers_no_event_is_to_blame(
    world: World, status: int, code: str | None, *, page: bool
) -> None:
    body = PAGE if page else json.dumps({"message": "no"} if code is None else {"code": code, "message": "no"})
    content_type = "text/html" if page else "application/json"
    world.gateway_fault(function="record_event", times=3, status=status, body=body, content_type=content_type)
    with world.qstash_fault(publish="refuse"):
        answer = world.post_webhook(webhook(message("hello")))
    assert (answer.status_code, answer.json().get("rejected")) == (503, None)
    assert world.count("dead_letters") == 0
    world.gateway_fault(times=0)


def test_the_fault_of_one_event_ends_none_that_came_with_it(world: World) -> None:
    """The database refuses the whole call, as it does for a value that it cannot even read; then one event again."""
    with world.qstash_fault(publish="refuse"):
        world.gateway_fault(function="record_events", times=1, **refusal("22P05", 400))
        answer = world.post_webhook(webhook(message("one"), message("two"), message("three")))
    assert answer.json() == {"received": 3, "queued": 0, "processed": 3, "ignored": 0}
    assert (world.count("messages"), world.count("dead_letters")) == (3, 0)


def test_what_is_the_events_own_fault_still_ends_it(world: World) -> None:
    world.gateway_fault(function="record_event", times=4, **refusal("22P05", 400))
    world.deliver(webhook(message("hello")))
    assert world.row("select error_code, retried from dead_letters") == {
        "error_code": "database_invalid_data", "retried": 0,
    }  # fmt: skip


# The failure route.


@pytest.mark.parametrize("outage", [*OUTAGES.values(), refusal("22P05", 400), refusal("23514", 400)])
def test_the_failure_route_stops_for_no_fault_of_the_database(world: World, outage: dict[str, Any]) -> None:
    world.gateway_fault(function="store_dead_letter", times=1, **outage)
    body = failure_callback()
    answer = post(world, FAILURE, body)
    assert answer.status_code in (500, 503), answer.text
    assert post(world, FAILURE, body).status_code == 200


# Effects.


@pytest.fixture
def _price(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")


def state(world: World) -> list[tuple[str, str | None]]:
    rows = world.rows("select state, error_code from outbox order by planned_at")
    return [(row["state"], row["error_code"]) for row in rows]


def test_a_revoked_qstash_token_leaves_the_next_phases_planned_and_they_go_on(world: World) -> None:
    with receiver() as downstream:
        env = {"PHASE3_URL": downstream.url}
        with world.stack.functions(env) as base_url, world.qstash_fault(publish="error", status=401):
            assert world.post_webhook(webhook(message("hello")), base_url=base_url).status_code == 200
            assert state(world) == [("planned", "qstash_refused")]
        with world.stack.functions(env) as base_url:
            world.sweep(base_url=base_url)
            world.settle()
        assert state(world) == [("sent", None)]
        assert [body["kind"] for body in downstream.bodies] == ["message"]


@pytest.mark.usefixtures("_price")
@pytest.mark.parametrize("fault", ["expired_token", "permission_missing"])
def test_a_reply_waits_for_the_mend_of_a_token_or_a_permission(world: World, fault: str) -> None:
    world.graph_fault("send", fault, times=1)
    world.deliver(webhook(message("price")))
    assert state(world)[0][0] == "planned"
    world.rows("select mark_account(account_id, 'active') from accounts")
    world.sweep()
    assert state(world) == [("sent", None)]
    assert len(world.sent()) == 1


@pytest.mark.usefixtures("_price")
def test_a_renewed_token_of_the_environment_goes_on_by_itself_and_an_old_instance_stops_nobody(world: World) -> None:
    old, new = "local-old-token", "local-new-token"
    with (
        world.stack.functions({"INSTAGRAM_ACCESS_TOKEN": f"EXPIRED-{old}"}) as old_url,
        world.stack.functions({"INSTAGRAM_ACCESS_TOKEN": new}) as new_url,
    ):
        world.deliver(webhook(message("price")), base_url=old_url)
        assert world.row("select state, state_code from accounts") == {
            "state": "needs_reauth", "state_code": "graph_token_invalid",
        }  # fmt: skip
        assert state(world)[0][0] == "planned"
        world.deliver(webhook(message("price?", contact="6001234567890999")), base_url=new_url)
        assert world.row("select state from accounts")["state"] == "active"
        assert len(world.sent()) == 1
        # The old instance has the dead token still.
        world.deliver(webhook(message("price!", contact="6001234567890888")), base_url=old_url)
        assert world.row("select state from accounts")["state"] == "active"
        world.sweep(base_url=new_url)
    assert sorted(sent["recipient_id"] for sent in world.sent()) == sorted(
        [CONTACT, "6001234567890999", "6001234567890888"]
    )
    assert {end for end, _ in state(world)} == {"sent"}


@pytest.mark.usefixtures("_price")
def test_a_reply_that_waits_for_a_mend_ends_with_its_window(world: World) -> None:
    with world.stack.functions({"INSTAGRAM_ACCESS_TOKEN": ""}) as base_url:
        world.deliver(webhook(message("price")), base_url=base_url)
        assert state(world) == [("planned", "no_access_token")]
        world.db.execute("update profiles set last_inbound_at = now() - interval '25 hours'")
        world.sweep(base_url=base_url)
    assert state(world) == [("skipped", "outside_window")]
    assert world.rows("select from events where processed_at is null") == []


@pytest.mark.usefixtures("_price")
def test_what_the_owner_decided_is_no_outage(world: World) -> None:
    world.deliver(webhook(message("hello")))
    account = world.row("select distinct account_id from events")["account_id"]
    for code, how in (("deauthorized", "needs_reauth"), ("graph_policy_block", "stopped")):
        world.rows("select mark_account(%s, %s, %s)", account, how, code)
        world.deliver(webhook(message("price")))
    assert state(world) == [("skipped", "account_needs_reauth"), ("skipped", "account_stopped")]

"""Automatic replies: rules that cannot be wrong, whole messages, their echoes, and threads that are not ours."""

import itertools
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from dev.stack import Stack
from tests.support.builders import (
    ACCOUNT,
    CONTACT,
    OTHER_CONTACT,
    comment,
    echo,
    item,
    message,
    new_mid,
    now_ms,
    postback,
    reaction,
    webhook,
)
from tests.support.world import World

PICTURE = {"type": "image", "url": "https://shop.example/hello.png"}
OUR_APP, OTHER_APP = "263902037430900", "1029386475665544"


def echo_of_files(*types: str, mid: str, contact: str = CONTACT) -> dict[str, Any]:
    """The echo of a message with attachments: Meta's own links, and no text."""
    attachments = [{"type": kind, "payload": {"url": f"https://lookaside.fbsbx.com/{mid}/{kind}"}} for kind in types]
    return item(contact=contact, outbound=True, message={"mid": mid, "is_echo": True, "attachments": attachments})


@pytest.fixture(scope="module")
def every_rule_answers(stack: Stack) -> Iterator[str]:
    """Functions where every matching rule answers, and that know their own app id."""
    with stack.functions({"REPLY_MATCH": "all", "META_APP_ID": OUR_APP}) as base_url:
        yield base_url


@pytest.fixture(scope="module")
def dry_run(stack: Stack) -> Iterator[str]:
    """Functions that send nothing, and could not for any other account than ours."""
    with stack.functions(
        {"REPLIES_MODE": "dry_run", "REPLY_MATCH": "all", "INSTAGRAM_ACCOUNT_ID": ACCOUNT}
    ) as base_url:
        yield base_url


def outcome(world: World) -> list[tuple[str, str | None]]:
    rows = world.rows("select state, error_code from outbox order by planned_at, effect_id")
    return [(row["state"], row["error_code"]) for row in rows]


# What a rule may be.


@pytest.mark.parametrize(
    ("constraint", "wrong"),
    [
        ("either_text_or_attachment", [{}, {"reply_text": "Hi", "attachment": PICTURE}]),
        ("text_is_not_blank", [{"reply_text": ""}, {"reply_text": " \n"}]),
        (
            "keyword_needs_a_pattern",
            [
                {"reply_text": "Hi", "trigger": "keyword"},
                {"reply_text": "Hi", "trigger": "keyword", "pattern": "  "},
            ],
        ),
        ("cooldown_is_not_negative", [{"reply_text": "Hi", "cooldown_s": -1}]),
        ("quick_replies_need_text", [{"attachment": PICTURE, "quick_replies": [{"title": "a", "payload": "b"}]}]),
        (
            "quick_replies_are_what_meta_takes",
            [
                {"reply_text": "Hi", "quick_replies": quick_replies}
                for quick_replies in (
                    [],
                    {"title": "a", "payload": "b"},
                    ["a"],
                    [{"title": "a"}],
                    [{"title": " ", "payload": "b"}],
                    [{"title": "a", "payload": ""}],
                    [{"title": "a", "payload": 1}],
                    [{"title": "a", "payload": "b", "image_url": "https://x.example"}],
                    [{"title": "a" * 21, "payload": "b"}],
                    [{"title": "a", "payload": "b" * 1001}],
                    [{"title": "a", "payload": "b"}] * 14,
                )
            ],
        ),
        (
            "attachment_is_what_meta_takes",
            [
                {"attachment": attachment}
                for attachment in (
                    {},
                    ["image"],
                    {"type": "image"},
                    {"type": "hologram", "url": "https://x.example/a"},
                    {"type": "image", "url": None},
                    {"type": "image", "url": "http://x.example/a.png"},
                    {"type": "image", "url": "https://x.example/a b.png"},
                    {"type": "image", "url": "https://x.example/a.png", "id": "1"},
                    {"type": "image", "url": "https://x.example/a.png", "caption": "hi"},
                    {"type": "video", "id": "1"},
                    {"type": "MEDIA_SHARE", "url": "https://x.example/a.png"},
                    {"type": "MEDIA_SHARE", "id": "my post"},
                )
            ],
        ),
    ],
)
def test_a_wrong_rule_is_refused_where_it_is_written(
    world: World, constraint: str, wrong: list[dict[str, Any]]
) -> None:
    for columns in wrong:
        with pytest.raises(psycopg.errors.CheckViolation) as refused:
            world.rule(**{"trigger": "first_message", **columns})
        assert refused.value.diag.constraint_name == f"reply_rules_{constraint}", columns


# The whole message.


def test_quick_replies_go_out_under_the_text_and_a_tap_pulls_its_own_rule(world: World) -> None:
    choices = [{"title": "Small", "payload": "SIZE_S"}, {"title": "Large", "payload": "SIZE_L"}]
    world.rule(trigger="keyword", pattern="shirt", reply_text="Which, {username}?", quick_replies=choices)
    world.rule(trigger="postback", match="exact", pattern="SIZE_L", reply_text="Large it is.")
    world.deliver(webhook(message("a shirt")))
    world.deliver(webhook(message("Large", contact=OTHER_CONTACT, quick_reply={"payload": "SIZE_L"})))
    asked, answered = world.sent()
    username = world.row("select username from profiles where igsid = %s", CONTACT)["username"]
    assert asked["message"] == {
        "text": f"Which, {username}?",
        "quick_replies": [{"content_type": "text", **choice} for choice in choices],
    }
    assert answered["message"] == {"text": "Large it is."}
    assert world.rows("select payload from outbox order by planned_at")[0]["payload"] == asked["message"]


@pytest.mark.parametrize(
    ("attachment", "sent", "shown"),
    [
        (
            PICTURE,
            {"attachments": [{"type": "image", "payload": {"url": PICTURE["url"]}}]},
            [{"type": "image", "payload": {"url": PICTURE["url"]}}],
        ),
        (
            {"type": "audio", "url": "https://shop.example/hi.m4a"},
            {"attachment": {"type": "audio", "payload": {"url": "https://shop.example/hi.m4a"}}},
            [{"type": "audio", "payload": {"url": "https://shop.example/hi.m4a"}}],
        ),
        (
            {"type": "MEDIA_SHARE", "id": "17900000000000001"},
            {"attachment": {"type": "MEDIA_SHARE", "payload": {"id": "17900000000000001"}}},
            [{"type": "MEDIA_SHARE", "payload": {"id": "17900000000000001"}}],
        ),
    ],
    ids=["image", "audio", "post"],
)
def test_an_attachment_is_sent_and_shown_until_its_echo_has_the_last_word(
    world: World, attachment: dict[str, str], sent: dict[str, Any], shown: list[dict[str, Any]]
) -> None:
    world.rule(trigger="first_message", attachment=attachment)
    world.deliver(webhook(message("hello")))
    (one,) = world.sent()
    assert one["message"] == sent
    (row,) = world.rows("select mid, text, attachments from messages where direction = 'outbound'")
    assert row == {"mid": one["message_id"], "text": None, "attachments": shown}
    world.deliver(webhook(echo_of_files(attachment["type"], mid=one["message_id"])))
    (row,) = world.rows("select attachments from messages where direction = 'outbound'")
    assert "lookaside" in row["attachments"][0]["payload"]["url"]


def test_a_dry_run_shows_what_would_be_sent_and_sends_nothing(world: World, dry_run: str) -> None:
    choices = [{"title": "Yes", "payload": "Y"}]
    world.rule(trigger="keyword", pattern="price", reply_text="Hi {username}", quick_replies=choices)
    world.rule(trigger="first_message", attachment=PICTURE)
    world.deliver(webhook(message("price?")), base_url=dry_run)
    username = world.row("select username from profiles")["username"]
    rows = world.rows("select state, error_code, payload from outbox order by rule_id")
    assert [(row["state"], row["error_code"]) for row in rows] == [("skipped", "dry_run")] * 2
    assert [row["payload"] for row in rows] == [
        {"text": f"Hi {username}", "quick_replies": [{"content_type": "text", **choices[0]}]},
        {"attachments": [{"type": "image", "payload": {"url": PICTURE["url"]}}]},
    ]
    assert world.sent() == []
    assert world.row("select processed_at from events")["processed_at"] is not None


def test_a_dry_run_needs_no_token(world: World, dry_run: str) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.deliver(webhook(message("price?"), account="17841400000000999"), base_url=dry_run)
    assert outcome(world) == [("skipped", "dry_run")]


def test_a_text_that_is_too_long_is_cut_at_a_character(world: World) -> None:
    world.rule(trigger="first_message", reply_text="\u00e4" * 600)
    world.deliver(webhook(message("hello")))
    (sent,) = world.sent()
    assert sent["message"]["text"] == "\u00e4" * 500


# Echoes of attachments whose send was never answered.


def lost_picture(world: World) -> str:
    """A picture whose answer was cut off; the mid it really has."""
    world.rule(trigger="first_message", attachment=PICTURE)
    world.graph_fault("send", "cut_after_accept", times=1)
    world.deliver(webhook(message("hello")))
    assert outcome(world) == [("unknown", "graph_connection_failed")]
    return str(world.sent()[0]["message_id"])


def test_the_echo_of_a_picture_is_a_guess_and_stays_one(world: World) -> None:
    mid = lost_picture(world)
    world.deliver(webhook(echo_of_files("image", mid=mid)))
    world.deliver(webhook(echo_of_files("image", mid="m_of_an_agent")))
    assert world.row("select state, mid, mid_guessed, error_code from outbox") == {
        "state": "unknown", "mid": mid, "mid_guessed": True, "error_code": "attachment_guessed",
    }  # fmt: skip
    assert len(world.sent()) == 1


@pytest.mark.parametrize(
    "other",
    [
        echo_of_files("video", mid="m_video"),
        echo_of_files("image", "image", mid="m_two"),
        echo("Hello there", mid="m_text"),
        item(outbound=True, message={"mid": "m_none", "is_echo": True, "is_unsupported": True}),
        item(
            outbound=True, message={"mid": "m_both", "is_echo": True, "text": "see", "attachments": [{"type": "image"}]}
        ),
        echo_of_files("image", mid="m_other", contact=OTHER_CONTACT),
    ],
    ids=["a video", "two pictures", "a text", "something unsupported", "text and picture", "to somebody else"],
)
def test_the_echo_of_another_message_does_not(world: World, other: dict[str, Any]) -> None:
    lost_picture(world)
    world.deliver(webhook(other))
    assert outcome(world) == [("unknown", "graph_connection_failed")]


def test_a_shared_post_is_known_by_its_echo_whatever_instagram_calls_it(world: World) -> None:
    world.rule(trigger="first_message", attachment={"type": "MEDIA_SHARE", "id": "17900000000000001"})
    world.graph_fault("send", "cut_after_accept", times=1)
    world.deliver(webhook(message("hello")))
    world.deliver(webhook(echo_of_files("ig_post", mid=world.sent()[0]["message_id"])))
    assert outcome(world) == [("unknown", "attachment_guessed")]


# Whose thread it is.

BASE_MS = now_ms() - 60_000


def passed(at_ms: int, *, to: str | None, contact: str = CONTACT) -> dict[str, Any]:
    what = {"previous_owner_app_id": OTHER_APP, **({} if to is None else {"new_owner_app_id": to})}
    return item(contact=contact, at_ms=at_ms, pass_thread_control=what)


def taken(at_ms: int) -> dict[str, Any]:
    return item(at_ms=at_ms, take_thread_control={"previous_owner_app_id": OUR_APP, "metadata": "a human"})


def test_a_message_in_a_thread_that_another_app_has_taken_since_is_not_answered(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.deliver(webhook(taken(BASE_MS + 2)))
    world.deliver(webhook(message("price", at_ms=BASE_MS + 1)))
    assert outcome(world) == [("skipped", "thread_not_ours")]
    world.deliver(webhook(message("price", at_ms=BASE_MS + 3)))
    assert outcome(world) == [("skipped", "thread_not_ours"), ("sent", None)]


def test_a_standby_item_says_that_the_thread_is_anothers(world: World) -> None:
    world.rule(trigger="comment", reply_text="Look into your messages")
    world.deliver(webhook(message("to the other app"), under="standby"))
    world.deliver(webhook(comment("hi"), under="changes"))
    assert outcome(world) == [("skipped", "thread_not_ours")]


def test_nobody_owns_a_thread_for_more_than_a_week(world: World) -> None:
    world.rule(trigger="comment", reply_text="Look into your messages")
    eight_days_ms = 8 * 86_400_000
    world.deliver(webhook(message("long ago", at_ms=now_ms() - eight_days_ms), under="standby"))
    world.deliver(webhook(comment("hi"), under="changes"))
    assert outcome(world) == [("sent", None)]


@pytest.mark.parametrize(
    ("app_id_is_known", "passed_to", "ours"),
    [(False, [OTHER_APP, None], [True, True]), (True, [OUR_APP, None, OTHER_APP], [True, True, False])],
)
def test_whom_a_thread_is_passed_to_is_told_by_our_app_id_where_it_is_known(
    world: World, every_rule_answers: str, app_id_is_known: bool, passed_to: list[str | None], ours: list[bool]
) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    base_url = every_rule_answers if app_id_is_known else ""
    for person, to in enumerate(passed_to):
        contact = f"{CONTACT}{person}"
        world.deliver(webhook(message("theirs", contact=contact, at_ms=BASE_MS), under="standby"), base_url=base_url)
        world.deliver(webhook(passed(BASE_MS + 2, to=to, contact=contact)), base_url=base_url)
        world.deliver(webhook(message("price", contact=contact, at_ms=BASE_MS + 1)), base_url=base_url)
    silent = ("skipped", "thread_not_ours")
    assert outcome(world) == [("sent", None) if is_ours else silent for is_ours in ours]


def test_whose_a_thread_is_does_not_depend_on_the_order_of_the_news(world: World) -> None:
    news = [
        webhook(message("ours", at_ms=BASE_MS + 1)),
        webhook(message("theirs", at_ms=BASE_MS + 2), under="standby"),
        webhook(passed(BASE_MS + 3, to=None)),
    ]
    columns = set()
    for order in itertools.permutations(news):
        world.reset()
        world.post_webhook({"object": "instagram", "entry": [entry for body in order for entry in body["entry"]]})
        world.settle()
        row = world.row("select thread_ours_at, thread_others_at from profiles")
        columns.add((row["thread_ours_at"], row["thread_others_at"]))
    ((ours, others),) = columns
    assert (ours - others).total_seconds() * 1000 == pytest.approx(1)


def test_a_thread_taken_while_its_reply_waits_is_left_alone(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("send", "429", times=1)
    world.deliver(webhook(message("price", at_ms=BASE_MS)))
    world.deliver(webhook(taken(BASE_MS + 1)))
    world.sweep()
    assert outcome(world) == [("skipped", "thread_not_ours")]
    assert world.sent() == []


# Windows and once.


def test_a_comment_is_answered_once_although_an_advertisement_brings_it_twice(
    world: World, every_rule_answers: str
) -> None:
    world.rule(trigger="comment", reply_text="one")
    world.rule(trigger="comment", reply_text="two")
    one = comment("link?", comment_id="17858893269000777")
    for _ in range(2):
        world.deliver(webhook(one, under="changes"), base_url=every_rule_answers)
        one["value"]["media"] |= {"ad_id": "238000", "ad_title": "Sale"}
    assert [sent["message"]["text"] for sent in world.sent()] == ["one"]


def test_a_comment_older_than_a_week_is_not_answered(world: World) -> None:
    world.rule(trigger="comment", reply_text="one")
    old = webhook(comment("link?"), under="changes")
    old["entry"][0]["time"] -= 8 * 86_400
    world.deliver(old)
    assert outcome(world) == [("skipped", "outside_window")]


def test_a_reply_that_waited_past_the_window_is_not_sent(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("send", "429", times=1)
    world.deliver(webhook(message("price")))
    world.db.execute("update profiles set last_inbound_at = now() - interval '24 hours 1 second'")
    world.sweep()
    assert outcome(world) == [("skipped", "outside_window")]
    assert world.sent() == []


@pytest.mark.parametrize(("every", "texts"), [(False, ["best"]), (True, ["best", "other"])])
def test_the_best_rule_answers_or_every_one(
    world: World, every_rule_answers: str, every: bool, texts: list[str]
) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="other")
    world.rule(trigger="keyword", pattern="price", reply_text="best", priority=10)
    world.rule(trigger="keyword", pattern="price", reply_text="off", priority=20, enabled=False)
    world.rule(trigger="keyword", pattern="price", reply_text="not ours", priority=30, account_id="17841400000000999")
    world.deliver(webhook(message("price")), base_url=every_rule_answers if every else "")
    assert [sent["message"]["text"] for sent in world.sent()] == texts


def test_a_rule_that_cools_down_keeps_the_next_best_silent_too(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="best", priority=1, cooldown_s=60)
    world.rule(trigger="keyword", pattern="price", reply_text="other")
    for _ in range(2):
        world.deliver(webhook(message("price")))
    assert [sent["message"]["text"] for sent in world.sent()] == ["best"]
    world.db.execute(
        "update outbox set planned_at = planned_at - interval '61 seconds', slot_at = slot_at - interval '61 seconds'"
    )
    world.deliver(webhook(message("price")))
    assert [sent["message"]["text"] for sent in world.sent()] == ["best", "best"]


@pytest.mark.parametrize(
    ("trigger", "one"),
    [
        ("story_mention", message(None, attachments=[{"type": "story_mention", "payload": {"url": "https://x"}}])),
        ("story_reply", message("nice", reply_to={"story": {"id": "18", "url": "https://x"}})),
        ("postback", postback("START")),
        ("first_message", message("hi")),
    ],
)
def test_every_trigger_answers(world: World, trigger: str, one: dict[str, Any]) -> None:
    world.rule(trigger=trigger, reply_text="Hello")
    world.deliver(webhook(one))
    assert [sent["message"]["text"] for sent in world.sent()] == ["Hello"]


def test_a_catastrophic_rule_does_not_stop_the_others(world: World) -> None:
    world.rule(trigger="keyword", match="regex", pattern="(a+)+$", reply_text="never")
    world.rule(trigger="keyword", match="regex", pattern="(unbalanced", reply_text="never")
    world.rule(trigger="keyword", match="regex", pattern=r"\bprice\b", reply_text="20.")
    world.deliver(webhook(message("price " + "a" * 900 + "!"), reaction(new_mid())))
    assert [sent["message"]["text"] for sent in world.sent()] == ["20."]


# Placeholders: what is known, also if it is known only later.


def texts(world: World) -> list[str]:
    return [sent["message"]["text"] for sent in world.sent()]


def test_the_author_of_a_first_comment_is_called_by_the_name_in_the_webhook(world: World) -> None:
    world.rule(trigger="comment", pattern="price", reply_text="Hello {first_name}, it is 20 (@{username}).")
    world.deliver(webhook(comment("price?"), under="changes"))
    assert texts(world) == ["Hello somebody, it is 20 (@somebody)."]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Hello {first_name}, it is 20.", "Hello, it is 20."),
        ("Hello {first_name|there}, it is 20.", "Hello there, it is 20."),
        ("{name}: it is 20 (@{username}).", "it is 20."),
    ],
)
def test_a_person_without_a_name_is_not_called_by_nothing(world: World, template: str, text: str) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text=template)
    world.graph_fault("profile", "no_consent")
    world.deliver(webhook(message("price")))
    assert texts(world) == [text]


def test_a_reply_that_says_nothing_then_is_skipped_with_a_code(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="{first_name}")
    world.graph_fault("profile", "no_consent")
    world.deliver(webhook(message("price")))
    assert world.sent() == []
    assert world.row("select state, error_code from outbox") == {"state": "skipped", "error_code": "empty_reply"}
    assert world.row("select processed_at is not null as done from events")["done"]


def test_what_was_rendered_without_a_name_is_rendered_again_with_it(world: World) -> None:
    """Meta shows no profile and refuses the send for its rate; at the next attempt it shows the name."""
    world.rule(trigger="keyword", pattern="price", reply_text="Hello {first_name|there}!")
    world.graph_fault("profile", "429", times=1)
    world.graph_fault("send", "expired_token", times=1)
    world.deliver(webhook(message("price")))
    assert world.row("select payload ->> 'text' as text from outbox") == {"text": "Hello there!"}
    world.db.execute("update accounts set state = 'active', dead_env_tokens = '{}'")
    world.show_profile({"id": CONTACT, "name": "Ada Lovelace", "username": "ada"})
    while world.rows("select from outbox where state = 'planned'"):
        world.sweep()
    assert texts(world) == ["Hello Ada!"]


@pytest.mark.parametrize("words", ["Hello there!", "Hello Ada!"])
def test_an_echo_of_any_attempt_settles_the_reply(world: World, words: str) -> None:
    """Meta refused both attempts, and delivered one of them all the same: its echo comes late."""
    world.rule(trigger="keyword", pattern="price", reply_text="Hello {first_name|there}!")
    world.graph_fault("profile", "429", times=1)
    world.graph_fault("send", "expired_token", times=2)
    world.deliver(webhook(message("price")))
    world.show_profile({"id": CONTACT, "name": "Ada Lovelace", "username": "ada"})
    world.db.execute("update accounts set state = 'active', dead_env_tokens = '{}'")
    world.sweep()
    assert world.row("select payload ->> 'text' as text, left_as -> 0 ->> 'text' as before from outbox") == {
        "text": "Hello Ada!", "before": "Hello there!",
    }  # fmt: skip
    world.deliver(webhook(echo(words, mid="m_late")))
    assert world.row("select state, mid from outbox") == {"state": "sent", "mid": "m_late"}
    world.db.execute("update accounts set state = 'active', dead_env_tokens = '{}'")
    world.sweep()
    assert world.sent() == []


# Nothing is left unanswered in silence.


def without_author(text: str, **author: str) -> dict[str, Any]:
    body = comment(text)
    body["value"]["from"] = author
    return body


@pytest.mark.parametrize("author", [{"username": "ada"}, {}])
def test_a_comment_without_the_id_of_its_author_gets_its_private_reply(world: World, author: dict[str, str]) -> None:
    world.rule(trigger="comment", pattern="price", reply_text="Hello {username|there}, it is 20.")
    body = without_author("price", **author)
    for _ in range(2):
        world.deliver(webhook(body, under="changes"))
        world.forget_deduplication()
    [sent] = world.sent()
    assert sent["comment_id"] == body["value"]["id"]
    assert sent["message"]["text"] == f"Hello {author.get('username', 'there')}, it is 20."
    assert world.row("select state, contact_id from outbox") == {"state": "sent", "contact_id": None}


@pytest.mark.parametrize("order", [1, -1])
def test_a_comment_told_with_and_without_its_author_gets_one_reply(world: World, order: int) -> None:
    world.rule(trigger="comment", pattern="price", reply_text="20.")
    whole = comment("price")
    nameless = {**whole, "value": {**whole["value"], "from": {"username": "somebody"}}}
    for telling in [whole, nameless][::order]:
        world.deliver(webhook(telling, under="changes"))
        world.forget_deduplication()
    assert len(world.sent()) == 1


def test_our_own_comment_is_known_by_our_name_too(world: World) -> None:
    world.rule(trigger="comment", pattern="price", reply_text="20.")
    world.db.execute("insert into accounts (account_id, username) values (%s, 'Shop')", (ACCOUNT,))
    world.deliver(webhook(without_author("the price is 20", username="shop"), under="changes"))
    assert world.sent() == []
    assert world.row("select is_self from comments") == {"is_self": True}


def test_a_rule_that_cools_down_says_so(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.", cooldown_s=60)
    for _ in range(2):
        world.deliver(webhook(message("price")))
    rows = world.rows("select state, error_code from outbox order by planned_at")
    assert rows == [{"state": "sent", "error_code": None}, {"state": "skipped", "error_code": "cooling_down"}]

"""Reply rules: which of them an event sets off, and the message each answers with."""

import re
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.core.settings import load
from lib.database import read_answer
from lib.events.model import Event
from lib.processing.planner import Plan, plan_effects
from lib.replies.message import Attachment, Choice, fill_in, render
from lib.replies.patterns import TOO_WIDE, TOO_WIDE_TOGETHER, Match, Pattern, Patterns, normal
from lib.replies.rules import Rule, RuleBook, Trigger, may_be_answered
from lib.webhooks.parser import parse_webhook
from tests.support.builders import comment, echo, edit, item, message, postback, reaction, read, unsend, webhook
from tests.support.settings import COMPLETE


def event(one: dict[str, Any], *, under: str = "messaging", account: str = "17841400000000000") -> Event:
    """The event of one webhook item."""
    (found,) = parse_webhook(webhook(one, under=under, account=account), received_at=1_795_000_000_000)
    return found


def keyword(pattern: str, match: Match = "contains", *, rule_id: int = 1, **more: Any) -> Rule:
    return Rule(rule_id=rule_id, trigger="keyword", reply_text="answer", match=match, pattern=pattern, **more)


def answers(rule: Rule, one: Event) -> bool:
    return RuleBook([rule]).matching(one) == [rule]


# What a pattern means.


@pytest.mark.parametrize(
    ("match", "pattern", "text", "meets"),
    [
        ("exact", "price", "  PRICE ", True),
        ("exact", "how much", "How   much", True),
        ("exact", "how much", "how much?", False),
        ("contains", "price", "What is the PRICE?", True),
        ("contains", "price", "The priçe", False),
        ("contains", "how much", "tell me how\n much", True),
        ("contains", "STRASSE", "in welcher Straße?", True),
        ("contains", "?", "really?", True),
        ("contains", "no", "yes", False),
        ("contains", "\U0001f525", "what a day \U0001f525\U0001f525", True),
        ("regex", r"\bprices?\b", "Your Prices please", True),
        ("regex", r"^\d{4}$", "1234", True),
        ("regex", r"^\d{4}$", "12345", False),
        ("regex", r"caf(é|e)", "CAFÉ", True),
        ("regex", "a.c", "a\nc", False),
    ],
)
def test_a_pattern_is_met_whatever_the_case_and_the_blanks(match: Match, pattern: str, text: str, meets: bool) -> None:
    assert answers(keyword(pattern, match), event(message(text))) is meets


WORDS = st.text(alphabet="abcß É?", max_size=12)
EXPRESSIONS = st.sampled_from([r"a+b", r"^c", r"b$", r"[ab]{2,3}c?", r"a.*c", r"(a|b)c", r"É?b", r"\bab\b", r"c{3}"])
PATTERNS = st.one_of(st.tuples(st.sampled_from(["exact", "contains"]), WORDS), st.tuples(st.just("regex"), EXPRESSIONS))


def meets(match: str, pattern: str, words: str) -> bool:
    """The same question, asked of one pattern at a time and in the plainest way."""
    needle, text = normal(pattern), normal(words)
    if not needle:
        return True
    if match == "regex":
        return re.search(pattern, words, re.IGNORECASE | re.ASCII) is not None
    return needle == text if match == "exact" else needle in text


@given(st.lists(PATTERNS, max_size=40), WORDS)
def test_many_patterns_at_once_are_met_as_each_would_be_alone(patterns: list[tuple[Any, str]], words: str) -> None:
    many = Patterns(Pattern(key, match, pattern) for key, (match, pattern) in enumerate(patterns))
    one_by_one = [key for key, (match, pattern) in enumerate(patterns) if meets(match, pattern, words)]
    assert sorted(many.matching(words)) == one_by_one


@given(st.text())
def test_any_text_can_be_held_against_patterns(words: str) -> None:
    many = Patterns(
        [Pattern(0, "regex", "."), Pattern(1, "contains", "x"), Pattern(2, "exact", "x"), Pattern(3, "exact", "")]
    )
    assert 3 in many.matching(words)


def test_thousands_of_expressions_are_all_looked_for() -> None:
    rules = [keyword(rf"\border {number}\b", "regex", rule_id=number) for number in range(1, 3001)]
    assert [rule.rule_id for rule in RuleBook(rules).matching(event(message("my order 2345, please")))] == [2345]


@pytest.mark.parametrize("expression", ["(a+)+$", "^(a|a)*$", "(.*)*b$", "([a-zA-Z]+)*!"])
def test_a_catastrophic_expression_ends(expression: str) -> None:
    """In `re`, each would outlast the sun; here the test's own timeout would tell."""
    assert not answers(keyword(expression, "regex"), event(message("a" * 2000 + "?")))


@pytest.mark.parametrize("bad", ["(", "a(?=b)", r"(a)\1", "[", "a{2000}", "*"])
def test_an_expression_that_is_none_silences_only_its_own_rule(bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    rules = [keyword("price", "regex", rule_id=1), keyword(bad, "regex", rule_id=2), keyword("price", rule_id=3)]
    assert [rule.rule_id for rule in RuleBook(rules).matching(event(message(f"price {bad}")))] == [1, 3]


def test_expressions_that_are_too_much_together_are_looked_for_apart() -> None:
    rules = [keyword(rf"[\pL\pN]+ [\pL\pN]+ word{number}$", "regex", rule_id=number) for number in range(1, 401)]
    book = RuleBook(rules)
    assert book.bad == []
    assert [rule.rule_id for rule in book.matching(event(message("a b word77")))] == [77]


@pytest.mark.parametrize(
    "wide", ["x.{0,300}y.{0,300}z", "(?:[a-z0-9]{1,300} ){2}", "((x{0,9}y.{0,9}){0,9}z.){0,9}z", "x" + ".?" * 600]
)
def test_an_expression_that_takes_too_long_is_left_out_and_named(wide: str) -> None:
    book = RuleBook([keyword("price", "regex", rule_id=1), keyword(wide, "regex", rule_id=2)])
    assert [(bad.rule_id, bad.reason) for bad in book.bad] == [(2, TOO_WIDE)]
    assert [rule.rule_id for rule in book.matching(event(message("price")))] == [1]


def test_expressions_that_take_too_long_together_are_left_out_from_the_least_important() -> None:
    rules = [keyword(f"x.{{0,30}}y.{{0,30}}z{number}", "regex", rule_id=number) for number in range(1, 1001)]
    book = RuleBook([*rules, keyword("price", rule_id=5000)])
    left_out = {bad.rule_id for bad in book.bad}
    assert {bad.reason for bad in book.bad} == {TOO_WIDE_TOGETHER}
    assert min(number for number in left_out if number is not None) == 1001 - len(left_out) > 1
    assert [rule.rule_id for rule in book.matching(event(message("x y z1 price")))] == [1, 5000]


# Rows that cannot be read.

GOOD_ROW = {"rule_id": 1, "trigger": "keyword", "pattern": "price", "reply_text": "20."}

BAD_ROWS: list[Any] = [
    {**GOOD_ROW, "rule_id": 2, "trigger": "from_the_future"},
    {
        "rule_id": 2,
        "trigger": "keyword",
        "pattern": "p",
        "attachment": {"type": "MEDIA_SHARE", "id": 17900000000000001},
    },
    {**GOOD_ROW, "rule_id": 2, "quick_replies": [{"title": 1, "payload": "x"}]},
    {**GOOD_ROW, "rule_id": 2, "match": "fuzzy"},
    {**GOOD_ROW, "rule_id": 2, "reply_text": ["20."]},
    {**GOOD_ROW, "rule_id": 2, "priority": "high"},
    {**GOOD_ROW, "rule_id": 2, "pattern": None},
    {**GOOD_ROW, "rule_id": 2, "pattern": " \u2003\x1c"},
    {**GOOD_ROW, "rule_id": 2, "reply_text": " "},
    {**GOOD_ROW, "rule_id": 2, "attachment": {"type": "image", "url": "https://cdn.example/1.png"}},
    {"rule_id": 2, "trigger": "keyword", "pattern": "price"},
]


@pytest.mark.parametrize("row", BAD_ROWS)
def test_a_row_that_cannot_be_read_is_left_out_and_named_and_silences_no_other(row: dict[str, Any]) -> None:
    book = RuleBook.of_rows([row, GOOD_ROW])
    assert [bad.rule_id for bad in book.bad] == [2]
    assert [rule.rule_id for rule in book.matching(event(message("price")))] == [1]


@pytest.mark.parametrize("row", [None, 7, "row", [], {}, {"rule_id": "x"}])
def test_a_row_that_is_none_is_left_out_without_a_name(row: object) -> None:
    book = RuleBook.of_rows([row, GOOD_ROW])
    assert [bad.rule_id for bad in book.bad] == [None]
    assert [rule.rule_id for rule in book.matching(event(message("price")))] == [1]


def test_a_column_of_a_newer_version_makes_no_rule_unreadable() -> None:
    assert RuleBook.of_rows([{**GOOD_ROW, "of_tomorrow": {"a": 1}}]).bad == []


# Which trigger an event pulls.


def story_mention() -> dict[str, Any]:
    return message(None, attachments=[{"type": "story_mention", "payload": {"url": "https://cdn.example/s"}}])


EVERY_TRIGGER = [
    Rule(
        rule_id=number,
        trigger=trigger,
        reply_text=trigger,
        pattern="PAY" if trigger in ("keyword", "postback") else None,
    )
    for number, trigger in enumerate(get_args(Trigger), start=1)
]


@pytest.mark.parametrize(
    ("one", "triggers"),
    [
        (event(message("I pay")), ["keyword", "first_message"]),
        (event(message("hello")), ["first_message"]),
        (event(message(None)), ["first_message"]),
        (event(story_mention()), ["story_mention", "first_message"]),
        (event(message("nice", reply_to={"story": {"id": "1", "url": "https://x"}})), ["story_reply", "first_message"]),
        (event(message("nice", reply_to={"mid": "m_1"})), ["first_message"]),
        (event(message("Yes", quick_reply={"payload": "PAY"})), ["first_message", "postback"]),
        (event(message("Pay", quick_reply={"payload": "LATER"})), ["keyword", "first_message"]),
        (event(postback("PAY_NOW")), ["first_message", "postback"]),
        (event(postback("OTHER")), ["first_message"]),
        (event(comment("how do I pay?"), under="changes"), ["comment"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_what_a_person_does_pulls_its_triggers(one: Event, triggers: list[str]) -> None:
    assert [rule.trigger for rule in RuleBook(EVERY_TRIGGER).matching(one)] == triggers


@pytest.mark.parametrize(
    "one",
    [
        event(echo("pay")),
        event(message("pay", is_echo=True, is_self=True)),
        event(message("pay"), under="standby"),
        event(message("pay", mid="random_mid"), account="0"),
        event(unsend("m_1")),
        event(edit("m_1", "pay")),
        event(reaction("m_1")),
        event(read("m_1")),
        event(item(referral={"ref": "pay", "source": "ADS", "type": "OPEN_THREAD"})),
        event(item(optin={"type": "notification_messages"})),
        event(item(pass_thread_control={"new_owner_app_id": "1"})),
        event(item(something_new={"text": "pay"})),
    ],
    ids=lambda one: f"{one.kind}-{one.standby}-{one.is_self}-{one.is_test}",
)
def test_nothing_else_pulls_any(one: Event) -> None:
    assert not may_be_answered(one)
    rules = RuleBook([*EVERY_TRIGGER, keyword(".", "regex", rule_id=9)], version=3)
    assert plan_effects(one, rules, load(COMPLETE)) == Plan([], None)


@given(st.lists(st.tuples(st.integers(-2, 2), st.sampled_from(["exact", "contains", "regex"])), max_size=12))
def test_the_highest_priority_goes_first_and_the_older_rule_before_the_newer(rules: list[tuple[int, Any]]) -> None:
    book = RuleBook(
        keyword("price", match, rule_id=number, priority=priority) for number, (priority, match) in enumerate(rules)
    )
    found = [(-rule.priority, rule.rule_id) for rule in book.matching(event(message("price")))]
    assert found == sorted((-priority, number) for number, (priority, _) in enumerate(rules))


def test_rules_read_as_the_database_gives_them() -> None:
    row = {
        "rule_id": 7,
        "trigger": "keyword",
        "match": "exact",
        "pattern": "size",
        "reply_text": "Which?",
        "quick_replies": [{"title": "Small", "payload": "S"}],
        "priority": 3,
        "cooldown_s": 60,
    }
    rule = read_answer([row], list[Rule])[0]
    assert rule.message() == {
        "text": "Which?",
        "quick_replies": [{"content_type": "text", "title": "Small", "payload": "S"}],
    }


# The message.


@pytest.mark.parametrize(
    ("attachment", "sent"),
    [
        (
            Attachment(type="image", url="https://x.example/a.png"),
            {"attachments": [{"type": "image", "payload": {"url": "https://x.example/a.png"}}]},
        ),
        (Attachment(type="image", id="123"), {"attachments": [{"type": "image", "payload": {"attachment_id": "123"}}]}),
        (
            Attachment(type="audio", url="https://x.example/a.m4a"),
            {"attachment": {"type": "audio", "payload": {"url": "https://x.example/a.m4a"}}},
        ),
        (Attachment(type="MEDIA_SHARE", id="1790"), {"attachment": {"type": "MEDIA_SHARE", "payload": {"id": "1790"}}}),
    ],
)
def test_an_attachment_goes_out_as_the_send_api_takes_it(attachment: Attachment, sent: dict[str, Any]) -> None:
    rule = Rule(rule_id=1, trigger="story_mention", attachment=attachment)
    assert rule.message() == sent
    assert fill_in(rule.message(), name="Ada", username="ada") == sent


@pytest.mark.parametrize(
    ("name", "username", "text"),
    [
        ("Ada Lovelace", "ada.l", "Hi Ada Lovelace, Ada, @ada.l {price} {0}"),
        (None, "ada.l", "Hi ada.l, ada.l, @ada.l {price} {0}"),
        ("  ", "ada.l", "Hi ada.l, ada.l, @ada.l {price} {0}"),
        ("Ada", None, "Hi Ada, Ada, @Ada {price} {0}"),
        (None, None, "Hi, {price} {0}"),
        ("{username}", "ada.l", "Hi {username}, {username}, @ada.l {price} {0}"),
    ],
)
def test_placeholders_are_fill_in_and_other_braces_left_alone(
    name: str | None, username: str | None, text: str
) -> None:
    template = "Hi {name}, {first_name}, @{username} {price} {0}"
    assert render(template, name=name, username=username) == text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Hello {first_name}, thanks", "Hello, thanks"),
        ("Hello {first_name}!", "Hello!"),
        ("Hello {first_name}", "Hello"),
        ("{first_name}, thanks", "thanks"),
        ("{first_name} thanks", "thanks"),
        ("Hi {first_name} and welcome", "Hi and welcome"),
        ("Thanks (@{username})!", "Thanks!"),
        ('Thanks "{name}" !', "Thanks !"),
        ("One\n{name}: two", "One\ntwo"),
        ("Hello {first_name|there}!", "Hello there!"),
        ("Hello {first_name| }!", "Hello!"),
        ("Hello {first_name|}!", "Hello!"),
        ("{name}{username}", ""),
        ("Hello { first_name }, {first_name|a|b} {0}", "Hello { first_name }, {first_name|a|b} {0}"),
    ],
)
def test_a_placeholder_without_a_value_takes_its_default_or_goes(template: str, text: str) -> None:
    assert render(template, name=None, username=" ") == text


@given(
    st.lists(
        st.sampled_from(
            [*["{name}", "{first_name}", "{username|}", "Hello", ",", "!", "(", ")", "@", "\n"], " ", "thanks"]
        )
    )
)
def test_where_nothing_is_known_no_trace_of_a_placeholder_stays(parts: list[str]) -> None:
    text = render("".join(parts), name=None, username=None)
    assert "\x00" not in text
    assert not any(placeholder in text for placeholder in ("{name}", "{first_name}", "{username|}"))
    without = "".join(part for part in parts if not part.startswith("{"))
    assert [sign for sign in text if sign.isalpha()] == [sign for sign in without if sign.isalpha()]


@given(st.text(min_size=1), st.text(), st.lists(st.builds(Choice, title=st.text(), payload=st.text()), max_size=13))
def test_a_reply_never_has_more_than_a_thousand_bytes_of_text_and_keeps_its_quick_replies(
    text: str, name: str, choices: list[Choice]
) -> None:
    message = Rule(
        rule_id=1,
        trigger="keyword",
        pattern="price",
        reply_text=(text * 400)[:3000] + "{name}",
        quick_replies=choices,
    ).message()
    sent = fill_in(message, name=name, username=None)
    assert len(sent["text"].encode()) <= 1000
    assert sent.get("quick_replies") == message.get("quick_replies")


def test_a_text_that_is_too_long_ends_at_a_character() -> None:
    sent = fill_in({"text": "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 100}, name=None, username=None)
    assert sent["text"] == "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 55

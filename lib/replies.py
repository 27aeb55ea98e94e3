"""Reply rules: which of them an event matches, and the words of the reply.

Pure: rules and an event in, candidates out. Must not know the database (first message, cooldown, window and
account are decided in the record transaction, `ingestion.plan_effects`), nor send anything.
"""

import re
from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec

from lib import log
from lib.events import Comment, Event, Message, Postback

Trigger: TypeAlias = Literal["keyword", "story_mention", "story_reply", "first_message", "postback", "comment"]
Match: TypeAlias = Literal["exact", "contains", "regex"]

_log = log.get(__name__)


class Rule(msgspec.Struct, frozen=True):
    """One row of `reply_rules`. `account_id` None: for every account. The highest `priority` goes first."""

    rule_id: int
    trigger: Trigger
    reply_text: str
    account_id: str | None = None
    match: Match = "contains"
    pattern: str | None = None
    priority: int = 0
    cooldown_s: int = 0


class RuleBook:
    """The enabled rules, best first, ready to be matched. `version` is that of the database."""

    def __init__(self, rules: Iterable[Rule] = (), *, version: int = 0) -> None:
        self.version = version
        ordered = sorted(rules, key=lambda rule: (-rule.priority, rule.rule_id))
        self._by_trigger: dict[Trigger, list[_Matcher]] = {}
        for position, rule in enumerate(ordered):
            matcher = _compile(rule, position)
            if matcher is not None:
                self._by_trigger.setdefault(rule.trigger, []).append(matcher)

    def matching(self, event: Event) -> list[Rule]:
        """The rules `event` sets off, best first, of whatever account: an event may carry either id of its
        account, and only the database knows which belong together.

        Nothing for an echo, for ourselves, for a thread another app owns, or for the dashboard's test.
        """
        if not may_be_answered(event):
            return []
        words = _words(event)
        text = _normal(words)
        found = [
            matcher
            for trigger in _triggers(event)
            for matcher in self._by_trigger.get(trigger, ())
            if matcher.hits(words, text)
        ]
        return [matcher.rule for matcher in sorted(found, key=lambda matcher: matcher.position)]


class _Matcher(msgspec.Struct, frozen=True):
    rule: Rule
    position: int
    needle: str
    regex: re.Pattern[str] | None

    def hits(self, words: str, text: str) -> bool:
        """Does it match the `words` as written, or their normal form `text`?"""
        if self.regex is not None:
            return self.regex.search(words) is not None
        if not self.needle:
            return True
        return self.needle == text if self.rule.match == "exact" else self.needle in text


def may_be_answered(event: Event) -> bool:
    """Is this something a person wrote to us, in a thread that is ours to answer?"""
    return (
        isinstance(event, Message | Postback | Comment)
        and event.direction == "inbound"
        and event.contact_id is not None
        and not (event.standby or event.is_self or event.is_test)
    )


def render(template: str, *, name: str | None, username: str | None) -> str:
    """`template` with `{name}`, `{first_name}` and `{username}` filled in; a missing name is the username.

    Other braces stay as they are: a reply is the user's text, not a program.
    """
    full = (name or username or "").strip()
    values = {"name": full, "first_name": full.split(" ")[0], "username": (username or full).strip()}
    return _PLACEHOLDER.sub(lambda found: values[found.group(1)], template)


_PLACEHOLDER = re.compile(r"\{(name|first_name|username)\}")


def _triggers(event: Event) -> list[Trigger]:
    if isinstance(event, Comment):
        return ["comment"]
    if isinstance(event, Postback):
        return ["postback", "first_message"]
    triggers: list[Trigger] = ["keyword", "first_message"]
    if isinstance(event, Message):
        if any(item.get("type") == "story_mention" for item in event.attachments):
            triggers.append("story_mention")
        if event.reply_to is not None and event.reply_to.story is not None:
            triggers.append("story_reply")
    return triggers


def _words(event: Event) -> str:
    if isinstance(event, Postback):
        return event.payload or event.title or ""
    if isinstance(event, Message | Comment):
        return event.text or ""
    return ""


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())


def _compile(rule: Rule, position: int) -> _Matcher | None:
    pattern = rule.pattern or ""
    if rule.match != "regex" or not pattern:
        return _Matcher(rule, position, _normal(pattern), None)
    try:
        return _Matcher(rule, position, "", re.compile(pattern, re.IGNORECASE))
    except re.error as error:
        # One bad rule must not silence the others; the operator sees which it is.
        _log.error("reply rule is no valid regex", rule_id=rule.rule_id, position=error.pos)
        return None

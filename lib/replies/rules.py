"""Reply rules: which of them an event sets off.

Pure: rules and an event in, candidates out. Must not know the database (first message, cooldown, window, thread and
account are decided in the record transaction, `ingestion.plan_effects`), nor send anything.
"""

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import msgspec

from lib.core import log
from lib.events.model import Comment, Event, Message, Postback
from lib.replies.message import Attachment, Choice, attachment_message, text_message
from lib.replies.patterns import Match, Pattern, Patterns

Trigger: TypeAlias = Literal["keyword", "story_mention", "story_reply", "first_message", "postback", "comment"]

_log = log.get(__name__)


class Rule(msgspec.Struct, frozen=True):
    """One row of `reply_rules`. `account_id` None: for every account. The highest `priority` goes first.

    It has either a text, with or without quick replies, or an attachment.
    """

    rule_id: int
    trigger: Trigger
    reply_text: str = ""
    quick_replies: list[Choice] = []
    attachment: Attachment | None = None
    account_id: str | None = None
    match: Match = "contains"
    pattern: str | None = None
    priority: int = 0
    cooldown_s: int = 0

    def message(self) -> dict[str, Any]:
        """The message it answers with, placeholders and all."""
        if self.attachment is not None:
            return attachment_message(self.attachment)
        return text_message(self.reply_text, self.quick_replies)


class RuleBook:
    """The enabled rules, best first, ready to be matched. `version` is that of the database."""

    def __init__(self, rules: Iterable[Rule] = (), *, version: int = 0) -> None:
        self.version = version
        self._rules = sorted(rules, key=lambda rule: (-rule.priority, rule.rule_id))
        by_trigger: dict[Trigger, list[Pattern]] = {}
        for place, rule in enumerate(self._rules):
            by_trigger.setdefault(rule.trigger, []).append(Pattern(place, rule.match, rule.pattern or ""))
        self._patterns = {trigger: Patterns(patterns) for trigger, patterns in by_trigger.items()}
        for patterns in self._patterns.values():
            for place in patterns.refused:
                # One bad rule must not silence the others; the operator sees which it is.
                _log.error("Reply rule is no valid regular expression", rule_id=self._rules[place].rule_id)

    def matching(self, event: Event) -> list[Rule]:
        """The rules `event` sets off, best first, of whatever account: an event may carry either id of its
        account, and only the database knows which belong together.

        Nothing for an echo, for ourselves, for a thread another app owns, or for the dashboard's test.
        """
        if not may_be_answered(event):
            return []
        places = {
            place
            for trigger, words in _triggers(event)
            if trigger in self._patterns
            for place in self._patterns[trigger].met_by(words)
        }
        return [self._rules[place] for place in sorted(places)]


def may_be_answered(event: Event) -> bool:
    """Is this something a person wrote to us, in a thread that is ours to answer?"""
    return (
        isinstance(event, Message | Postback | Comment)
        and event.direction == "inbound"
        and event.contact_id is not None
        and not (event.standby or event.is_self or event.is_test)
    )


def _triggers(event: Event) -> list[tuple[Trigger, str]]:
    """What `event` may set off, each with the words its patterns are held against."""
    if isinstance(event, Comment):
        return [("comment", event.text or "")]
    if isinstance(event, Postback):
        words = event.payload or event.title or ""
        return [("postback", words), ("first_message", words)]
    return _triggers_of_message(event) if isinstance(event, Message) else []


def _triggers_of_message(event: Message) -> list[tuple[Trigger, str]]:
    words = event.text or ""
    triggers: list[tuple[Trigger, str]] = [("keyword", words), ("first_message", words)]
    if any(item.get("type") == "story_mention" for item in event.attachments):
        triggers.append(("story_mention", words))
    if event.reply_to is not None and event.reply_to.story is not None:
        triggers.append(("story_reply", words))
    if event.quick_reply is not None and event.quick_reply.payload:
        # A quick reply is a button too, though Meta sends its tap as a message.
        triggers.append(("postback", event.quick_reply.payload))
    return triggers

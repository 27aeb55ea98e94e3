"""Which reply rules an event sets off.

First message, cooldown, window, thread and account are decided later, in the record transaction
(`ingestion.plan_effects`).
"""

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from pydantic import Field

from lib.core import log
from lib.core.model import Model
from lib.events.model import Comment, Event, Message, Postback
from lib.replies.message import Attachment, Choice, attachment_message, text_message
from lib.replies.patterns import Match, Pattern, Patterns

Trigger: TypeAlias = Literal["keyword", "story_mention", "story_reply", "first_message", "postback", "comment"]

_log = log.get(__name__)


class Rule(Model):
    """One row of `reply_rules`. `account_id` None: for every account. The highest `priority` goes first.

    A rule has either a text, with or without quick replies, or an attachment.
    """

    rule_id: int
    trigger: Trigger
    reply_text: str = ""
    quick_replies: list[Choice] = Field(default=[])
    attachment: Attachment | None = None
    account_id: str | None = None
    match: Match = "contains"
    pattern: str | None = None
    priority: int = 0
    cooldown_s: int = 0

    def message(self) -> dict[str, Any]:
        """The message that the rule answers with. Its placeholders are not filled in."""
        if self.attachment is not None:
            return attachment_message(self.attachment)
        return text_message(self.reply_text, self.quick_replies)


class RuleBook:
    """The enabled rules, best first, ready to be matched. `version` is the database's version of the rules."""

    def __init__(self, rules: Iterable[Rule] = (), *, version: int = 0) -> None:
        self.version = version
        self._rules = sorted(rules, key=lambda rule: (-rule.priority, rule.rule_id))
        by_trigger: dict[Trigger, list[Pattern]] = {}
        for index, rule in enumerate(self._rules):
            by_trigger.setdefault(rule.trigger, []).append(Pattern(index, rule.match, rule.pattern or ""))
        self._patterns = {trigger: Patterns(patterns) for trigger, patterns in by_trigger.items()}
        for patterns in self._patterns.values():
            for index in patterns.refused:
                # One bad rule must not silence the others. The operator sees which rule is bad.
                _log.error("Reply rule is no valid regular expression", rule_id=self._rules[index].rule_id)

    def matching(self, event: Event) -> list[Rule]:
        """Returns the rules that `event` sets off, best first, whatever their account.

        An event may carry either id of its account, and only the database knows which ids belong together.

        The caller asks `may_be_answered` first.
        """
        matched = {
            index
            for trigger, text in _triggers(event)
            if trigger in self._patterns
            for index in self._patterns[trigger].matching(text)
        }
        return [self._rules[index] for index in sorted(matched)]


def may_be_answered(event: Event) -> bool:
    """Returns whether a person wrote this to us, in a thread that is ours to answer.

    That excludes echoes, ourselves, threads of another app, and the dashboard's test.
    """
    return (
        isinstance(event, Message | Postback | Comment)
        and event.direction == "inbound"
        and event.contact_id is not None
        and not (event.standby or event.is_self or event.is_test)
    )


def _triggers(event: Event) -> list[tuple[Trigger, str]]:
    """Returns the triggers that `event` may set off, each with the text for its patterns."""
    if isinstance(event, Comment):
        return [("comment", event.text or "")]
    if isinstance(event, Postback):
        text = event.payload or event.title or ""
        return [("postback", text), ("first_message", text)]
    return _triggers_of_message(event) if isinstance(event, Message) else []


def _triggers_of_message(event: Message) -> list[tuple[Trigger, str]]:
    text = event.text or ""
    triggers: list[tuple[Trigger, str]] = [("keyword", text), ("first_message", text)]
    if any(item.get("type") == "story_mention" for item in event.attachments):
        triggers.append(("story_mention", text))
    if event.reply_to is not None and event.reply_to.story is not None:
        triggers.append(("story_reply", text))
    if event.quick_reply is not None and event.quick_reply.payload:
        # A quick reply is a button too, although Meta sends the tap as a message.
        triggers.append(("postback", event.quick_reply.payload))
    return triggers

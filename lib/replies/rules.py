"""Which reply rules an event sets off.

First message, cooldown, window, thread and account are decided later, in the record transaction
(`ingestion.plan_effects`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from lib.core.model import Model, invalid_payload
from lib.events.model import Comment, Event, Message, Postback
from lib.replies.message import Attachment, Choice, attachment_message, text_message
from lib.replies.patterns import Match, Pattern, Patterns

Trigger: TypeAlias = Literal["keyword", "story_mention", "story_reply", "first_message", "postback", "comment"]


class Rule(Model):
    """One row of `reply_rules`. `account_id` None: for every account. The highest `priority` goes first.

    A rule has either a text, with or without quick replies, or an attachment. `cooldown_s` None: the setting's.
    """

    rule_id: int
    trigger: Trigger
    reply_text: str = ""
    quick_replies: list[Choice] = Field(default_factory=list)
    attachment: Attachment | None = None
    account_id: str | None = None
    match: Match = "contains"
    pattern: str | None = None
    priority: int = 0
    cooldown_s: int | None = None

    @model_validator(mode="after")
    def _says_when_and_what(self) -> Self:
        """The constraints of the table, for a row that came in while they were off."""
        if self.trigger == "keyword" and not (self.pattern or "").strip():
            # A blank pattern matches every text, so the rule would answer everybody.
            raise PydanticCustomError("no_pattern", "a rule for a keyword needs a pattern")
        if bool(self.reply_text.strip()) == (self.attachment is not None):
            raise PydanticCustomError("no_message", "a rule needs either a text or an attachment")
        return self

    def message(self) -> dict[str, Any]:
        """The message that the rule answers with. Its placeholders are not filled in."""
        if self.attachment is not None:
            return attachment_message(self.attachment)
        return text_message(self.reply_text, self.quick_replies)


@dataclass(frozen=True, slots=True)
class BadRule:
    """A rule that is left out, and why. `rule_id` is None if not even that can be read."""

    rule_id: int | None
    reason: str


class RuleBook:
    """The enabled rules, best first, ready to be matched. `version` is the database's version of the rules.

    `bad` are the rules that are left out.
    """

    def __init__(self, rules: Iterable[Rule] = (), *, version: int = 0, unreadable: Iterable[BadRule] = ()) -> None:
        self.version = version
        self.bad = list(unreadable)
        self._rules = sorted(rules, key=lambda rule: (-rule.priority, rule.rule_id))
        by_trigger: dict[Trigger, list[Pattern]] = {}
        for index, rule in enumerate(self._rules):
            by_trigger.setdefault(rule.trigger, []).append(Pattern(index, rule.match, rule.pattern or ""))
        self._patterns = {trigger: Patterns(patterns) for trigger, patterns in by_trigger.items()}
        for patterns in self._patterns.values():
            self.bad += [BadRule(self._rules[index].rule_id, why) for index, why in patterns.refused.items()]

    @classmethod
    def of_rows(cls, rows: Iterable[object], *, version: int = 0) -> "RuleBook":
        """Returns the rules in `rows` of `enabled_rules`. Each is read by itself, and left out if it cannot be read."""
        rules: list[Rule] = []
        unreadable: list[BadRule] = []
        for row in rows:
            try:
                rules.append(Rule.model_validate(row))
            except ValidationError as error:
                rule_id = row.get("rule_id") if isinstance(row, dict) else None
                unreadable.append(BadRule(rule_id if isinstance(rule_id, int) else None, str(invalid_payload(error))))
        return cls(rules, version=version, unreadable=unreadable)

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
        # A comment need not name its author: its own id is enough for a private reply.
        and (event.contact_id is not None or isinstance(event, Comment))
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

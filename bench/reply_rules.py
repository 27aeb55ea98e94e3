"""The time of one message against many reply rules: `python -m bench.reply_rules [--rules 10000]`.

Prints the milliseconds of new messages, and how many times as long a plain loop over the rules takes in the same run.
Both must give the same rules. No figure is judged, as it depends on the machine.
"""

import argparse
import random
import re
import statistics
import time
from collections.abc import Callable
from typing import TypeVar

from bench.message import message, webhook
from lib.events.model import Event
from lib.replies.patterns import Match, normal
from lib.replies.rules import Rule, RuleBook
from lib.webhooks.parser import parse_webhook

MESSAGES = 200
LOOPED = 20
"""The plain loop is slow, so it gets only so many of the messages."""

MIXES: dict[str, tuple[Match, ...]] = {
    "exact": ("exact",),
    "contains": ("contains",),
    "regex": ("regex",),
    "a third each": ("exact", "contains", "regex"),
    "mostly contains": ("contains",) * 8 + ("exact", "regex"),
}
TALK = (
    "the price of my order is what how much can you tell me please is it available in blue large size thank you hello"
    " want to buy shipping to where your shop when open still waiting for parcel number wrong refund exchange discount"
)
WORDS = TALK.split()
T = TypeVar("T")


def main() -> None:
    """Measures each mix of rules."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=int, default=10_000)
    count = parser.parse_args().rules
    print(f"{count} rules, one message of 2 to 14 words, {MESSAGES} messages")
    print(f"{'rules':16} {'median':>9} {'95 %':>9} {'slowest':>9} {'plain loop':>12} {'ratio':>7} {'ready in':>9}")
    for name, matches in MIXES.items():
        chance = random.Random(name)
        vocabulary = [*WORDS, *(_word(chance) for _ in range(2 * count))]
        rules = [_rule(number, chance.choice(matches), vocabulary, chance) for number in range(count)]
        texts = [
            " ".join(chance.choices([*WORDS, *vocabulary[:200]], k=chance.randint(2, 14))) for _ in range(MESSAGES)
        ]
        print(f"{name:16} {_measure(rules, texts)}")


def _word(chance: random.Random) -> str:
    return "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(4, 9)))


def _rule(number: int, match: Match, vocabulary: list[str], chance: random.Random) -> Rule:
    first, second = chance.choices(vocabulary, k=2)
    expression = chance.choice(
        (
            rf"\b{first}\b",
            f"{first}.*{second}",
            rf"\b(?:{first}|{second})s?\b",
            rf"^{first}\s+\d+",
            f"how much .*{first}",
        )
    )
    pattern = {"exact": f"{first} {second}", "contains": first, "regex": expression}[match]
    return Rule(rule_id=number, trigger="keyword", reply_text="answer", match=match, pattern=pattern)


def _measure(rules: list[Rule], texts: list[str]) -> str:
    began = time.perf_counter()
    book = RuleBook(rules)
    ready_s = time.perf_counter() - began
    loop = _plain_loop(rules)
    matching = [_timed(book.matching, _event(text)) for text in texts]
    looped = [_timed(loop, text) for text in texts[:LOOPED]]
    for (_, matched), (_, plain) in zip(matching, looped, strict=False):
        assert matched == plain, "the two do not agree"
    took_ms = sorted(ms for ms, _ in matching)
    median, loop_median = statistics.median(took_ms), statistics.median(ms for ms, _ in looped)
    return (
        f"{median:6.3f} ms {took_ms[int(len(took_ms) * 0.95)]:6.3f} ms {took_ms[-1]:6.3f} ms"
        f" {loop_median:9.1f} ms {loop_median / median:6.0f}x {ready_s:7.2f} s"
    )


def _event(text: str) -> Event:
    at_ms = 1_795_000_000_000
    item = message("1", text, at_ms=at_ms, number=0)
    (event,) = parse_webhook(webhook([item], at_ms=at_ms), received_at=at_ms)
    return event


def _plain_loop(rules: list[Rule]) -> Callable[[str], list[Rule]]:
    """Returns a function that tries one rule after the other, with `re`."""
    prepared = [
        (
            rule,
            normal(rule.pattern or ""),
            re.compile(rule.pattern or "", re.IGNORECASE) if rule.match == "regex" else None,
        )
        for rule in rules
    ]

    def loop(words: str) -> list[Rule]:
        text = normal(words)
        return [
            rule
            for rule, needle, expression in prepared
            if (
                expression.search(words)
                if expression is not None
                else needle == text
                if rule.match == "exact"
                else needle in text
            )
        ]

    return loop


def _timed(call: Callable[[T], list[Rule]], argument: T) -> tuple[float, list[Rule]]:
    began = time.perf_counter()
    answer = call(argument)
    return (time.perf_counter() - began) * 1000, answer


if __name__ == "__main__":
    main()

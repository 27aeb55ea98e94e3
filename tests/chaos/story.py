"""What a run is asked to be, and what it was like: plain values, for whoever shows it.

Must not know how any of it comes about.
"""

from dataclasses import dataclass, field

from tests.chaos.judge import Judgement
from tests.chaos.meta import Tally
from tests.chaos.schedule import Fault, schedule
from tests.chaos.watch import Sample


@dataclass(frozen=True)
class Plan:
    """What a run is asked to be."""

    seed: int
    events: int
    lasts_s: float
    outage_s: float
    """How long the outage at the end lasts: longer than all of QStash's retries."""

    @property
    def faults(self) -> list[Fault]:
        """The schedule."""
        return schedule(self.seed, self.lasts_s, self.outage_s)


@dataclass(frozen=True)
class Happened:
    """A fault as it came: begun and mended, seconds from the start."""

    fault: Fault
    began_s: float
    ended_s: float


@dataclass
class Story:
    """What a run was like, growing while it goes on."""

    plan: Plan
    told: int = 0
    now: str = ""
    samples: list[Sample] = field(default_factory=list)
    happened: list[Happened] = field(default_factory=list)
    webhooks: Tally = field(default_factory=Tally)
    faults_over_s: float = 0.0
    judgement: Judgement | None = None

"""However much nonsense comes, nothing of it stays in the memory of a function."""

import json
import subprocess
import sys

from dev.stack.config import ROOT
from dev.stack.environment import child_environment
from tests.fuzz.effort import EXAMPLES, IS_LONG
from tests.fuzz.rig import Rig

WARM_UP = 1000 if IS_LONG else 400
MEASURED = 2 * EXAMPLES if IS_LONG else 250
MAY_STAY_BYTES = 32_768
"""Python's own caches (compiled expressions, interned names) are not quite full after the warm-up."""


def test_nothing_of_a_webhook_stays_in_memory(rig: Rig) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.memory", str(WARM_UP), str(MEASURED)],
        cwd=ROOT,
        env=child_environment(rig.world.stack.env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=110 + MEASURED / 10,
        check=False,
    )
    said = ended.stderr.decode()
    assert ended.returncode == 0, said
    found = json.loads(said.splitlines()[-1])
    assert found["stayed_bytes"] < MAY_STAY_BYTES, "\n".join(found["most"])

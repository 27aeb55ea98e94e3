"""How many examples each test tries: some with every run of the tests, FUZZ_EXAMPLES with `make fuzz`.

The one place that reads the variable.
"""

import os

from hypothesis import HealthCheck, settings

IN_SHORT = 6

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", IN_SHORT))
"""Each test tries so many."""

IS_LONG = EXAMPLES > IN_SHORT

thorough = settings(
    settings.get_profile("pipeline"),
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)

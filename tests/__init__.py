"""Tests. Those by Hypothesis look at what is right, not at how fast the machine is."""

import sys

if sys.argv[0] != "-m":  # child processes of tests do without
    from hypothesis import HealthCheck, settings

    settings.register_profile(
        "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("any machine")

"""A soak of a chosen time: ``make soak SOAK_SECONDS=600``."""

import os

from tests.soak.case import SoakCase


class SoakTests(SoakCase):
    timeout = 1e6

    def test_chosen_time(self) -> None:
        """As long as SOAK_SECONDS says, from SOAK_SEED or another one."""
        seed = os.environ.get("SOAK_SEED")
        self.soak(float(os.environ.get("SOAK_SECONDS", "600")), int(seed) if seed else None)

"""A minute of load that comes and goes, with faults, what is left of it included."""

from tests.soak.case import SoakCase


class SoakTests(SoakCase):
    timeout = 300

    def test_minute(self) -> None:
        """Nothing is lost, nothing grows, and all is given back; the seed is printed."""
        self.soak(35)

"""An hour of a stream in virtual time; `make test-long` has six."""

from tests.outputs.virtual_time import VirtualTimeCase


class HourTests(VirtualTimeCase):
    def test_hour(self) -> None:
        """Picture and sound stay together, files tell the truth, and memory stays flat."""
        self.simulate(1)

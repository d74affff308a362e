"""A stream of six hours, in virtual time."""

from tests.outputs.virtual_time import VirtualTimeCase


class SixHourTests(VirtualTimeCase):
    def test_six_hours(self) -> None:
        """Picture and sound stay together, files tell the truth, and memory stays flat."""
        self.simulate(6)
        print(f"{self.segments} segments, at most {self.drift:.2f} ms apart", flush=True)

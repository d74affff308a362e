"""An outage of the encoder of a whole minute, as hls.js sees it."""

from tests.timing.test_scenarios import ScenarioCase


class OutageTests(ScenarioCase):
    def test_minute(self) -> None:
        """The page waits, and plays on by itself."""
        self.play(outage=60)

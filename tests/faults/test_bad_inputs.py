"""The bad inputs that other servers are given, too (`tests.faults.compare`), on ours in memory."""

from tests.faults.bad_inputs import INPUTS, all_inputs
from tests.faults.case import FaultCase


class BadInputTests(FaultCase):
    def test_all(self) -> None:
        """Each is refused, closed or tolerated; the live stream beside it does not notice."""
        for number, (name, octets) in enumerate(all_inputs()):
            with self.subTest(name):
                peer = self.peer(f"198.51.100.{number}")
                peer.send(octets)
                self.advance(0.2)
                self.assertNotIn("internal", self.factory.errors)
                if not peer.is_closed:
                    peer.lose()
        self.assertGreater(sum(self.factory.errors.values()), len(INPUTS) // 2)

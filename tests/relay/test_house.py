"""Relays in the house: what the settings say becomes relays, or one clear line."""

from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp import config
from rapidrtmp.config import SettingError
from rapidrtmp.house import House
from tests.test_readiness import make_service


class HouseTests(SynchronousTestCase):
    def house(self, **environ: str) -> House:
        """Make a house."""
        settings = config.load(environ)
        names = ("relay_push", "relay_pull", "relay_pull_on_demand", "relay_ca_file")
        changes = {name: getattr(settings, name) for name in names}
        return make_service(self.mktemp(), **changes)[0]._house

    def test_static(self) -> None:
        """Each setting is one relay, that the API may not remove."""
        house = self.house(
            RELAY_PUSH="a=rtmp://h.example/x/k b=rtmp://h.example/x/k",
            RELAY_PULL="a=rtmp://h.example/x/k2",
        )
        self.successResultOf(house.load_relays())
        self.assertFalse(any(relay.demand for relay in house.relays.relays()))
        found = [(relay.key, relay.direction, relay.is_static) for relay in house.relays.relays()]
        self.assertEqual(found, [("a", "push", True), ("b", "push", True), ("a", "pull", True)])

    def test_on_demand(self) -> None:
        """A pull on demand is one; how long it lingers is reloaded."""
        house = self.house(RELAY_PULL_ON_DEMAND="a=rtmp://h.example/x/k")
        self.successResultOf(house.load_relays())
        [relay] = house.relays.relays()
        self.assertEqual((relay.direction, relay.is_static), ("pull", True))
        self.assertIsNotNone(relay.demand)
        house.apply(replace(house.settings, relay_on_demand_linger=3.0))
        self.assertEqual(house.relays.linger, 3.0)

    def test_twice(self) -> None:
        """One target in two spellings is refused, and not quoted."""
        house = self.house(RELAY_PUSH="a=rtmp://h/x/secret-key a=rtmp://h:1935/x/secret-key")
        with self.assertRaises(SettingError) as caught:
            house.load_relays()
        self.assertIn("RELAY_PUSH=<set>", str(caught.exception))

    def test_authorities(self) -> None:
        """A file that holds no certificate ends the start."""
        path = Path(self.mktemp())
        path.write_text("nothing")
        for file in (str(path), "/nonexistent"):
            with self.assertRaises(SettingError) as caught:
                self.house(RELAY_CA_FILE=file)
            self.assertIn("RELAY_CA_FILE", str(caught.exception))

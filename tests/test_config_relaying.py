"""The settings of relays: read, refused, hidden."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp import config
from rapidrtmp.config import SettingError
from rapidrtmp.config.reference import environment
from rapidrtmp.config.relaying import RelaySetting

TEXT = "a=rtmp://h.example/app/secret-key-1?auth=x=y\n  a=rtmps://i.example:444/app/secret-key-2 b=rtmp://h.example/x/k"


class RelayingTests(SynchronousTestCase):
    def test_read(self) -> None:
        """Targets are separated by white space; a key may have several."""
        settings = config.load({"RELAY_PUSH": TEXT})
        self.assertEqual(
            settings.relay_push,
            (
                RelaySetting("a", "rtmp://h.example/app/secret-key-1?auth=x=y"),
                RelaySetting("a", "rtmps://i.example:444/app/secret-key-2"),
                RelaySetting("b", "rtmp://h.example/x/k"),
            ),
        )
        self.assertEqual(settings.relay_pull, ())

    def test_file(self) -> None:
        """A file of secrets has a target in each line."""
        path = Path(self.mktemp())
        path.write_text(TEXT + "\n")
        self.assertEqual(len(config.load({"RELAY_PUSH_FILE": str(path)}).relay_push), 3)

    def test_refused(self) -> None:
        """What is no relay is refused without being quoted."""
        for name, text in (
            ("RELAY_PUSH", "rtmp://h.example/app/secret-key-1"),
            ("RELAY_PUSH", "a=http://h.example/app/secret-key-1"),
            ("RELAY_PUSH", "a=rtmp://user:secret-key-1@h.example/app/k"),
            ("RELAY_PUSH", "a b=rtmp://h.example/app/secret-key-1"),
            ("RELAY_PUSH", "a=rtmp://h/x/secret-key-1 a=rtmp://h/x/secret-key-1"),
            ("RELAY_PULL", "a=rtmp://h/x/secret-key-1 a=rtmp://h/x/secret-key-2"),
        ):
            with self.subTest(text), self.assertRaises(SettingError) as caught:
                config.load({name: text})
            self.assertNotIn("secret-key", str(caught.exception))
            self.assertIn(name, str(caught.exception))

    def test_on_demand(self) -> None:
        """Pulls on demand stand in a setting of their own; a key in both is refused."""
        settings = config.load({"RELAY_PULL_ON_DEMAND": "a=rtmp://h/x/secret-key-1"})
        self.assertEqual(
            settings.relay_pull_on_demand, (RelaySetting("a", "rtmp://h/x/secret-key-1"),)
        )
        self.assertIn("secret-key-1", config.secrets(settings))
        with self.assertRaises(SettingError) as caught:
            config.load(
                {"RELAY_PULL": "a=rtmp://h/x/k", "RELAY_PULL_ON_DEMAND": "a=rtmp://h/x/secret-key"}
            )
        self.assertIn("RELAY_PULL_ON_DEMAND=<set>: must name no key", str(caught.exception))
        self.assertNotIn("secret-key", str(caught.exception))

    def test_hidden(self) -> None:
        """No place shows a target; what could be repeated by others is a known secret."""
        settings = config.load({"RELAY_PUSH": TEXT, "RELAY_PULL": "c=rtmp://h/x/secret-key-3"})
        self.assertNotIn("secret-key", environment(settings) + repr(settings))
        self.assertIn("RELAY_PUSH=<set>\n", environment(settings))
        known = config.secrets(settings)
        self.assertIn("secret-key-2", known)
        self.assertIn("secret-key-3", known)
        self.assertNotIn("k", known)

"""Tests of rapidrtmp.auth.api_keys."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.auth.api_keys import APIKeys, fingerprint
from rapidrtmp.config.secret_kinds import APIKey

LONG = "a-key-of-sixteen-or-more"
OTHER = "b-key-of-sixteen-or-more"
BOTH = (APIKey(LONG, frozenset({"read"})), APIKey(OTHER, frozenset({"admin", "publish"})))


class APIKeysTests(SynchronousTestCase):
    def test_find(self) -> None:
        """A key has its scopes; anything else has none."""
        keys = APIKeys(BOTH)
        self.assertEqual(keys.find(LONG), {"read"})
        self.assertEqual(keys.find(OTHER), {"admin", "publish"})
        for wrong in ("", LONG[:-1], LONG + "x", LONG.upper(), f" {LONG}", "\udc80", "ä", "\0"):
            self.assertIsNone(keys.find(wrong), wrong)

    def test_none(self) -> None:
        """Without keys nothing is one."""
        keys = APIKeys()
        self.assertFalse(keys)
        self.assertIsNone(keys.find(""))
        self.assertTrue(APIKeys(BOTH))

    def test_replace(self) -> None:
        """Other keys are in force at once, and the former ones no more."""
        keys = APIKeys(BOTH[:1])
        keys.replace(BOTH[1:])
        self.assertIsNone(keys.find(LONG))
        self.assertEqual(keys.find(OTHER), {"admin", "publish"})

    def test_twice(self) -> None:
        """A key that is given twice has the scopes of both."""
        keys = APIKeys([*BOTH, APIKey(LONG, frozenset({"publish"}))])
        self.assertEqual(keys.find(LONG), {"read", "publish"})

    def test_hashes_only(self) -> None:
        """The keys themselves are not kept."""
        self.assertNotIn(LONG, str(vars(APIKeys(BOTH))))

    def test_fingerprint(self) -> None:
        """A fingerprint names a key in logs, and tells nothing of it."""
        self.assertRegex(fingerprint(LONG), "^[0-9a-f]{8}$")
        self.assertNotEqual(fingerprint(LONG), fingerprint(OTHER))
        self.assertEqual(fingerprint(LONG), fingerprint(LONG))

    @given(st.text())
    @settings(max_examples=50, deadline=None)
    def test_any_text(self, text: str) -> None:
        """Any text may be claimed to be a key."""
        self.assertIsNone(APIKeys(BOTH).find(text))

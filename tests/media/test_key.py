"""Tests of `rapidrtmp.media.key`."""

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.media.key import is_stream_key


class StreamKeyTests(SynchronousTestCase):
    def test_keys(self) -> None:
        """Letters, digits, `_` and `-`, 1 to 128 of them."""
        for key in ("a", "A-b_9", "-", "_", "0", "CON", "a" * 128):
            self.assertTrue(is_stream_key(key), key)

    def test_others(self) -> None:
        """Nothing else, however close."""
        for key in ("", "a" * 129, "a.b", ".", "..", "a/b", "a b", "a\n", "\na", "é", "٣", "a\x00"):
            self.assertFalse(is_stream_key(key), repr(key))

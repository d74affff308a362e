"""Tests of strings that a peer sent."""

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.amf.values import UNDEFINED, Value
from rapidrtmp.rtmp.text import printable, text_of


class TextTests(SynchronousTestCase):
    def test_text_of(self) -> None:
        """Whatever is no string counts as an empty one."""
        others: list[Value] = [None, 1.0, True, {}, [], UNDEFINED]
        self.assertEqual([text_of(value) for value in others], [""] * 6)
        self.assertEqual(text_of("x"), "x")

    def test_printable(self) -> None:
        """What could break a log line is replaced, and what is too long is cut."""
        self.assertEqual(printable("a\r\n\x00\u202eb\u00e9", 6), "a\ufffd\ufffd\ufffd\ufffdb")
        self.assertEqual(printable("", 5), "")

"""Tests of FLV as a file."""

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.flv import file


class WireTests(SynchronousTestCase):
    def test_header(self) -> None:
        """The header says what there is; the first back pointer is 0."""
        for has_audio, has_video, flags in ((True, True, 5), (True, False, 4), (False, True, 1)):
            self.assertEqual(
                file.header(has_audio, has_video),
                b"FLV\x01" + bytes((flags,)) + b"\x00\x00\x00\x09\x00\x00\x00\x00",
            )

    def test_tag(self) -> None:
        """A tag's timestamp has its upper bits last; its size stands behind it."""
        payload = memoryview(b"payload")
        pieces = file.tag(9, 0x04010203, (b"head", payload))
        self.assertEqual(
            b"".join(pieces),
            b"\x09\x00\x00\x0b\x01\x02\x03\x04\x00\x00\x00headpayload\x00\x00\x00\x16",
        )
        self.assertIs(pieces[2], payload)

    def test_too_long(self) -> None:
        """A tag has a 24-bit size."""
        self.assertRaises(OverflowError, file.tag, 9, 0, (bytes(1 << 24),))

"""Tests of rapidrtmp.address."""

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.address import plain_address

CASES = {
    "192.0.2.1": "192.0.2.1",
    "::ffff:192.0.2.1": "192.0.2.1",
    "::1": "::1",
    "2001:db8::1": "2001:db8::1",
    "::ffff:1:2": "::ffff:1:2",
    "": "",
    "local": "local",
}


class PlainAddressTests(SynchronousTestCase):
    def test_cases(self) -> None:
        """Only IPv4-mapped addresses are changed."""
        for address, plain in CASES.items():
            with self.subTest(address=address):
                self.assertEqual(plain_address(address), plain)

"""Whose X-Forwarded-For and Forwarded headers are believed, and how far."""

from ipaddress import ip_network

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from rapidrtmp.web.forwarded import client_address, is_trusted

TRUSTED = tuple(map(ip_network, ("10.0.0.0/8", "192.0.2.10/32", "2001:db8:ffff::/48")))
PROXY = "10.0.0.1"


def behind(forwarded_for: str | None = None, forwarded: str | None = None) -> str:
    """Return whom a trusted proxy's headers name."""
    headers = Headers()
    if forwarded_for is not None:
        headers.setRawHeaders("X-Forwarded-For", [forwarded_for])
    if forwarded is not None:
        headers.setRawHeaders("Forwarded", [forwarded])
    return client_address(PROXY, headers, TRUSTED)


class ForwardedTests(SynchronousTestCase):
    def test_forwarded_for(self) -> None:
        """The rightmost address that is no trusted proxy's is the client's."""
        for value, client in [
            ("198.51.100.7", "198.51.100.7"),
            ("198.51.100.7, 10.1.2.3, 192.0.2.10", "198.51.100.7"),
            ("1.1.1.1, 198.51.100.7, 10.1.2.3", "198.51.100.7"),  # the client's own words
            ("nonsense, 198.51.100.7", "198.51.100.7"),
            ("10.3.3.3, 10.2.2.2", "10.3.3.3"),  # all of them are ours
            ("198.51.100.7:4711", "198.51.100.7"),
            ("2001:db8::5", "2001:db8::5"),
            ("2001:DB8:0::5", "2001:db8::5"),
            ("[2001:db8::5]:4711, 2001:db8:ffff::1", "2001:db8::5"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("::ffff:10.1.1.1", "10.1.1.1"),
        ]:
            self.assertEqual(behind(value), client, value)

    def test_malformed(self) -> None:
        """What cannot be read leaves the proxy's own address."""
        for value in [
            "",
            ",",
            "unknown",
            "198.51.100.7,",
            "198.51.100.7, nonsense",
            "198.51.100.7, nonsense, 10.0.0.9",
            "198.51.100",
            "198.51.100.300",
            "198.51.100.7:x",
            "[2001:db8::5",
            "fe80::1%eth0",
            "1.1.1.1 198.51.100.7",
        ]:
            self.assertEqual(behind(value), PROXY, value)
        self.assertEqual(behind(), PROXY)

    def test_other_headers(self) -> None:
        """Only X-Forwarded-For counts: what else a client sent may have been passed on."""
        self.assertEqual(behind("198.51.100.7", "for=1.1.1.1"), "198.51.100.7")
        self.assertEqual(behind(None, "for=1.1.1.1"), PROXY)

    def test_several_lines(self) -> None:
        """A header on several lines is one list (RFC 9110 section 5.3)."""
        headers = Headers({"X-Forwarded-For": ["1.1.1.1, 198.51.100.7", "10.0.0.9"]})
        self.assertEqual(client_address(PROXY, headers, TRUSTED), "198.51.100.7")

    def test_trusted(self) -> None:
        """An address is trusted inside the networks alone."""
        for address, answer in [
            ("10.255.0.1", True),
            ("192.0.2.10", True),
            ("192.0.2.11", False),
            ("2001:db8:ffff::9", True),
            ("2001:db8::9", False),
            ("", False),
            ("example.com", False),
        ]:
            self.assertIs(is_trusted(address, TRUSTED), answer, address)

    @given(st.text(max_size=100), st.text(max_size=100))
    @settings(max_examples=60, deadline=None)
    def test_spoofing(self, sent: str, also_sent: str) -> None:
        """Whatever a client sends, the address that the proxy appended counts."""
        sent = sent.encode("latin-1", "replace").decode("latin-1").replace("\n", " ")
        self.assertEqual(behind(f"{sent},198.51.100.7"), "198.51.100.7")
        found = behind(f"{sent},198.51.100.7", also_sent.encode("ascii", "ignore").decode())
        self.assertIn(found, ("198.51.100.7", PROXY))

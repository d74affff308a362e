"""Who may use the management API."""

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.web.access import refusal

Headers = list[tuple[bytes, list[bytes]]]


def headers(**named: str) -> Headers:
    """Make headers; '_' stands for '-'."""
    return [(n.replace("_", "-").encode(), [v.encode("latin-1")]) for n, v in named.items()]


class RefusalTests(SynchronousTestCase):
    def test_allowed(self) -> None:
        """This machine, by any of its own names."""
        for client, local, given in [
            ("127.0.0.1", "127.0.0.1", headers(Host="localhost:8080")),
            ("127.8.9.1", "127.0.0.1", headers(Host="LocalHost")),
            ("::1", "::1", headers(Host="[::1]:8080")),
            ("::ffff:127.0.0.1", "::ffff:127.0.0.1", headers(Host="127.0.0.1:8080")),
            ("127.0.0.1", "127.0.0.2", headers(Host="127.0.0.2:8080")),
            ("::ffff:127.0.0.1", "::ffff:127.0.0.2", headers(Host="127.0.0.2")),
            ("127.0.0.1", "", headers(Host="127.0.0.1")),
            (
                "127.0.0.1",
                "127.0.0.1",
                headers(Host="localhost:8080", Origin="http://localhost:8080"),
            ),
            ("127.0.0.1", "127.0.0.1", headers(Host="localhost", Origin="HTTPS://LOCALHOST")),
        ]:
            self.assertIsNone(refusal(client, local, given), (client, given))

    def test_other_machine(self) -> None:
        """Another machine is told where to call from."""
        for client in ("192.0.2.1", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.1", "fe80::1%eth0"):
            words = refusal(client, "192.0.2.2", headers(Host="localhost"))
            self.assertIn(f"not from {client}", words or "")
        for client in ("", "/run/socket", "127.0.0.1.evil.example"):
            self.assertIsNotNone(refusal(client, "", headers(Host="localhost")))

    def test_proxy(self) -> None:
        """A proxy on this machine does not make its clients local (B28)."""
        for name in (
            "Forwarded",
            "X_Forwarded_For",
            "X_FORWARDED_PROTO",
            "x-forwarded-anything",
            "Via",
            "X_Real_IP",
        ):
            words = refusal(
                "127.0.0.1", "127.0.0.1", headers(Host="localhost", **{name: "127.0.0.1"})
            )
            self.assertIn("proxy", words or "", name)

    def test_host(self) -> None:
        """A name that only happens to lead here is refused (DNS rebinding)."""
        for host in (
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "localhost@evil.example",
            "evil.example#localhost",
            "localhost/evil",
            "localhost:port",
            "localhost:99999999",
            "[::1",
            "::1",
            "0.0.0.0",
            "192.0.2.9",
            "<script>",
            "",
            " ",
        ):
            words = refusal("127.0.0.1", "127.0.0.1", headers(Host=host))
            self.assertIn("Host", words or "", host)
        for given in ([], [(b"Host", [b"localhost", b"localhost"])]):
            self.assertIn("Host", refusal("127.0.0.1", "127.0.0.1", given) or "")

    def test_origin(self) -> None:
        """A page of another origin is refused (CSRF)."""
        for origin in (
            "https://evil.example",
            "null",
            "",
            "http://localhost",
            "http://localhost:8081",
            "http://127.0.0.1:8080",
            "file://localhost:8080",
            "http://localhost:8080/",
            "http://localhost:8080.evil.example",
        ):
            words = refusal("127.0.0.1", "127.0.0.1", headers(Host="localhost:8080", Origin=origin))
            self.assertIn("origin", words or "", origin)

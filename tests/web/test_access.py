"""Who may use the management API."""

from types import SimpleNamespace

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers as HTTPHeaders

from rapidrtmp.auth.api_keys import APIKeys
from rapidrtmp.rate_limit import RateLimit
from rapidrtmp.web.access import Access, refusal
from tests.web.api_case import ADMIN, KEYS, PUBLISH, READ

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

    def test_fetch_site(self) -> None:
        """So is one that sends no Origin, as for a picture, or that was led here by a link."""
        for site in ("same-origin", "none", "Same-Origin"):
            given = headers(Host="localhost:8080", Sec_Fetch_Site=site)
            self.assertIsNone(refusal("127.0.0.1", "127.0.0.1", given), site)
        for site in ("cross-site", "same-site", "", "anything"):
            given = headers(Host="localhost:8080", Sec_Fetch_Site=site)
            self.assertIn("origin", refusal("127.0.0.1", "127.0.0.1", given) or "", site)
        given = [*headers(Host="localhost"), (b"Sec-Fetch-Site", [b"none", b"none"])]
        self.assertIn("origin", refusal("127.0.0.1", "127.0.0.1", given) or "")


class FakeRequest:
    """A request, as far as the guard looks at it."""

    clientproto = b"HTTP/1.1"
    host = b"localhost"

    def __init__(self, *authorization: str, query: str = "", address: str = "192.0.2.1") -> None:
        values = [value.encode("latin-1") for value in authorization]
        self.requestHeaders = HTTPHeaders({b"Authorization": values} if values else {})
        self.requestHeaders.addRawHeader(b"Host", self.host)
        self.channel = SimpleNamespace(trusted=())
        self.args = {query.encode(): [b"x"]} if query else {}
        self.address = address
        self.local_address = "192.0.2.2"


class KeyTests(SynchronousTestCase):
    """With API keys."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.keys = APIKeys(KEYS)
        self.counted: list[tuple[str, str]] = []
        self.access = Access(
            self.keys,
            RateLimit(self.clock, 10, 60.0),
            lambda action, reason: self.counted.append((action, reason)),
        )

    def code(self, request: FakeRequest, *scopes: str) -> int:
        """Return the code of a refusal; 200 for none."""
        refused = self.access.guard(request, *scopes)  # type: ignore[arg-type]  # a stand-in
        return 200 if refused is None else refused.code

    def test_counted(self) -> None:
        """Each refusal is counted by its reason."""
        self.code(FakeRequest())
        self.code(FakeRequest(f"Bearer {READ}"), "admin")
        self.code(FakeRequest(f"Bearer {READ}"), "read")
        for _ in range(11):
            self.code(FakeRequest("Bearer nonsense"))
        self.keys.replace(())
        self.code(FakeRequest())
        reasons = ["no_key", "scope", *["wrong_key"] * 10, "rate", "not_local"]
        self.assertEqual(self.counted, [("api", reason) for reason in reasons])

    def test_proxies_without_keys(self) -> None:
        """A proxy on this machine is not this machine's user, whatever headers it adds."""
        self.keys.replace(())
        local = FakeRequest(address="127.0.0.1")
        self.assertEqual(self.code(local), 200)
        old = FakeRequest(address="127.0.0.1")
        old.clientproto = b"HTTP/1.0"  # as nginx asks its servers
        self.assertEqual(self.code(old), 403)
        named = FakeRequest(address="127.0.0.1")
        named.channel.trusted = ("127.0.0.1/32",)
        self.assertEqual(self.code(named), 403)

    def test_scopes(self) -> None:
        """A key opens what one of its scopes opens; admin opens all."""
        for key, scopes, code in [
            (ADMIN, ("read",), 200),
            (ADMIN, ("admin",), 200),
            (READ, ("read",), 200),
            (READ, ("publish", "read"), 200),
            (READ, (), 200),
            (READ, ("publish",), 403),
            (READ, ("admin",), 403),
            (PUBLISH, ("read",), 403),
            (PUBLISH, ("publish",), 200),
        ]:
            self.assertEqual(self.code(FakeRequest(f"Bearer {key}"), *scopes), code, (key, scopes))

    def test_missing_scope(self) -> None:
        """The missing scope is named, to people and to programs (RFC 6750 section 3.1)."""
        request = FakeRequest(f"Bearer {READ}")
        refused = self.access.guard(request, "publish", "admin")  # type: ignore[arg-type]
        assert refused is not None
        self.assertEqual(
            refused.description, "this API key does not have the scope publish or admin"
        )
        challenge = refused.headers[b"WWW-Authenticate"]
        self.assertIn(b'error="insufficient_scope", scope="publish admin"', challenge)

    def test_forms(self) -> None:
        """The scheme may be written anyhow; nothing else is taken for a key (B25)."""
        for value in (f"Bearer {READ}", f"bearer {READ}", f"BEARER   {READ} "):
            self.assertEqual(self.code(FakeRequest(value), "read"), 200, value)
        for values in (
            (),
            ("",),
            ("Bearer",),
            ("Bearer ",),
            (READ,),
            (f"Basic {READ}",),
            (f"Bearer {READ}x",),
            (f"Bearer {READ} x",),
            (f"Bearer {READ}", f"Bearer {READ}"),
            ("Bearer \xff\xfe",),
        ):
            self.assertEqual(self.code(FakeRequest(*values), "read"), 401, values)

    def test_challenge(self) -> None:
        """A refusal says what is wanted, and whether there was a key."""
        for request, challenge in [
            (FakeRequest(), b'Bearer realm="RapidRTMP"'),
            (FakeRequest("Bearer x"), b'Bearer realm="RapidRTMP", error="invalid_token"'),
        ]:
            refused = self.access.guard(request)  # type: ignore[arg-type]  # a stand-in
            assert refused is not None
            self.assertEqual(refused.headers, {b"WWW-Authenticate": challenge})

    def test_in_address(self) -> None:
        """A key in the address is never taken, and its sender is told where it belongs."""
        for name in ("key", "api_key", "apiKey", "access_token"):
            refused = self.access.guard(FakeRequest(query=name))  # type: ignore[arg-type]
            assert refused is not None
            self.assertEqual(refused.code, 401)
            self.assertIn("not taken from the address", refused.description)

    def test_guesses(self) -> None:
        """Who tries keys is told to wait; right keys and other addresses are not held up."""
        wrong = FakeRequest("Bearer wrong")
        self.assertEqual([self.code(wrong) for _ in range(12)], [401] * 10 + [429] * 2)
        refused = self.access.guard(wrong)  # type: ignore[arg-type]  # a stand-in
        assert refused is not None
        self.assertEqual(refused.headers, {b"Retry-After": b"61"})
        self.assertEqual(self.code(FakeRequest(f"Bearer {READ}")), 200)
        self.assertEqual(self.code(FakeRequest()), 401)
        self.assertEqual(self.code(FakeRequest("Bearer wrong", address="192.0.2.9")), 401)
        self.clock.advance(60)
        self.assertEqual(self.code(wrong), 401)

    def test_reload(self) -> None:
        """Keys can be replaced; with the last one gone only this machine gets in."""
        self.keys.replace(KEYS[:1])
        self.assertEqual(self.code(FakeRequest(f"Bearer {READ}")), 401)
        self.keys.replace([])
        self.assertEqual(self.code(FakeRequest(f"Bearer {ADMIN}")), 403)

    def test_caller(self) -> None:
        """The log names address and key, but not by its value."""
        caller = self.access.caller(FakeRequest(f"Bearer {READ}"))  # type: ignore[arg-type]
        self.assertRegex(caller, r"\A192.0.2.1 with key [0-9a-f]{8}\Z")
        self.keys.replace([])
        caller = self.access.caller(FakeRequest(address=""))  # type: ignore[arg-type]
        self.assertEqual(caller, "somebody")

"""Tests of rapidrtmp.auth.playback."""

import hashlib
import hmac
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp.auth.playback import PlaybackAuthenticator, PlaybackSigner
from rapidrtmp.interfaces import AccessDenied, AccessRequest, Grant, IAuthenticator, Refusal

NOW = 1_790_000_000
SECRET = b"a secret of the tests"
OLD = b"a former secret of the tests"


class SignerTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a signer."""
        self.clock = Clock()
        self.clock.advance(NOW)
        self.signer = PlaybackSigner([SECRET, OLD], self.clock)

    def test_signature(self) -> None:
        """It is the HMAC-SHA256 that the documentation promises, by the first secret."""
        message = b"rapidrtmp-playback-v1\nshow\n1790000060"
        expected = hmac.new(SECRET, message, hashlib.sha256).hexdigest()
        self.assertEqual(self.signer.sign("show", NOW + 60), expected)
        query = f"expires=1790000060&signature={expected}"
        self.assertEqual(self.signer.query("show", NOW + 60), query)

    def test_verify(self) -> None:
        """It is good for its key until its expiry, in exactly its own form."""
        expires = str(NOW + 60)
        good = self.signer.sign("show", NOW + 60)
        self.assertTrue(self.signer.verify("show", expires, good))
        cases = [
            ("other", expires, good),
            ("show", str(NOW + 61), good),
            ("show", f"0{expires}", good),
            ("show", f"+{expires}", good),
            ("show", f" {expires}", good),
            ("show", "", good),
            ("show", "x", good),
            ("show", "9" * 5000, good),
            ("show", "\N{ARABIC-INDIC DIGIT ONE}", good),
            ("show", expires, ""),
            ("show", expires, good[:-1]),
            ("show", expires, good + "0"),
            ("show", expires, good.upper()),
            ("show", expires, "\N{SNOWMAN}" * 64),
            ("show", expires, "\udc80"),
            ("show\n" + expires, "", good),
        ]
        for key, until, signature in cases:
            self.assertFalse(self.signer.verify(key, until, signature), (key, until, signature))

    def test_expiry(self) -> None:
        """The second of the expiry is the first one refused."""
        good = self.signer.sign("show", NOW + 60)
        self.clock.advance(59.9)
        self.assertTrue(self.signer.verify("show", str(NOW + 60), good))
        self.clock.advance(0.1)
        self.assertFalse(self.signer.verify("show", str(NOW + 60), good))

    def test_rotation(self) -> None:
        """All secrets verify, the first signs; replaced ones are void at once."""
        old = PlaybackSigner([OLD], self.clock).sign("show", NOW + 60)
        self.assertTrue(self.signer.verify("show", str(NOW + 60), old))
        self.assertNotEqual(self.signer.sign("show", NOW + 60), old)
        self.signer.replace([SECRET])
        self.assertFalse(self.signer.verify("show", str(NOW + 60), old))
        for secrets in ([], [b""], [SECRET, b""]):
            self.assertRaises(ValueError, self.signer.replace, secrets)
            self.assertRaises(ValueError, PlaybackSigner, secrets, self.clock)

    @given(st.text(), st.text(), st.text())
    @settings(max_examples=50, deadline=None)
    def test_garbage(self, key: str, expires: str, signature: str) -> None:
        """No text raises, and none is a signature by accident."""
        self.assertFalse(self.signer.verify(key, expires, signature))


class AuthenticatorTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make an authenticator."""
        self.clock = Clock()
        self.clock.advance(NOW)
        self.signer = PlaybackSigner([SECRET], self.clock)
        self.authenticator = PlaybackAuthenticator(self.signer)

    def request(self, key: str, action: str = "play", **credentials: str) -> AccessRequest:
        """Make a viewer's request."""
        return AccessRequest(action, key, "live", "192.0.2.1", "0" * 16, credentials)

    def test_interface(self) -> None:
        """It provides IAuthenticator."""
        self.assertTrue(verifyObject(IAuthenticator, self.authenticator))

    def test_allowed(self) -> None:
        """The parameters of a signed URL open its stream."""
        query = parse_qs(self.signer.query("show", NOW + 60))
        credentials = {name: values[0] for name, values in query.items()}
        request = self.request("show", **credentials, user="somebody")
        self.assertEqual(self.successResultOf(self.authenticator.authorize(request)), Grant(""))
        self.assertIsNone(self.authenticator.denial("show", credentials))
        self.authenticator.in_use("show", "", None)

    def test_denied(self) -> None:
        """Without a signature a URL is asked for; with a bad one nothing is told about why."""
        good = {"expires": str(NOW + 60), "signature": self.signer.sign("show", NOW + 60)}
        late = {"expires": str(NOW), "signature": self.signer.sign("show", NOW)}
        needed, wrong = "this stream needs a signed URL", "wrong or expired playback URL"
        cases = [
            (self.request("show"), needed),
            (self.request("show", token="ab"), needed),
            (self.request("show", expires=good["expires"]), wrong),
            (self.request("show", signature=good["signature"]), wrong),
            (self.request("show", **late), wrong),
            (self.request("other", **good), wrong),
            (self.request("show", "publish", **good), "a playback URL is not for publishing"),
        ]
        for request, words in cases:
            failure = self.failureResultOf(self.authenticator.authorize(request), AccessDenied)
            self.assertEqual(failure.value.refusal, Refusal.DENIED)
            self.assertEqual(failure.value.description, words)


class DocumentationTests(SynchronousTestCase):
    def test_snippet(self) -> None:
        """What the documentation has one sign with makes a good signature."""
        page = Path(__file__).parents[2] / "docs" / "topics" / "viewers.md"
        (snippet,) = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
        names: dict[str, Any] = {}
        exec(compile(snippet, str(page), "exec"), names)
        query = parse_qs(names["playback_query"]("secret-of-tests", "show", 60))
        clock = Clock()
        clock.advance(time.time())
        signer = PlaybackSigner([b"secret-of-tests"], clock)
        self.assertTrue(signer.verify("show", query["expires"][0], query["signature"][0]))
        clock.advance(62)
        self.assertFalse(signer.verify("show", query["expires"][0], query["signature"][0]))

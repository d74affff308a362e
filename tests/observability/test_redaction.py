"""Tests for `rapidrtmp.observability.redaction`."""

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.observability.redaction import redact

SECRET = "S3cret~value.with-16_"
HEX = "0123456789abcdef" * 4

HIDDEN = [
    f"rtmp://host/live/key?token={SECRET}&x=1",
    f"key?x=1&token={SECRET}",
    f"Token={SECRET}",
    f"access_token={SECRET}, and more",
    f"http://h/%3Ftoken%3D{SECRET}",
    f"pass={SECRET} user=x",
    f"password={SECRET}",
    f"PLAYBACK_SECRET={SECRET}",
    f"x?expires=1&signature={SECRET}",
    f"X-Goog-Signature={SECRET}&X-Goog-Credential={SECRET}",
    f"?api_key={SECRET}",
    f"?apikey={SECRET}",
    f"/index?key={SECRET}",
    f"&sig={SECRET}",
    f"Authorization: Bearer {SECRET}",
    f"authorization: Basic {SECRET}",
    f"{{b'authorization': [b'Bearer {SECRET}']}}",
    f"the key was Bearer {SECRET}.",
    f"{{'token': '{SECRET}', 'user': 'x'}}",
    f'{{"token": "{SECRET}"}}',
    f"(b'token', b'{SECRET}')",
    f"postgres://user:{SECRET}@host/db",
    f"/live/key/1a2b.0011223344556677.1790000000.{SECRET.replace('.', '').replace('~', '')}/v.m3u8",
]

KEPT = [
    "stream token-less: live",
    "rtmp://localhost:1935/live",
    "http://[::1]:8080/?x=y@z",
    "stream demo: 1280x720, key frames every 2 s",
    "a token is needed",
    "tcp:8443:privateKey=/etc/key.pem",
    "/live/demo/1a2b3c4d/video1/12345.m4s",
    "HTTP listening on 127.0.0.1:8080",
    "0123456789abcdef",
    "bearer of bad news",
]


class RedactTests(SynchronousTestCase):
    """Text without secrets."""

    def test_hidden(self) -> None:
        """Tokens, passwords, keys and signatures are taken out, wherever they stand."""
        for text in HIDDEN:
            shown = redact(text)
            self.assertNotIn(SECRET, shown)
            self.assertNotIn("S3cret", shown)
            self.assertIn("***", shown)

    def test_tokens_as_such(self) -> None:
        """What has the form of a publish token is taken out without any name."""
        for text in (HEX, f"x {HEX}.", f"[{HEX.upper()}]", f"_{HEX}_"):
            self.assertNotIn(HEX[:16], redact(text).lower())
        self.assertEqual(redact(HEX + "0"), HEX + "0")

    def test_neighbours_stay(self) -> None:
        """Only the value goes."""
        self.assertEqual(redact(f"key?token={HEX}&x=1 (OBS)"), "key?token=***&x=1 (OBS)")
        self.assertEqual(redact("rtmp://me:word@host/live"), "rtmp://me:***@host/live")

    def test_kept(self) -> None:
        """What only looks a little like it stays readable."""
        for text in KEPT:
            self.assertEqual(redact(text), text)

    @given(st.text(max_size=60), st.sampled_from(["token=", "?pass=", "&signature=", "Password="]))
    @settings(max_examples=100, deadline=None)
    def test_any_surroundings(self, text: str, name: str) -> None:
        """Whatever stands before it, the value of such a name does not stay."""
        self.assertNotIn(SECRET, redact(f"{text}{name}{SECRET}"))

    @given(st.text(max_size=200))
    @settings(max_examples=100, deadline=None)
    def test_twice(self, text: str) -> None:
        """What was redacted stays as it is."""
        self.assertEqual(redact(redact(text)), redact(text))

    def test_hostile_text(self) -> None:
        """No text makes it slow: its time does not grow with the square of the length."""
        for part in ("token", "-a", "://", "://a:", "token'", "token':'", "a.", ".123456789",
                     "bearer ", "authorization ", "f", "pass%3", "&key="):  # fmt: skip
            begun = time.process_time()
            redact(part * (200_000 // len(part)))
            self.assertLess(time.process_time() - begun, 2.0, part)

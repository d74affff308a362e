"""Tests of rapidrtmp.rtmp.authmod."""

import re
from base64 import b64encode
from hashlib import md5

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.rtmp import authmod
from rapidrtmp.rtmp.authmod import (
    LIFETIME,
    MAX_ANSWER_LENGTH,
    MAX_USED,
    MAX_USER_LENGTH,
    Challenges,
    SignIn,
    challenge_text,
    is_user,
    split,
)

NOW = 1_800_000_000.25
# encoders keep 300 bytes of the text, one of them the NUL at its end
FFMPEG_BUFFER = 300


def hashed(text: str) -> str:
    """base64(md5(text))."""
    return b64encode(md5(text.encode()).digest()).decode()


class SplitTests(SynchronousTestCase):
    def test_split(self) -> None:
        """What belongs to signing in is taken out, wherever it stands; the rest stays."""
        for text, rest, sign_in in (
            ("app", "app", None),
            ("app?token=t", "app?token=t", None),
            ("app?user=u&pass=t", "app?user=u&pass=t", None),
            ("authmod=adobe", "authmod=adobe", None),
            ("app?xauthmod=adobe", "app?xauthmod=adobe", None),
            ("app?authmod=adobe&user=u", "app?", SignIn("adobe", "u")),
            ("app?user=u&authmod=llnw", "app?", SignIn("llnw", "u")),
            ("app?authmod=adobe", "app?", SignIn("adobe")),
            ("app?authmod=", "app?", SignIn("")),
            # librtmp appends in two goes, whatever stands there
            (
                "app?a=1?authmod=adobe&user=u&challenge=c==&response=r/+==&opaque=o",
                "app?a=1",
                SignIn("adobe", "u", "c==", "r/+==", "o"),
            ),
            (
                "app?authmod=adobe&user=u&challenge=c&response=r%2B%3D&opaque=o&token=t",
                "app?token=t",
                SignIn("adobe", "u", "c", "r+=", "o"),
            ),
            # librtmp with GnuTLS does not know where its texts end
            (
                "app?authmod=adobe&user=u&challenge=c==\x8f=&\ufffd&response=r==?\x01&opaque=o",
                "app?\ufffd&\x01",
                SignIn("adobe", "u", "c==", "r==", "o"),
            ),
            # the user is hashed as it is sent, so it must not be decoded
            ('app?authmod=adobe&user=a%20b" \r\n', "app?", SignIn("adobe", "a%20b")),
            ("app?authmod=adobe&user=a&user=b", "app?", SignIn("adobe", "a")),
            ("rtmp://h/a?authmod=adobe&user=u", "rtmp://h/a?", SignIn("adobe", "u")),
        ):
            with self.subTest(text=text):
                self.assertEqual(split(text), (rest, sign_in))

    @given(st.text("a=?&%u\udc80 authmodser", max_size=60) | st.text())
    def test_any_text(self, text: str) -> None:
        """Any text is split; the path is never touched."""
        rest, sign_in = split(text)
        self.assertEqual(rest.partition("?")[0], text.partition("?")[0])
        if sign_in is None:
            self.assertEqual(rest, text)
        else:
            sign_in.proves("password")

    def test_long_answer(self) -> None:
        """Of an answer no more is kept than is hashed cheaply."""
        _, sign_in = split(f"a?authmod=adobe&challenge={'c' * 60000}&response={'r' * 60000}")
        assert sign_in is not None
        self.assertEqual(len(sign_in.challenge), MAX_ANSWER_LENGTH)
        self.assertEqual(len(sign_in.response), MAX_ANSWER_LENGTH)

    def test_secrets_are_not_shown(self) -> None:
        """Neither response nor opaque is in what is printed."""
        shown = repr(SignIn("adobe", "u", "c", "RESPONSE", "OPAQUE"))
        self.assertNotIn("RESPONSE", shown)
        self.assertNotIn("OPAQUE", shown)


class TextTests(SynchronousTestCase):
    def test_texts(self) -> None:
        """The texts are those that encoders search for."""
        self.assertEqual(
            authmod.NEED_AUTH,
            "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ",
        )
        reject = "[ AccessManager.Reject ] : [ authmod=adobe ] : "
        self.assertEqual(authmod.AUTH_FAILED, f"{reject}?reason=authfailed")
        self.assertEqual(authmod.NO_SUCH_USER, f"{reject}?reason=nosuchuser")
        opaque = "0123456789abcdef" * 3
        self.assertEqual(
            challenge_text("me", opaque),
            f"{reject}?reason=needauth&user=me&salt=89abcdef01234567"
            f"&challenge={opaque}&opaque={opaque}",
        )

    def test_gstreamer(self) -> None:
        """GStreamer reads a challenge by this expression, and salt as hexadecimal digits."""
        text = challenge_text("me", Challenges(bytes).issue(NOW))
        pattern = r"\[ AccessManager.Reject \] : \[ authmod=(.*?) \] : (\?.*)\Z"
        found = re.fullmatch(pattern, text)
        assert found is not None
        self.assertEqual(found[1], "adobe")
        self.assertRegex(found[2], r"&salt=[0-9a-f]{16}&challenge=[0-9a-f]+&opaque=[0-9a-f]+$")

    def test_length(self) -> None:
        """FFmpeg keeps all of a challenge, even of the longest user."""
        text = challenge_text("u" * MAX_USER_LENGTH, Challenges(bytes).issue(NOW))
        self.assertLess(len(text.partition("?")[2]), FFMPEG_BUFFER)

    def test_users(self) -> None:
        """A user is any short printable text."""
        for user in ("u", "a b", "\u00fc", "u" * MAX_USER_LENGTH):
            self.assertTrue(is_user(user), user)
        for user in ("", "u" * (MAX_USER_LENGTH + 1), "a\nb", "\0", "\udc80"):
            self.assertFalse(is_user(user), user)


class ResponseTests(SynchronousTestCase):
    def test_vector(self) -> None:
        """The formula: b64(md5(b64(md5(user + salt + password)) + opaque + challenge))."""
        opaque = "6b49d2000011223344556677" + "f" * 24
        expected = hashed(hashed("me" + "0011223344556677" + "secret") + opaque + "cafe0123")
        self.assertEqual(authmod.response("me", opaque, "cafe0123", "secret"), expected)
        self.assertEqual(expected, "L97aG/EBsY8LscJlY14u6A==")

    def test_proves(self) -> None:
        """A response proves one password, for one user, opaque and challenge."""
        good = {"user": "me", "challenge": "c", "opaque": "o" * 48}
        response = authmod.response("me", "o" * 48, "c", "secret")
        self.assertTrue(SignIn("adobe", response=response, **good).proves("secret"))
        for change in (
            {"user": "you"},
            {"challenge": "d"},
            {"opaque": "p" * 48},
            {"response": ""},
            {"response": response[:-2]},
            {"response": response.lower()},
            {"response": "\udc80\u00fc"},
        ):
            with self.subTest(change=change):
                values = {**good, "response": response, **change}
                self.assertFalse(SignIn("adobe", **values).proves("secret"))
        for password in ("", "Secret", "secret ", "\udc80"):
            self.assertFalse(SignIn("adobe", response=response, **good).proves(password))


class ChallengesTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a server's."""
        self.challenges = Challenges()

    def test_once(self) -> None:
        """A challenge is good once."""
        opaque = self.challenges.issue(NOW)
        self.assertTrue(self.challenges.use(opaque, NOW))
        self.assertFalse(self.challenges.use(opaque, NOW))
        self.assertTrue(self.challenges.use(self.challenges.issue(NOW), NOW))

    def test_lifetime(self) -> None:
        """It is good for a while, and not where the clock was set back."""
        for age, is_good in ((0, True), (LIFETIME - 1, True), (LIFETIME + 1, False), (-2, False)):
            with self.subTest(age=age):
                self.assertIs(self.challenges.use(self.challenges.issue(NOW), NOW + age), is_good)

    def test_random(self) -> None:
        """No two are alike, nor are their salts."""
        issued = [self.challenges.issue(NOW) for _ in range(50)]
        self.assertEqual(len(set(issued)), 50)
        salts = {re.findall("salt=([0-9a-f]+)", challenge_text("u", one))[0] for one in issued}
        self.assertEqual(len(salts), 50)

    def test_tampered(self) -> None:
        """One with any digit changed, a part, another server's or junk is none."""
        opaque = self.challenges.issue(NOW)
        for place, digit in enumerate(opaque):
            other = "0" if digit != "0" else "1"
            tampered = opaque[:place] + other + opaque[place + 1 :]
            self.assertFalse(self.challenges.use(tampered, NOW), place)
        for junk in (
            "",
            opaque[:24],
            opaque + "0",
            opaque.upper() + "A",
            "\udc80" * 48,
            "x" * 60000,
        ):
            self.assertFalse(self.challenges.use(junk, NOW), junk[:60])
        self.assertFalse(Challenges().use(opaque, NOW))
        self.assertTrue(self.challenges.use(opaque, NOW))

    def test_bounded(self) -> None:
        """Used ones are remembered up to a number, and none is good twice even beyond it.

        Those that were issued when the oldest was, or before, make room with it.
        """
        first = self.challenges.issue(NOW)
        self.challenges.use(first, NOW)
        for _ in range(MAX_USED - 1):
            self.challenges.use(self.challenges.issue(NOW), NOW)
        self.assertFalse(self.challenges.use(first, NOW), "remembered among so many")
        same, older = self.challenges.issue(NOW), self.challenges.issue(NOW - 1)
        self.assertTrue(self.challenges.use(self.challenges.issue(NOW), NOW))
        for opaque in (first, same, older):
            self.assertFalse(self.challenges.use(opaque, NOW))
        self.assertLessEqual(len(self.challenges._used), MAX_USED)
        self.assertTrue(self.challenges.use(self.challenges.issue(NOW + 1), NOW + 1))
        back = NOW - 3600
        self.assertTrue(self.challenges.use(self.challenges.issue(back), back), "clock set back")

"""Tests of `rapidrtmp.rtmp.url`."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.media.key import is_stream_key
from rapidrtmp.rtmp.url import (
    MAX_PARAMETERS,
    MAX_QUERY_LENGTH,
    BadName,
    StreamName,
    application,
    redact,
    resolve,
)

TOKEN = "3f" * 32
TC_URL = "rtmp://host:1935/live"

SAME_STREAM: list[tuple[str, str, str, str]] = [
    ("usual", "live", TC_URL, "KEY"),
    ("A65 one box, empty name", "live/KEY", TC_URL + "/KEY", ""),
    ("A65 slashes", "/live", TC_URL, "KEY/"),
    ("slashes everywhere", "//live//", TC_URL + "//", "//KEY//"),
    ("default instance", "live/_definst_", TC_URL, "KEY"),
    ("default instance in the name", "live", TC_URL, "_definst_/KEY"),
    ("default instance in one box", "live/_definst_/KEY", TC_URL, ""),
    ("mp4: prefix", "live", TC_URL, "mp4:KEY"),
    ("flv: prefix", "live", TC_URL, "flv:KEY"),
    ("no tcUrl", "live", "", "KEY"),
    ("no app", "", TC_URL, "KEY"),
    ("no app, one box", "", TC_URL + "/KEY", ""),
    ("no app, tcUrl with a trailing slash", "", TC_URL + "/", "KEY"),
    ("no app but a query", "?a=1", TC_URL, "KEY"),
    ("quotes", '"live"', f'"{TC_URL}"', "'KEY'"),
    ("white space", " live\r\n", f"\t{TC_URL} ", "\tKEY \r\n"),
    ("the app wins over the path of tcUrl", "live", "rtmp://host/other/OTHER", "KEY"),
    ("another kind of URL", "", "rtmps://user:pass@[::1]:443/live", "KEY"),
]
"""Ways in which clients say app ``live`` and key ``KEY``."""

TOKENS: list[tuple[str, str, str, str, dict[str, str]]] = [
    ("OBS key box", "live", TC_URL, f"KEY?token={TOKEN}", {"token": TOKEN}),
    ("app", f"live?token={TOKEN}", "", "KEY", {"token": TOKEN}),
    ("tcUrl", "live", f"{TC_URL}?token={TOKEN}", "KEY", {"token": TOKEN}),
    ("one box", f"live/KEY?token={TOKEN}", "", "", {"token": TOKEN}),
    ("one box with a slash behind", f"live/KEY?token={TOKEN}/", "", "", {"token": TOKEN}),
    ("query in an otherwise empty name", "live/KEY", "", f"?token={TOKEN}", {"token": TOKEN}),
    ("slash before the query", "live", "", "KEY/?token=a", {"token": "a"}),
    (
        "A60 key before app",
        "live?token=app",
        f"{TC_URL}?token=tc",
        "KEY?token=key",
        {"token": "key"},
    ),
    ("A60 app before tcUrl", "live?token=app", f"{TC_URL}?token=tc", "KEY", {"token": "app"}),
    ("merged", "live?b=2", f"{TC_URL}?c=3", "KEY?a=1", {"a": "1", "b": "2", "c": "3"}),
    ("standard parse", "live", "", "KEY?token=a&x=1", {"token": "a", "x": "1"}),
    ("token behind others", "live", "", "KEY?x=1&token=a", {"x": "1", "token": "a"}),
    ("first of two", "live", "", "KEY?token=a&token=b", {"token": "a"}),
    ("no value", "live", "", "KEY?token&x=", {"token": "", "x": ""}),
    ("empty parts", "live", "", "KEY?&&=5&a=1&", {"a": "1"}),
    ("= in a value", "live", "", "KEY?response=YWI==&a=1", {"response": "YWI==", "a": "1"}),
    ("decoded after the split", "live", "", "KEY?t=a%26b%3Dc", {"t": "a&b=c"}),
    ("decoded once", "live", "", "KEY?t=%2526", {"t": "%26"}),
    ("name decoded", "live", "", "KEY?%74oken=a", {"token": "a"}),
    ("plus is a plus", "live", "", "KEY?t=a+b", {"t": "a+b"}),
    ("bad escape stays", "live", "", "KEY?t=%zz%", {"t": "%zz%"}),
    ("not UTF-8", "live", "", "KEY?t=%ff", {"t": "\ufffd"}),
    ("second question mark", "live", "", "KEY?a=1?b=2", {"a": "1?b=2"}),
    (
        "Adobe authentication",
        "live?authmod=adobe&user=U",
        "",
        "KEY",
        {"authmod": "adobe", "user": "U"},
    ),
]

NAMES: list[tuple[str, str, str, str, str]] = [
    ("two parts of app (FFmpeg)", "a/b", "c", "a/b", "c"),
    ("path in the name", "a", "b/c", "a/b", "c"),
    ("long path in one box", "a/b/c", "", "a/b", "c"),
    ("slash before the name (decisions: trimmed)", "live", "/abs", "live", "abs"),
    ("no app at all", "", "KEY", "", "KEY"),
    ("longest", "a" * 128, "b" * 128, "a" * 128, "b" * 128),
    ("longest app of parts", "a" * 64 + "/" + "b" * 63, "k", "a" * 64 + "/" + "b" * 63, "k"),
    ("a device name of Windows is a key", "live", "CON", "live", "CON"),
    ("case counts", "Live", "Key", "Live", "Key"),
]

BAD_PARTS = [
    "../../etc/x",
    "a/../b",
    "..%2f",
    "%2e%2e/",
    "%6b%65%79",
    "\\..\\",
    "C:x",
    "a\x00",
    "\x00",
    "a" * 10240,
    "a" * 129,
    ".",
    "..",
    "a/.",
    "./a",
    ".hidden",
    "a b",
    "a\tb",
    "a\nb",
    "caf\u00e9",
    "\U0001f600",
    "\u202ea",
    "\u00a0a",
    "\ufffd",
    "index.m3u8",
    "*",
    "a#b",
    "a;b",
    "a&b",
    "<b>",
    "mp4:mp4:a",
    "mp4:flv:a",
    "mp3:a",
    "rtmp://h/live/a",
    "a%3Ftoken=b",
]
"""A63 and A64: refused as key and as app, never turned into a valid name."""

MISSING = ["", "/", "//", " ", "\r\n", '""', "?", "?token=a", "mp4:", "_definst_", "flv:_definst_"]


class ResolveTests(SynchronousTestCase):
    def test_same_stream(self) -> None:
        """A65: every way of cutting the URL names the same stream."""
        for name, app, tc_url, key in SAME_STREAM:
            stream = resolve(app, tc_url, key)
            self.assertEqual((stream.app, stream.key), ("live", "KEY"), name)

    def test_parameters(self) -> None:
        """A60: one token from key, app, tcUrl in this order; each value decoded once."""
        for name, app, tc_url, key, parameters in TOKENS:
            self.assertEqual(resolve(app, tc_url, key), StreamName("live", "KEY", parameters), name)

    def test_names(self) -> None:
        """The last part is the key, the others are the app."""
        for name, app, key, expected_app, expected_key in NAMES:
            stream = resolve(app, "", key)
            self.assertEqual((stream.app, stream.key), (expected_app, expected_key), name)

    def test_bad_key(self) -> None:
        """A63: as the name, or as the end of the app of a one-box client."""
        for part in BAD_PARTS:
            for app, name in (("live", part), (f"live/{part}", "")):
                with self.assertRaises(BadName, msg=repr(part)):
                    resolve(app, "", name)

    def test_bad_app(self) -> None:
        """A64: as the app, or as the path of tcUrl that stands for it."""
        for part in BAD_PARTS:
            with self.assertRaises(BadName, msg=repr(part)):
                resolve(part, "", "KEY")
            with self.assertRaises(BadName, msg=repr(part)):
                resolve("", f"rtmp://host/{part}", "KEY")

    def test_app_length(self) -> None:
        """The app is bounded as a whole, too."""
        with self.assertRaisesRegex(BadName, "application is longer than 128 characters"):
            resolve("a" * 64 + "/" + "b" * 64, "", "KEY")
        with self.assertRaises(BadName):
            resolve("live", "", "a/" * 30000 + "KEY")

    def test_missing_key(self) -> None:
        """Without a key there is no stream: the app is never taken for one."""
        for app in ("live", "/live/", "live/_definst_", "", "live?token=a"):
            for name in MISSING:
                with self.assertRaisesRegex(BadName, "stream key is missing", msg=f"{app} {name}"):
                    resolve(app, TC_URL if app else "", name)

    def test_message(self) -> None:
        """The description says what is allowed and never shows a name or a token."""
        for app, name in (
            ("live", "SECRET KEY?token=SECRET"),
            ("live?token=SECRET", ""),
            ("SECRET%3Ftoken=SECRET", "KEY"),
            ("live", "KEY?token=SECRET" + "x" * MAX_QUERY_LENGTH),
        ):
            with self.assertRaises(BadName) as caught:
                resolve(app, "rtmp://SECRET:SECRET@host/live?token=SECRET", name)
            self.assertNotIn("SECRET", str(caught.exception))
        with self.assertRaisesRegex(BadName, "stream key may have 1 to 128 of the characters"):
            resolve("live", "", "a b")
        with self.assertRaisesRegex(BadName, "application may have"):
            resolve("a b", "", "KEY")

    def test_query_limits(self) -> None:
        """A query is bounded in length and in parameters, wherever it stands."""
        longest = "a=" + "b" * (MAX_QUERY_LENGTH - 2)
        most = "&".join(f"a{index}=1" for index in range(MAX_PARAMETERS))
        self.assertEqual(len(resolve("live", "", "KEY?" + longest).parameters), 1)
        self.assertEqual(len(resolve("live", "", "KEY?" + most).parameters), MAX_PARAMETERS)
        for query, message in ((longest + "b", "longer than"), (most + "&b=1", "more than")):
            for app, tc_url, name in (
                ("live", TC_URL, f"KEY?{query}"),
                (f"live?{query}", TC_URL, "KEY"),
                ("live", f"{TC_URL}?{query}", "KEY"),
            ):
                with self.assertRaisesRegex(BadName, message):
                    resolve(app, tc_url, name)

    def test_representation_hides_parameters(self) -> None:
        """A stream name in a log shows no token."""
        self.assertEqual(
            repr(resolve("live", "", "KEY?token=a")), "StreamName(app='live', key='KEY')"
        )


words = st.text("aZ9_-./\\%:?&= \"'\n\x00é", max_size=12) | st.text(max_size=12)


class ApplicationTests(SynchronousTestCase):
    def test_application(self) -> None:
        """What a client connects to is known before its stream is: first part and parameters."""
        for app, tc_url, expected in (
            ("live", TC_URL, ("live", {})),
            ("/live/KEY/", TC_URL, ("live", {})),
            ("", "rtmp://host/other/KEY?token=t", ("other", {"token": "t"})),
            ("live?token=t", "rtmp://host/live?token=u&a=b", ("live", {"token": "t", "a": "b"})),
            ("", "", ("", {})),
            ("../live", TC_URL, ("", {})),
            ("live?" + "x" * 5000, TC_URL, ("", {})),
        ):
            with self.subTest(app=app, tc_url=tc_url):
                self.assertEqual(application(app, tc_url), expected)


class ResolvePropertyTests(SynchronousTestCase):
    @settings(max_examples=300, deadline=None)
    @given(words, words, words)
    @example("live", "://", "")
    def test_arbitrary_text(self, app: str, tc_url: str, name: str) -> None:
        """Any text is a valid stream name that the client sent, or BadName."""
        try:
            stream = resolve(app, tc_url, name)
        except BadName:
            return
        self.assertTrue(is_stream_key(stream.key))
        self.assertIn(stream.key, name + app + tc_url)
        for part in stream.app.split("/"):
            self.assertTrue(not stream.app or is_stream_key(part))

    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True), min_size=2, max_size=5),
        st.data(),
    )
    def test_any_cut(self, path: list[str], data: st.DataObject) -> None:
        """Wherever a client cuts the path of its URL, the stream is the same."""
        cut = data.draw(st.integers(1, len(path)))
        stream = resolve("/".join(path[:cut]), "", "/".join(path[cut:]))
        expected = [part for part in path if part != "_definst_"]
        self.assertEqual([*filter(None, stream.app.split("/")), stream.key], expected)


class RedactTests(SynchronousTestCase):
    def test_hidden(self) -> None:
        """Queries, user information and what looks like a token do not reach a log."""
        for text, expected in (
            ("KEY?token=abc", "KEY?***"),
            ("rtmp://h/live?token=abc refused", "rtmp://h/live?*** refused"),
            ("rtmp://user:pass@h/live", "rtmp://***@h/live"),
            ("'live/KEY?a=1&token=b'", "'live/KEY?***'"),
            ("KEY%3Ftoken%3Dabc", "KEY?***"),
            ("token=abc&x=1", "token=***&x=1"),
            ("Password=abc, then", "Password=*** then"),
            ("response%3Dabc", "response%3D***"),
            (f"live/{TOKEN}/KEY", "live/***/KEY"),
        ):
            self.assertEqual(redact(text), expected)

    def test_kept(self) -> None:
        """What is no secret stays readable."""
        for text in (
            "",
            "rtmp://host:1935/live/KEY",
            "who is there?",
            "mytoken and a key",
            "version=3",
            "deadbeef",
        ):
            self.assertEqual(redact(text), text)

    @settings(max_examples=100, deadline=None)
    @given(st.text(max_size=60), st.text(max_size=60))
    def test_anywhere(self, before: str, after: str) -> None:
        """A token is hidden wherever its parameter stands."""
        text = redact(f"{before} live/KEY?token={TOKEN} {after}")
        self.assertNotIn(TOKEN, text)

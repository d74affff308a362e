"""Tests of the URLs that a client connects to."""

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.rtmp.target import MAX_LENGTH, BadTarget, Target

GOOD: list[tuple[str, Target, str]] = [
    ("rtmp://host/live/key", Target("rtmp", "host", 1935, "live", "key"), "rtmp://host/live"),
    ("rtmps://host/app/KEY", Target("rtmps", "host", 443, "app", "KEY"), "rtmps://host/app"),
    (
        "rtmp://host:1936/a/b/key?token=x&y=%2F",
        Target("rtmp", "host", 1936, "a/b", "key?token=x&y=%2F"),
        "rtmp://host:1936/a/b",
    ),
    (
        "rtmps://live.example:443/rtmp/FB-1-0-Ab?s_bl=1",
        Target("rtmps", "live.example", 443, "rtmp", "FB-1-0-Ab?s_bl=1"),
        "rtmps://live.example/rtmp",
    ),
    ("rtmp://[::1]/a/k", Target("rtmp", "::1", 1935, "a", "k"), "rtmp://[::1]/a"),
    ("rtmp://[::1]:5/a/k/", Target("rtmp", "::1", 5, "a", "k"), "rtmp://[::1]:5/a"),
    ("RTMP://HOST/App/k#1", Target("rtmp", "host", 1935, "App", "k#1"), "rtmp://host/App"),
]

BAD: list[tuple[str, str]] = [
    ("http://host/live/SECRET", "rtmp://"),
    ("host/live/SECRET", "rtmp://"),
    ("", "rtmp://"),
    ("rtmp:///live/SECRET", "host"),
    ("rtmp://host:x/live/SECRET", "host and port"),
    ("rtmp://host:0/live/SECRET", "host and port"),
    ("rtmp://host:65536/live/SECRET", "host and port"),
    ("rtmp://[::1/live/SECRET", "host and port"),
    ("rtmp://user:SECRET@host/live/key", "user and password"),
    ("rtmp://user@host/live/SECRET", "user and password"),
    ("rtmp://host/SECRET", "application and a stream key"),
    ("rtmp://host/live/?SECRET", "application and a stream key"),
    ("rtmp://host", "application and a stream key"),
    ("rtmp://host/live/SECRET\n", "white space"),
    ("rtmp://host/live/a SECRET", "white space"),
    ("rtmp://host/live/" + "S" * MAX_LENGTH, "longer"),
]


class TargetTests(SynchronousTestCase):
    def test_good(self) -> None:
        """The last part of the path is the key; what stands before it is the application."""
        for url, expected, tc_url in GOOD:
            with self.subTest(url=url):
                target = Target.parse(url)
                self.assertEqual(target, expected)
                self.assertEqual(target.tc_url, tc_url)

    def test_key(self) -> None:
        """The key is without the query; neither is in the representation."""
        target = Target.parse("rtmp://host/live/SECRET?token=HIDDEN")
        self.assertEqual((target.key, target.name), ("SECRET", "SECRET?token=HIDDEN"))
        self.assertNotIn("SECRET", repr(target))
        self.assertNotIn("HIDDEN", repr(target))

    def test_bad(self) -> None:
        """Everything else is refused, in words that give no secret away."""
        for url, words in BAD:
            with self.subTest(url=url):
                error = self.assertRaises(BadTarget, Target.parse, url)
                self.assertIn(words, str(error))
                self.assertNotIn("SECRET", str(error))

"""What addresses below ``/live/`` mean, remembered or not."""

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.web.live_address import MAX_REMEMBERED, read_address, read_query
from rapidrtmp.web.session import Session

LIFE = "0123456789abcdef"
SESSION = "01" * 8


class AddressTests(SynchronousTestCase):
    def test_read(self) -> None:
        """Key, path and session are told apart; what is none is neither known nor guessed."""
        track = f"{LIFE}.{SESSION}{SESSION[::-1]}".encode()
        session = Session(LIFE, SESSION, SESSION[::-1], {})
        long = b"a" * MAX_REMEMBERED
        cases = {
            (): (None, (), None, False),
            (b"k", b"\xff"): (None, (), None, False),
            (b"",): ("", (), None, False),
            (b"k", b"index.m3u8"): ("k", ("index.m3u8",), None, False),
            (b"k", track, b"video1.m3u8"): ("k", (LIFE, "video1.m3u8"), session, False),
            (b"k", b"a.b", b"video1.m3u8"): ("k", ("a.b", "video1.m3u8"), None, True),
            (b"k", long + track, b"x"): ("k", ((long + track).decode(), "x"), None, True),
            (b"k", track, b"video1", b"1.m4s"): (
                "k",
                (track.decode(), "video1", "1.m4s"),
                None,
                False,
            ),
            (b"k", long): ("k", (long.decode(),), None, False),
        }
        for parts, expected in cases.items():
            for _ in range(2):
                self.assertEqual(read_address(list(parts))[1:], expected, parts)

    def test_query(self) -> None:
        """All values of each parameter are there, of a query of any length."""
        for tail in (b"", b"&c=" + b"d" * MAX_REMEMBERED):
            for _ in range(2):
                found = read_query(b"a=1&b=&a=%C3%A4+2&&x" + tail)
                self.assertEqual((found["a"], found["b"]), (["1", "\xc3\xa4 2"], [""]))
        self.assertEqual(read_query(b""), {})

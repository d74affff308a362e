"""DASH manifests: sessions, counting, the limit and signed URLs; and the time of day."""

import gzip
import re
from collections.abc import Mapping, Sequence
from urllib.parse import urljoin

from twisted.internet.defer import Deferred, fail, succeed

from rapidrtmp.auth.playback import PlaybackAuthenticator
from rapidrtmp.dash.manifest import Period
from rapidrtmp.interfaces import NO_CACHE, NO_QUERY, AccessDenied, Refusal, Representation
from rapidrtmp.stream.viewers import REMEMBERED
from rapidrtmp.web.live_address import route
from tests.dash.checker import parse_manifest
from tests.dash.test_manifest import NOW as PUBLISHED
from tests.dash.test_manifest import PICTURE, SOUND, render
from tests.web.fakes import FakeOutput
from tests.web.live_fakes import LIFE
from tests.web.session_case import NOW, SessionTestCase

FIRST = "/live/k/manifest.mpd"
PLAIN = f"/live/k/{LIFE}/manifest.mpd"
BODY = render(Period("0", PUBLISHED, [PICTURE, SOUND]), part_target=0.2).replace(
    b"../life/", b"../%b/" % LIFE.encode()
)
MANIFEST = Representation(BODY, "application/dash+xml", NO_CACHE, "d1")
FFMPEG = ("User-Agent", "Lavf/62")
BROWSER = ("User-Agent", "Mozilla/5.0")


class Output(FakeOutput):
    """Has files, whatever the query, which it notes."""

    def __init__(self, files: dict[str, object]) -> None:
        super().__init__(files)
        self.wishes: list[Mapping[str, Sequence[str]]] = []

    def representation(
        self, path: tuple[str, ...], query: Mapping[str, Sequence[str]] = NO_QUERY
    ) -> Representation | Deferred[Representation]:
        """Return what is kept under the path."""
        self.wishes.append(query)
        return FakeOutput.representation(self, path)


class DASHTestCase(SessionTestCase):
    def setUp(self) -> None:
        """Serve a manifest at both its addresses."""
        super().setUp()
        files: dict[str, object] = dict(self.stream.output.files)
        files |= {"manifest.mpd": MANIFEST, f"{LIFE}/manifest.mpd": MANIFEST}
        self.output = Output(files)
        self.stream.http_outputs = [self.output]

    def location(self, path: str = FIRST, *headers: tuple[str, str]) -> str:
        """Fetch a manifest; give the path at which its player goes on."""
        response = self.ask(path, *headers)
        self.assertEqual(response.code, 200, response.body)
        told = parse_manifest(response.body).location
        assert told is not None
        return urljoin(path, told)


class ManifestTests(DASHTestCase):
    def test_personal(self) -> None:
        """The first address opens a session, of which the manifest tells; nobody keeps that."""
        response = self.ask(FIRST, ("Accept-Encoding", "gzip"), BROWSER)
        headers = [response.headers.get(name) for name in ("cache-control", "etag", "vary")]
        self.assertEqual(headers, ["private, no-cache", None, None])
        told = parse_manifest(response.body)
        assert told.location is not None
        self.assertRegex(told.location, rf"^{LIFE}\.[0-9a-f]{{32}}/manifest\.mpd$")

    def test_same_addresses(self) -> None:
        """Media and the time of day are at the same addresses wherever the manifest is."""
        own = self.location(FIRST, BROWSER)
        addresses = []
        for path in (FIRST, own, PLAIN):
            told = parse_manifest(self.ask(path).body)
            video = told.periods[0].representations["video1"]
            uris = (video.init_uri, video.segments[0].uri, told.clock)
            addresses.append([urljoin(path, uri) for uri in uris])
        expected = [
            f"/live/k/{LIFE}/video1/init-0.mp4",
            f"/live/k/{LIFE}/video1/100.m4s",
            "/live/time",
        ]
        self.assertEqual(addresses, [expected] * 3)

    def test_shared(self) -> None:
        """In a session the bytes and the tag are those of all viewers, compressed for all."""
        paths = [self.location(FIRST, BROWSER), PLAIN]
        for path in paths:
            response = self.ask(path, ("Accept-Encoding", "gzip"))
            self.assertEqual(gzip.decompress(response.body), BODY)
            self.assertEqual(response.headers["etag"], '"d1-gzip"')
            self.assertEqual(urljoin(path, parse_manifest(BODY).location or ""), path)

    def test_counted(self) -> None:
        """Who goes on in its session is one viewer, and nobody else is."""
        own = self.location(FIRST, BROWSER)
        self.assertEqual(len(self.viewers), 0)
        for _ in range(5):
            self.assertEqual(self.code(own, BROWSER), 200)
            self.clock.advance(2)
        self.assertEqual((len(self.viewers), self.viewers.total), (1, 1))
        self.assertEqual([each.action for each in self.manager.requests], ["play"])
        [joined] = self.manager.joined
        self.assertIn(joined.session_id, own)

    def test_no_session(self) -> None:
        """A player that comes back to the first address is one viewer too, asked about twice."""
        for _ in range(9):
            told = self.location(FIRST, FFMPEG)
            self.clock.advance(2)
        self.assertEqual(told, FIRST)
        self.assertEqual((len(self.viewers), self.viewers.total), (1, 1))
        self.assertEqual(len(self.manager.requests), 2)
        self.clock.advance(20)
        self.assertEqual(len(self.viewers), 0)
        self.assertNotEqual(self.location(FIRST, FFMPEG), FIRST)

    def test_two_at_one_address(self) -> None:
        """A second browser of the same kind and address is counted as well."""
        first = self.location(FIRST, BROWSER)
        second = self.location(FIRST, BROWSER)
        for path in (first, second) * 3:
            self.assertEqual(self.code(path, BROWSER), 200)
            self.clock.advance(1)
        self.assertEqual((len(self.viewers), self.viewers.total), (2, 2))

    def test_head(self) -> None:
        """HEAD asks nobody, and makes no viewer."""
        for _ in range(3):
            self.assertEqual(self.code(FIRST, method="HEAD"), 200)
            self.assertEqual(self.code(PLAIN, method="HEAD"), 200)
        self.assertEqual((len(self.viewers), self.manager.requests), (0, []))

    def test_whole_segments(self) -> None:
        """The wish for whole segments is handed on."""
        self.ask(f"{FIRST}?ll=0")
        self.ask(f"{PLAIN}?ll=0")
        self.assertEqual([dict(wish) for wish in self.output.wishes], [{"ll": ["0"]}] * 2)

    def test_not_there(self) -> None:
        """What is not there is told in its own words."""
        response = self.ask("/live/other/manifest.mpd")
        self.assertEqual(
            (response.code, response.json()["error"]), (404, "stream not found or not live")
        )
        del self.output.files[f"{LIFE}/manifest.mpd"]
        response = self.ask(PLAIN)
        self.assertEqual((response.code, response.json()["error"]), (404, "manifest not available"))

    def test_held(self) -> None:
        """Who is held until the stream starts gets a session then."""
        held: Deferred[Representation] = Deferred()
        self.output.files["manifest.mpd"] = held
        waiting = self.connect(FIRST)
        held.callback(MANIFEST)
        self.assertIn(LIFE + ".", parse_manifest(waiting.response().body).location or "")

    def test_held_again(self) -> None:
        """One who gave up and came again, too, as somebody without a session."""
        held: Deferred[Representation] = Deferred()
        self.output.files["manifest.mpd"] = held
        self.connect(FIRST, FFMPEG).lose()
        held = Deferred[Representation]()
        self.output.files["manifest.mpd"] = held
        waiting = self.connect(FIRST, FFMPEG)
        held.callback(MANIFEST)
        self.assertEqual(parse_manifest(waiting.response().body).location, "manifest.mpd")

    def test_routes(self) -> None:
        """Metrics tell manifests apart from segments, and not one stream from another."""
        cases = {
            ("k", "manifest.mpd"): "/live/:streamKey/manifest.mpd",
            ("k", f"{LIFE}.00", "manifest.mpd"): "/live/:streamKey/:life/:playlist",
            ("time",): "/live/time",
        }
        for path, name in cases.items():
            self.assertEqual(route([part.encode() for part in path]), name)


class LimitTests(DASHTestCase):
    def test_limit(self) -> None:
        """Newcomers over the limit are told so; who watches goes on, in whatever way."""
        self.viewers.limit = 2
        own, late = self.location(FIRST, BROWSER), self.location(FIRST, ("User-Agent", "late"))
        self.location(FIRST, FFMPEG)
        self.location(FIRST, FFMPEG)
        self.assertEqual(self.code(own, BROWSER), 200)
        self.assertEqual(len(self.viewers), 2)
        for path in (late, FIRST):
            self.assertEqual(self.code(path, ("User-Agent", "late")), 503)
        self.assertEqual((self.code(own, BROWSER), self.code(FIRST, FFMPEG)), (200, 200))

    def test_denied(self) -> None:
        """Who may not watch learns nothing; one who came without a session, neither."""
        denied = AccessDenied(Refusal.DENIED, "members only")
        self.manager.decide = lambda request: (
            succeed(None) if "ok" in request.credentials else fail(denied)
        )
        for _ in range(3):
            response = self.ask(FIRST, FFMPEG)
            self.assertEqual((response.code, response.json()), (403, {"error": "members only"}))
        self.assertEqual(self.code(f"{FIRST}?ok=1", BROWSER), 200)

    def test_no_session(self) -> None:
        """One who comes without a session is judged by the query of its address, each time."""
        denied = AccessDenied(Refusal.DENIED, "members only")
        self.manager.decide = lambda request: (
            succeed(None) if "jwt" in request.credentials else fail(denied)
        )
        for _ in range(3):
            self.assertEqual(self.code(f"{FIRST}?jwt=a.b", FFMPEG), 200)
        self.assertEqual(len(self.viewers), 1)

    def test_flood(self) -> None:
        """Those who came once are remembered up to a number."""
        for number in range(REMEMBERED + 100):
            self.viewers.returns((f"192.0.2.{number}", ""))
        self.assertTrue(self.viewers.returns((f"192.0.2.{REMEMBERED + 99}", "")))
        self.assertFalse(self.viewers.returns(("192.0.2.0", "")))


class ProtectedTests(DASHTestCase):
    protected = True

    def test_signed(self) -> None:
        """A signed URL leads to a session whose address is signed, until the signature ends."""
        self.assertEqual(self.code(FIRST), 403)
        self.assertEqual(self.code(PLAIN), 403)
        query = self.signer.query("k", NOW + 60)
        own = self.location(f"{FIRST}?{query}", BROWSER)
        self.assertRegex(own, rf"/{LIFE}\.[0-9a-f]{{32}}\.{NOW + 60}\.[0-9a-f]{{64}}/")
        self.assertEqual(self.code(own, BROWSER), 200)
        self.assertEqual(self.code(re.sub(r"\.[0-9a-f]{64}", "." + "0" * 64, own)), 403)
        self.clock.advance(61)
        self.assertEqual(self.code(own, BROWSER), 403)

    def test_no_session(self) -> None:
        """A player that comes back to the signed URL goes on, too, until the signature ends."""
        path = f"{FIRST}?{self.signer.query('k', NOW + 60)}"
        playback = PlaybackAuthenticator(self.signer)
        self.manager.decide = playback.authorize
        for _ in range(12):
            self.assertEqual(self.code(path, FFMPEG), 200)
            self.clock.advance(5)
        self.assertEqual(self.code(path, FFMPEG), 403)
        self.assertEqual(self.viewers.total, 1)

    def test_time(self) -> None:
        """The time of day is no secret."""
        self.assertEqual(self.code("/live/time"), 200)


class TimeTests(DASHTestCase):
    def test_time(self) -> None:
        """It is told to the millisecond, to any origin, and never kept."""
        self.clock.advance(0.25)
        response = self.ask("/live/time")
        self.assertEqual((response.code, response.body), (200, b"2026-09-21T14:13:20.250Z"))
        self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertEqual(response.headers["content-type"], "text/plain; charset=utf-8")
        self.assertEqual(self.ask("/live/time", method="HEAD").body, b"")
        self.assertEqual(self.code("/live/time", method="POST"), 405)

    def test_key(self) -> None:
        """A stream may be called so."""
        self.assertEqual(self.code("/live/time/index.m3u8"), 404)
        self.assertIn(b"stream not found", self.ask("/live/time/index.m3u8").body)

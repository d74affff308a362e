"""Viewers of streams that begin for them: held like those of any stream that starts."""

from twisted.internet.defer import Deferred

from rapidrtmp.auth.playback import PlaybackAuthenticator, PlaybackSigner
from rapidrtmp.interfaces import IOutputMaker
from rapidrtmp.outputs.hls_maker import HLSMaker, HLSSettings
from rapidrtmp.outputs.uploads import Uploads
from rapidrtmp.protocol.player import START_PATIENCE
from rapidrtmp.storage.memory import MemoryStorage
from rapidrtmp.stream.events import Events
from tests.web.fakes import CONNECTION_DONE, Connection
from tests.web.test_flv import HEADER, FLVCase

INDEX = "/live/key/index.m3u8?token=good"


class OnDemandCase(FLVCase):
    """A key that is offered, on a site with HLS and FLV."""

    def setUp(self) -> None:
        """Offer it."""
        super().setUp()
        self.asked = 0
        self.manager.offer("key", self.count)

    def makers(self) -> list[IOutputMaker]:
        """Make HLS outputs, too."""
        storage = MemoryStorage(self.clock)
        uploads = Uploads(storage, self.clock, 1_000_000)
        hls = HLSMaker(storage, self.clock, HLSSettings(), uploads, Events(self.clock))
        return [*super().makers(), hls]

    def count(self) -> None:
        """Note that somebody asked."""
        self.asked += 1


class HLSTests(OnDemandCase):
    def test_held(self) -> None:
        """The first request waits for the first segment, and gets a session."""
        connection = self.get(INDEX)
        self.assertEqual((self.asked, connection.unread), (1, b""))
        second = self.get(INDEX)
        self.assertEqual(self.asked, 2)
        self.encoder().run(4.0)
        for each in (connection, second):
            response = each.response()
            self.assertEqual(response.code, 200)
            self.assertIn(f"{self.stream.life}.".encode(), response.body)
        self.assertEqual(self.get(INDEX).response().code, 200)

    def test_dash(self) -> None:
        """A DASH manifest begins it as well."""
        connection = self.get("/live/key/manifest.mpd?token=good")
        self.assertEqual((self.asked, connection.unread), (1, b""))
        self.encoder().run(4.0)
        response = connection.response()
        self.assertEqual(response.code, 200)
        self.assertIn(f"<Location>{self.stream.life}.".encode(), response.body)

    def test_late(self) -> None:
        """One whose source does not come is told when to ask again, and is waited for anew."""
        for _ in range(5):
            connection = self.get(INDEX)
            self.clock.advance(8)
            response = connection.response()
            self.assertEqual((response.code, response.headers["retry-after"]), (503, "1"))
        self.assertEqual(self.asked, 5)
        self.assertEqual(len(self.manager.streams()), 1)

    def test_thumbnail(self) -> None:
        """Who looks at a picture does not keep the stream, nor bring it back."""
        encoder = self.encoder()
        encoder.run(4.0)
        for _ in range(2):
            self.get("/live/key/thumb.jpg?token=good")
            encoder.publication.close("over")
        self.assertEqual(self.asked, 0)

    def test_who_begins_none(self) -> None:
        """Neither HEAD, nor media of a life that is over, nor who may not watch."""
        for path, method, code in (
            (INDEX, "HEAD", 404),
            ("/live/key/0123456789abcdef/video1.m3u8", "GET", 404),
            ("/live/key/init.mp4", "GET", 404),
            ("/live/other/index.m3u8?token=good", "GET", 404),
            ("/live/key/index.m3u8?token=bad", "GET", 403),
        ):
            response = self.get(path, method).response(method)
            self.assertEqual(response.code, code, path)
        self.site = self.make_site(PlaybackAuthenticator(PlaybackSigner([b"s" * 32], self.clock)))
        self.assertEqual(self.get(INDEX).response().code, 403)
        self.assertEqual((self.asked, self.manager.streams()), (0, []))

    def test_full(self) -> None:
        """Where there is no room for viewers, nobody waits."""
        self.get(INDEX)
        self.stream.viewer_count.limit = 0
        response = self.get(INDEX).response()
        self.assertEqual((response.code, response.headers["retry-after"]), (503, "10"))

    def test_viewer_leaves(self) -> None:
        """Who leaves waits no longer."""
        connection = self.get(INDEX)
        connection.protocol.connectionLost(CONNECTION_DONE)
        self.encoder().run(4.0)
        self.assertEqual(connection.unread, b"")

    def test_decided_late(self) -> None:
        """It begins when the right is proven, not before."""
        held: Deferred[None] = Deferred()
        self.authenticator.held = held
        self.get(INDEX)
        self.assertIsNone(self.manager.get("key"))
        held.callback(None)
        self.assertEqual(self.asked, 1)


class FLVTests(OnDemandCase):
    def test_held(self) -> None:
        """The answer begins with the stream."""
        connection = self.get()
        self.assertEqual((self.asked, connection.unread, self.stream.viewers), (1, b"", 0))
        self.encoder().run(3.0)
        head, body, _ = self.split(connection)
        self.assertTrue(head.startswith(b"HTTP/1.1 200 OK"))
        self.assertTrue(body.startswith(HEADER))
        self.assertEqual(self.stream.viewers, 1)

    def test_late(self) -> None:
        """One whose source does not come is told to ask again."""
        connection = self.get()
        self.clock.advance(START_PATIENCE)
        response = connection.response()
        self.assertEqual((response.code, response.headers["retry-after"]), (503, "1"))
        self.assertEqual((self.stream.viewers, len(self.stream.starting)), (0, 0))

    def test_leaves(self) -> None:
        """Who has gone when it begins takes no place; nor does a HEAD wait."""
        connection = self.get()
        connection.protocol.connectionLost(CONNECTION_DONE)
        self.encoder().run(3.0)
        self.assertEqual(self.stream.viewers, 0)

    def test_ends(self) -> None:
        """Who waits at the end of the stream, or of the server, is sent away."""
        waiting: list[Connection] = [self.get()]
        self.manager.stop("key")
        self.clock.advance(self.manager.settings.stop_cooldown + 1)
        waiting.append(self.get())
        self.manager.close()
        self.assertEqual([each.response().code for each in waiting], [503, 503])

"""A server that packages nothing: what it makes, and what it tells those who ask."""

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.config import Settings, warnings
from rapidrtmp.outputs.unpackaged import SWITCHED_OFF, Unpackaged
from rapidrtmp.protocol.fanout import Fanout
from rapidrtmp.readiness import SEGMENT_PATIENCE, check_segmenter
from rapidrtmp.web.live import NOT_LIVE
from tests.stream.fakes import Encoder, request
from tests.test_readiness import make_service
from tests.web.fakes import Connection, Response


class UnpackagedTests(SynchronousTestCase):
    def setUp(self) -> None:
        service, self.reactor = make_service(self.mktemp(), hls_enabled=False)
        self.house = service._house
        publication = self.successResultOf(self.house.manager.publish(request()))
        self.encoder = Encoder(self.reactor, publication)
        [self.stream] = self.house.manager.streams()

    def ask(self, path: str) -> Response:
        """Make a request of the server's own machine."""
        connection = Connection(self.house.site, peer="127.0.0.1", host="127.0.0.1")
        connection.request("GET", path, (), host="localhost")
        return connection.response("GET")

    def test_outputs(self) -> None:
        """Nothing hangs on a stream but its fan-out and what tells why there is no more."""
        kinds = [type(output) for output in self.stream.outputs]
        self.assertEqual(kinds, [Unpackaged, Fanout])

    def test_viewers_are_told(self) -> None:
        """Whatever one asks for, the answer is 404 with the reason, not a wait."""
        life = self.stream.life
        for path in (
            "index.m3u8",
            "index.m3u8?ll=1",
            "manifest.mpd",
            "ts/index.m3u8",
            "init.mp4",
            "thumb.jpg",
            "thumbs.m3u8",
            f"{life}/video1.m3u8",
            f"{life}/video1/1.m4s",
            f"{life}/video1/1.0.m4s",
            f"{life}/ts/1.ts",
        ):
            with self.subTest(path=path):
                response = self.ask(f"/live/key/{path}")
                self.assertEqual(response.code, 404)
                self.assertEqual(response.json()["error"], SWITCHED_OFF)

    def test_unknown_stream(self) -> None:
        """A stream that is not there is not there: the words are those of every server."""
        response = self.ask("/live/other/index.m3u8")
        self.assertEqual((response.code, response.json()["error"]), (404, NOT_LIVE))

    def test_nothing_is_missed(self) -> None:
        """Media flow and no segment comes of them: that is no fault, and none is counted."""
        self.encoder.run(20 + SEGMENT_PATIENCE)
        self.assertGreater(self.stream.statistics.frames_received, 0)
        self.assertEqual(check_segmenter(self.house.manager, self.reactor.seconds()), "ok")
        metrics = self.ask("/metrics").body.decode()
        self.assertIn("\nrapidrtmp_segments_created_total 0.0\n", metrics)
        self.assertFalse(self.ask("/streams.json").json()["thumbnails"])

    def test_end(self) -> None:
        """A stream ends, and the server goes down, as ever."""
        self.encoder.run(3)
        self.successResultOf(self.house.manager.stop("key"))
        self.successResultOf(self.stream.close())
        self.assertEqual(self.ask("/live/key/index.m3u8").json()["error"], SWITCHED_OFF)

    def test_warning(self) -> None:
        """A past that nobody will have is told of at the start."""
        [line] = warnings(Settings(hls_enabled=False, dvr_window=3600.0))
        self.assertIn("HLS_ENABLED=false", line)

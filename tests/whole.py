"""A whole server in memory: the real house with its real doors, asked over RTMP and HTTP."""

from collections.abc import Sequence
from urllib.parse import urljoin

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.house import House
from rapidrtmp.media.track import AUDIO_TRACK_ID, VIDEO_TRACK_ID
from rapidrtmp.service import RapidRTMPService
from tests.faults.case import (
    CREATE,
    INTER_FRAME,
    KEY_FRAME,
    SOUND,
    START,
    Peer,
    audio,
    video,
)
from tests.hls.checker import MediaPlaylist, parse_media_playlist
from tests.isobmff.checker import ParsedSample, check_track
from tests.rtmp.wire import HANDSHAKE, call
from tests.test_readiness import make_service
from tests.web.fakes import Connection, Response

VIDEO, AUDIO = f"video{VIDEO_TRACK_ID}", f"audio{AUDIO_TRACK_ID}"
"""The renditions of a stream."""
STRANGER = "203.0.113.9"
JSON = ("Content-Type", "application/json")


class WholeCase(SynchronousTestCase):
    """A server as it comes, but for its addresses; it keeps media in memory."""

    settings: dict[str, object] = {}

    def setUp(self) -> None:
        """Start it."""
        self.start()

    def start(self, **settings: object) -> None:
        """Start a server, which ends with the test."""
        values = {"auth_required": True, "hls_low_latency": False, **self.settings, **settings}
        self.service, self.reactor = make_service(self.mktemp(), **values)
        self.service.startService()
        self.addCleanup(self.stop, self.service, self.reactor)

    def stop(self, service: RapidRTMPService, reactor: MemoryReactorClock) -> None:
        """End a server: publishers are told, everything is put away."""
        for listener in (service.rtmp, service.http):
            listener.ports.clear()  # those in memory never close
        for connection in list(service._house.rtmp_factory.connections):
            connection.connectionLost()
        stopped = service.stopService()
        for _ in range(100):
            if not stopped.called:
                reactor.advance(1)
        self.successResultOf(stopped)

    @property
    def house(self) -> House:
        """All of its rooms."""
        return self.service._house

    def ask(
        self,
        path: str,
        method: str = "GET",
        *headers: tuple[str, str],
        body: bytes = b"",
        peer: str = "127.0.0.1",
        host: str = "localhost:8080",
    ) -> Response:
        """Make a request, which must be answered at once."""
        connection = Connection(self.house.site, peer)
        connection.request(method, path, headers, body, host=host)
        while connection.transport.unsent:
            connection.transport.drain()
        response = connection.response(method)
        connection.lose()
        return response

    def post(self, path: str, body: bytes = b"", *headers: tuple[str, str]) -> Response:
        """Post JSON from the server's own machine."""
        return self.ask(path, "POST", JSON, *headers, body=body)

    def mint(self, key: str = "key") -> str:
        """Get a publish token."""
        token: str = self.post("/api/v1/publish", b'{"streamKey":"%b"}' % key.encode()).json()[
            "token"
        ]
        return token

    def connect(self, app: str = "live", host: str = "192.0.2.1") -> Peer:
        """Connect an encoder that has message stream 1."""
        peer = Peer(self.house.rtmp_factory, host)
        information = {"app": app, "tcUrl": f"rtmp://host/{app}"}
        peer.send(HANDSHAKE + call("connect", 1.0, dict(information)) + CREATE)
        return peer

    def publish(self, name: str, app: str = "live", host: str = "192.0.2.1") -> Peer:
        """Try to publish under a name, with its token in it."""
        peer = self.connect(app, host)
        peer.send(call("publish", 3.0, None, name, "live", msid=1))
        return peer

    def live(self, key: str = "key") -> Peer:
        """Publish with a token, and send what every stream begins with."""
        peer = self.publish(f"{key}?token={self.mint(key)}")
        self.assertEqual(peer.codes, ["NetStream.Publish.Start"])
        peer.send(START)
        return peer

    def run_media(
        self,
        peer: Peer,
        seconds: float,
        *,
        start: float = 0.0,
        gop: float = 2.0,
        kinds: Sequence[str] = ("video", "audio"),
    ) -> float:
        """Send 25 frames a second in real time, each with a sound; give the time of the next.

        Args:
            peer: who publishes.
            seconds: for how long.
            start: the encoder's own time, in seconds, of what was sent last.
            gop: seconds between two key frames; 0 for none.
            kinds: what is sent.
        """
        for number in range(1, round(25 * seconds) + 1):
            ms = round(1000 * start) + 40 * number
            is_key = bool(gop) and ms % round(1000 * gop) == 0
            if "video" in kinds:
                peer.send(video(KEY_FRAME if is_key else INTER_FRAME, ms))
            if "audio" in kinds:
                peer.send(audio(SOUND, ms))
            self.reactor.advance(0.04)
        return start + seconds

    def playlist(self, rendition: str = VIDEO, key: str = "key") -> MediaPlaylist:
        """Fetch and judge a media playlist."""
        return parse_media_playlist(self.ask(self.path(f"{rendition}.m3u8", key)).body)

    def path(self, name: str, key: str = "key") -> str:
        """Give the address of a file of a stream's life."""
        stream = self.house.manager.get(key)
        assert stream is not None
        return f"/live/{key}/{stream.life}/{name}"

    def samples(self, rendition: str = VIDEO, key: str = "key") -> list[ParsedSample]:
        """Fetch and judge all that a media playlist lists; give its samples."""
        playlist = self.playlist(rendition, key)
        base = self.path(f"{rendition}.m3u8", key)
        uris = [segment.uri for segment in playlist.segments]
        answers = [self.ask(urljoin(base, uri)) for uri in (playlist.segments[0].map_uri, *uris)]
        self.assertEqual({answer.code for answer in answers}, {200})
        self.assertEqual({answer.headers["content-type"] for answer in answers}, {"video/mp4"})
        init, *segments = [answer.body for answer in answers]
        return check_track(init, segments)

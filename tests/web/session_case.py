"""A stream with viewers, whose sessions are in the addresses that they ask for."""

import re
from urllib.parse import urljoin

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.auth.playback import PlaybackAuthenticator, PlaybackSigner
from rapidrtmp.auth.session_ids import SessionSigner
from rapidrtmp.interfaces import IMMUTABLE, NO_CACHE, Representation
from rapidrtmp.storage.memory import MemoryStorage
from rapidrtmp.stream.viewers import Viewers
from tests.web.fakes import Connection, Response
from tests.web.live_fakes import LIFE, LiveManager, LiveSite, LiveStream

HLS = "application/vnd.apple.mpegurl"
MULTIVARIANT = Representation(
    b'#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Audio",URI="%b/audio2.m3u8"\n'
    b'#EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,'
    b'FRAME-RATE=25.000,AUDIO="audio",CLOSED-CAPTIONS=NONE\n%b/video1.m3u8\n'
    % (LIFE.encode(), LIFE.encode()),
    HLS,
    NO_CACHE,
    "m1",
)
PLAYLIST = Representation(b"#EXTM3U\n#EXTINF:2,\n../x/video1/1.m4s\n" * 20, HLS, NO_CACHE, "p1")
SEGMENT = Representation(b"media", "video/mp4", IMMUTABLE, "s1")
TRANSPORT = Representation(
    b"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-STREAM-INF:BANDWIDTH=1000\n../%b/ts.m3u8\n" % LIFE.encode(),
    HLS,
    NO_CACHE,
    "m2",
)
SIGNATURE = "ab" * 32
MADE_UP = "5" * 32
"""A session that was opened nowhere."""
NOW = 1_790_000_000
INDEX = "/live/k/index.m3u8"
SECRET = b"a secret of the tests"
AGENT = ("User-Agent", "VLC/3")


class SessionTestCase(SynchronousTestCase):
    protected = False

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        files: dict[str, object] = {
            "index.m3u8": MULTIVARIANT,
            "init.mp4": SEGMENT,
            f"{LIFE}/video1.m3u8": PLAYLIST,
            f"{LIFE}/audio2.m3u8": PLAYLIST,
            f"{LIFE}/video1/1.m4s": SEGMENT,
            "ts/index.m3u8": TRANSPORT,
            f"{LIFE}/ts.m3u8": PLAYLIST,
            f"{LIFE}/ts/1.ts": SEGMENT,
        }
        self.stream = LiveStream("k", self.clock, files)
        self.manager = LiveManager(self.stream)
        self.signer = PlaybackSigner([SECRET], self.clock)
        self.state = MemoryStorage(self.clock)
        self.start()

    def start(self, *, protected: bool | None = None) -> None:
        """Start a process that has seen nobody; PLAYBACK_AUTH as usual in this case."""
        self.viewers = self.stream.viewer_count = Viewers(self.clock, 1000)
        sessions = SessionSigner(self.state)
        self.successResultOf(sessions.load())
        protected = self.protected if protected is None else protected
        playback = PlaybackAuthenticator(self.signer) if protected else None
        self.site = LiveSite(self.manager, self.clock, playback, sessions)

    def connect(self, path: str, *headers: tuple[str, str], method: str = "GET") -> Connection:
        connection = Connection(self.site, peer="192.0.2.7", host="198.51.100.1")
        connection.request(method, path, headers, host="live.example")
        return connection

    def ask(self, path: str, *headers: tuple[str, str], method: str = "GET") -> Response:
        response = self.connect(path, *headers, method=method).response(method)
        self.assertEqual(response.headers["access-control-allow-origin"], "*")
        if response.code >= 400:
            self.assertEqual(response.headers["cache-control"], "no-store")
        return response

    def code(self, path: str, *headers: tuple[str, str], method: str = "GET") -> int:
        return self.ask(path, *headers, method=method).code

    def open(self, path: str = INDEX) -> list[str]:
        """Fetch the multivariant playlist; give the paths of the media playlists it names."""
        response = self.ask(path)
        self.assertEqual(response.code, 200, response.body)
        names = re.findall(r'(?m)^[^#\s].*$|(?<=URI=")[^"]*', response.body.decode())
        return [urljoin(path, name) for name in names]

    def session(self) -> str:
        """Open a session that was not seen yet; give its video playlist's path."""
        return self.open()[1]

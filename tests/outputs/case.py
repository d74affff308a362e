"""Streams with HLS outputs behind a stream manager, and a viewer who judges what he sees."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from urllib.parse import urljoin

from twisted.internet.defer import Deferred

from rapidrtmp.interfaces import NO_CACHE, IMediaURLs, IOutputMaker, Representation
from rapidrtmp.media.track import AUDIO_TRACK_ID, VIDEO_TRACK_ID, Track
from rapidrtmp.outputs.files import PLAYLIST_TYPE
from rapidrtmp.outputs.hls import HLSOutput
from rapidrtmp.outputs.hls_maker import HLSMaker, HLSSettings
from rapidrtmp.outputs.uploads import Uploads
from rapidrtmp.stream.events import Events
from tests.hls.checker import (
    MediaPlaylist,
    MultivariantPlaylist,
    check_reload,
    parse_media_playlist,
    parse_multivariant_playlist,
)
from tests.isobmff.checker import check_track
from tests.isobmff.fakes import FakeAudioConfig, FakeVideoConfig
from tests.outputs.fakes import CheckingStorage
from tests.stream.fakes import Encoder, StreamCase

LARGER = Track(VIDEO_TRACK_ID, FakeVideoConfig(1920, 1080))
MONO = Track(AUDIO_TRACK_ID, FakeAudioConfig(channels=1))
INDEX = ("index.m3u8",)
WHOLE = {"ll": ["0"]}
"""The query for a playlist of whole segments."""
NAMES = ("audio2", "video1")
CDN = "https://cdn.example.com/live"
MOST_FILES = 2 * (6 + 1 + 1) + 2
"""Two renditions of six segments, MAP and playlist, the multivariant playlist and the alias."""


class HLSCase(StreamCase):
    """A stream manager whose streams have HLS outputs."""

    urls: IMediaURLs | None = None
    max_bytes_waiting = 1_000_000

    def setUp(self) -> None:
        """Make the manager."""
        self.settings = HLSSettings(max_segments=6)
        super().setUp()
        self.seen: dict[str, MediaPlaylist] = {}

    def makers(self) -> Sequence[IOutputMaker]:
        """Make HLS outputs on the same storage."""
        if not hasattr(self, "storage"):
            self.storage = CheckingStorage(self.clock)
        self.uploads = Uploads(self.storage, self.clock, self.max_bytes_waiting, lambda: 0.0)
        self.events = Events(self.clock)
        self.hls_maker = HLSMaker(
            self.storage, self.clock, self.settings, self.uploads, self.events, self.urls
        )
        return [self.hls_maker]

    @property
    def hls(self) -> HLSOutput:
        """The output of the usual stream."""
        [output] = self.stream.http_outputs
        assert isinstance(output, HLSOutput)
        return output

    def find(self, *path: str, query: Mapping[str, Sequence[str]] | None = None) -> Representation:
        """Ask for a file that is there."""
        found = self.hls.representation(path, query or {})
        if isinstance(found, Representation):
            return found
        return self.successResultOf(found)

    def hold(self, *path: str) -> Deferred[Representation]:
        """Ask for a file that is to come."""
        found = self.hls.representation(path, {})
        assert isinstance(found, Deferred)
        return found

    def index(self) -> MultivariantPlaylist:
        """Fetch and judge the multivariant playlist."""
        file = self.find(*INDEX)
        self.assertEqual((file.content_type, file.cache_control), (PLAYLIST_TYPE, NO_CACHE))
        return parse_multivariant_playlist(file.body)

    def playlist(self, name: str) -> MediaPlaylist:
        """Fetch a media playlist, and judge it as a reload of what was seen of it."""
        path = (self.stream.life, f"{name}.m3u8")
        file = self.find(*path, query=WHOLE)
        self.assertEqual((file.content_type, file.cache_control), (PLAYLIST_TYPE, NO_CACHE))
        playlist = parse_media_playlist(file.body)
        self.assertIsNone(playlist.low_latency)
        if self.hls_maker.urls is None:
            self.check_live_edge(parse_media_playlist(self.find(*path).body), playlist)
        before = self.seen.get(file_name := f"{self.stream.life}/{name}")
        if before is not None:
            check_reload(before, playlist)
        self.seen[file_name] = playlist
        for segment in playlist.segments:
            self.find(*self.media_path(segment.map_uri))
            if not segment.is_gap:
                self.find(*self.media_path(segment.uri))
        return playlist

    def check_live_edge(self, edge: MediaPlaylist, playlist: MediaPlaylist) -> None:
        """Judge a low-latency playlist beside the one of whole segments."""
        self.assertEqual(edge, playlist)
        if edge.low_latency is None:
            has_parts = self.stream.segmentation.part_target and self.stream.tracks
            self.assertFalse(has_parts, "what a former process stored has none")
            return
        uris = {segment.sequence: segment.uri for segment in edge.segments}
        for sequence, parts in edge.low_latency.parts.items():
            bodies = [self.find(*self.media_path(part.uri)).body for part in parts]
            if sequence in uris:
                whole = self.find(*self.media_path(uris[sequence])).body
                self.assertEqual(b"".join(bodies), whole)

    def media_path(self, uri: str) -> tuple[str, ...]:
        """Resolve a URI of a media playlist, or one at the CDN, to the path below the key."""
        url = urljoin(f"/live/key/{self.stream.life}/any.m3u8", uri).removeprefix(CDN[:-5])
        parts = url.split("/")
        self.assertEqual(parts[:3], ["", "live", "key"])
        return tuple(parts[3:])

    def watch(self, *names: str) -> list[MediaPlaylist]:
        """Reload playlists; they must be in lock step where they overlap."""
        playlists = [self.playlist(name) for name in names or ("video1", "audio2")]
        numbers = [
            {s.sequence: (s.discontinuity, s.is_discontinuity) for s in playlist.segments}
            for playlist in playlists
        ]
        for before, after in pairwise(numbers):
            for sequence in before.keys() & after.keys():
                self.assertEqual(before[sequence], after[sequence])
        return playlists

    def play(self, encoder: Encoder, seconds: float, *names: str) -> None:
        """Publish, with a viewer who reloads every second."""
        for _ in range(round(seconds)):
            encoder.run(1)
            self.manager.tick()
            self.watch(*names)

    def samples(self, name: str) -> int:
        """Judge the bytes of the newest continuity that a playlist lists; count its samples."""
        bodies: list[bytes] = []
        init = b""
        for segment in self.playlist(name).segments:
            if segment.is_discontinuity:
                bodies = []
            init = self.find(*self.media_path(segment.map_uri)).body
            if not segment.is_gap:
                bodies.append(self.find(*self.media_path(segment.uri)).body)
        return len(check_track(init, bodies))

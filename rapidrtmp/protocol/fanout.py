"""Fan-out: a stream's media for all who play it by RTMP or FLV, each message written once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast
from weakref import WeakValueDictionary

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from rapidrtmp.flv import file
from rapidrtmp.flv.muxer import Message, Muxer
from rapidrtmp.interfaces import IMemoryHolder, IOutput, IOutputMaker
from rapidrtmp.media.gop import GOPCache
from rapidrtmp.media.segmentation import CLOCK, Boundary
from rapidrtmp.media.timed import ScriptMessage, TimedMetadata
from rapidrtmp.media.track import Sample, Track, start_track
from rapidrtmp.rtmp.media_encoder import MediaEncoder
from rapidrtmp.rtmp.message import DATA_AMF0
from rapidrtmp.stream.stream import Stream

if TYPE_CHECKING:
    from rapidrtmp.protocol.player import Player

FRAME_SIZE: Final = 256
"""Bytes that a frame counts for besides its payload."""
MAX_PAYLOAD: Final = 0xFFFFFF - 1024
"""Bytes of a frame that fits an FLV tag with all that may stand before it."""
MIN_COLLECTED: Final = 20
"""With fewer players there is nothing to be saved: they are sent each frame at once."""
MAX_COLLECTED: Final = 64 * 1024
"""Bytes that are collected at most: past that, a write costs by the byte, and transports pause."""
RTMP: Final = "rtmp"
FLV: Final = "flv"
PROTOCOLS: Final = (RTMP, FLV)
"""What players are told apart by in metrics; WebSocket-FLV is FLV."""

_ENCODER = MediaEncoder()
_log = Logger()


@dataclass(frozen=True, slots=True)
class PlaySettings:
    """What all fan-outs and their players have in common."""

    queue_bytes: int = 8 * 1024 * 1024
    """Bytes that may go by a player that reads nothing; half as many may wait for it."""
    queue_seconds: float = 10.0
    """The same in seconds of media."""
    gop_cache_bytes: int = 8 * 1024 * 1024
    """Of the newest GOP of each stream, kept for newcomers; 0 is no cache."""
    latency: float = 0.006
    """Seconds for which frames are collected, to be sent with one write to each player."""


class Configuration:
    """The tracks of one continuity, and how they are written."""

    def __init__(self, tracks: Sequence[Track], stream: Stream) -> None:
        self.tracks = tuple(tracks)
        self._hints = dict(stream.metadata)
        self.muxer = Muxer(tracks, self._hints)
        self.video_ids = frozenset(track.track_id for track in tracks if track.kind == "video")
        self.start_id = start_track(tracks).track_id
        """The track whose random access points are where players start."""
        self._flows: WeakValueDictionary[tuple[Form, frozenset[int]], Flow] = WeakValueDictionary()

    def flow(self, form: "Form", track_ids: frozenset[int]) -> "Flow":
        """Return what players share who take these tracks in this form."""
        flow = self._flows.get((form, track_ids))
        if flow is None:
            self._flows[form, track_ids] = flow = Flow(form, track_ids)
        return flow

    def headers(self, tracks: Sequence[Track], timestamp: int) -> list[Message]:
        """Return what a player of some of the tracks must have before its first frame.

        Args:
            tracks: those.
            timestamp: ms, of the first frame that follows.
        """
        muxer = self.muxer if len(tracks) == len(self.tracks) else Muxer(tracks, self._hints)
        # FFmpeg makes a track of subtitles out of metadata at any other time than 0
        return [
            header._replace(timestamp=0) if header.type_id == DATA_AMF0 else header
            for header in muxer.headers(timestamp)
        ]


class Frame:
    """One sample on its way to players. Each form is made when somebody first wants it."""

    __slots__ = (
        "_chunks",
        "_sample",
        "_tag",
        "configuration",
        "is_random_access",
        "is_start",
        "ms",
        "number",
        "size",
        "track_id",
    )

    def __init__(self, configuration: Configuration, sample: Sample, number: int) -> None:
        track = sample.track
        timescale = track.timescale
        self.configuration = configuration
        self.number = number
        """Counts the frames of a fan-out."""
        self.track_id = track.track_id
        self.ms = (sample.dts * 1000 + (timescale >> 1)) // timescale
        self.size = len(sample.payload) + FRAME_SIZE
        self.is_random_access = sample.is_random_access
        self.is_start = sample.is_random_access and track.track_id == configuration.start_id
        self._sample = sample
        self._chunks: bytes | None = None
        self._tag: bytes | None = None

    def message(self) -> Message:
        """Make the message."""
        return self.configuration.muxer.message(self._sample)

    def chunks(self) -> bytes:
        """Return the chunks for all players whose message stream id is 1."""
        if self._chunks is None:
            self._chunks = _ENCODER.encode(*self.message())
        return self._chunks

    def tag(self) -> bytes:
        """Return the FLV tag."""
        if self._tag is None:
            self._tag = b"".join(file.tag(*self.message()))
        return self._tag


Form = Callable[[Frame], bytes]
"""Makes the bytes of a frame. Players whose forms are equal share them."""


class ScriptFrame(Frame):
    """A data message of the publisher, which goes with the track where players start."""

    __slots__ = ("_body", "_timestamp")

    def __init__(
        self, configuration: Configuration, metadata: TimedMetadata, body: bytes, number: int
    ) -> None:
        self.configuration = configuration
        self.number = number
        self.track_id = configuration.start_id
        self._timestamp = metadata.time * 1000 // CLOCK
        # Queues tell by it how long they are: it may be said of what comes, or was.
        self.ms = self._timestamp + round(1000 * (metadata.edge - metadata.wall))
        self.size = len(body) + FRAME_SIZE
        self.is_random_access = self.is_start = False
        self._body = body
        self._chunks = self._tag = None

    def message(self) -> Message:
        """Make the message."""
        return Message(DATA_AMF0, self._timestamp & 0xFFFFFFFF, (self._body,))


class Flow:
    """What all players are sent that take the same tracks in the same form: joined once for them.

    Args:
        form: makes the bytes of a frame.
        track_ids: those that are taken.
    """

    __slots__ = ("__weakref__", "_form", "_frames", "_track_ids", "_wire")

    def __init__(self, form: Form, track_ids: frozenset[int]) -> None:
        self._form = form
        self._track_ids = track_ids
        self._frames: Sequence[Frame] = ()
        self._wire = b""

    def wire(self, frames: Sequence[Frame]) -> bytes:
        """Return the bytes of frames that go out together; empty if none of them is taken."""
        if frames is not self._frames:
            form, track_ids = self._form, self._track_ids
            self._wire = b"".join([form(each) for each in frames if each.track_id in track_ids])
            self._frames = frames
        return self._wire


@implementer(IOutput, IMemoryHolder)
class Fanout:
    """Hands a stream's frames to its players, and keeps the newest GOP for those to come.

    Times are those of the stream's own timeline: the publisher's steps, from 0 on, never
    back, whatever becomes of the publisher.
    """

    def __init__(self, stream: Stream, maker: "FanoutMaker") -> None:
        """Make the fan-out of a stream's life."""
        self.maker = maker
        self.configuration: Configuration | None = None
        """Of the newest continuity; None before the first."""
        self.handed = 0
        """Number of the newest frame that players were handed."""
        self._cache: GOPCache[Frame | Sample] = GOPCache(maker.settings.gop_cache_bytes)
        self._stream = stream
        self._players: tuple[Player, ...] = ()  # replaced: it changes while it is gone through
        self._held: list[Frame] = []  # in the cache, but not with the players yet
        self._held_size = 0
        self._held_until: IDelayedCall | None = None
        self._number = 0

    def add(self, player: "Player") -> None:
        """Hand a player all frames from now on; those so far are in the newest GOP."""
        self.flush()
        self._players += (player,)
        self.maker.players.add(player)
        self.maker.started[player.protocol] += 1

    def remove(self, player: "Player") -> None:
        """Hand a player no more frames. Without effect for one that gets none."""
        if player in self._players:
            self._players = tuple(other for other in self._players if other is not player)
            self.maker.players.discard(player)
            self.maker.dropped[player.protocol] += player.frames_dropped

    def newest_gop(self) -> Sequence[Frame]:
        """Return the frames since the newest one at which players can start."""
        kept = self._cache.frames
        first = self._number - len(kept) + 1
        for position, each in enumerate(kept):
            if isinstance(each, Sample):
                assert self.configuration is not None
                kept[position] = Frame(self.configuration, each, first + position)
        return cast("list[Frame]", kept)

    def memory(self) -> Mapping[str, int]:
        """Tell how many bytes are kept in memory. See `IMemoryHolder`.

        Frames are shared: the longest queue has those of the others, and the newest GOP's.
        """
        gop = self._cache.size
        longest = max((player.queued_bytes for player in self._players), default=0)
        return {"gop": gop, "players": max(0, longest - gop)}

    # The stream's side (IOutput).

    def tracks_changed(self, tracks: Sequence[Track]) -> None:
        """Write other tracks from here on."""
        self.flush()
        self._cache.clear()
        self._cache.max_bytes = self.maker.settings.gop_cache_bytes
        self.configuration = Configuration(tracks, self._stream)
        for player in self._players:
            player.stop_flowing()

    def segment_started(self, boundary: Boundary) -> None:
        """Nothing is cut here."""

    def sample_received(self, sample: Sample) -> None:
        """Hand a sample on. The hot path."""
        configuration = self.configuration
        assert configuration is not None
        size = len(sample.payload)
        if size > MAX_PAYLOAD:
            return
        self._number += 1
        if self._players:
            self._hand_out(Frame(configuration, sample, self._number))
        else:
            is_start = sample.is_random_access and sample.track.track_id == configuration.start_id
            self._cache.add(sample, size + FRAME_SIZE, is_start)

    def metadata_received(self, metadata: TimedMetadata) -> None:
        """Hand a data message on; RTMP has no form for what does not come from the publisher."""
        content = metadata.content
        if isinstance(content, ScriptMessage) and self.configuration is not None:
            self._number += 1
            self._hand_out(ScriptFrame(self.configuration, metadata, content.body, self._number))

    def _hand_out(self, frame: Frame) -> None:
        self._cache.add(frame, frame.size, frame.is_start)
        self._held.append(frame)
        self._held_size += frame.size
        clock = self.maker.clock
        latency = self.maker.settings.latency
        if (
            not latency
            or clock is None
            or len(self._players) < MIN_COLLECTED
            or self._held_size > MAX_COLLECTED
        ):
            self.flush()
        elif self._held_until is None:
            self._held_until = clock.callLater(latency, self.flush)

    def flush(self) -> None:
        """Hand on what is held."""
        timer, self._held_until = self._held_until, None
        if timer is not None and timer.active():
            timer.cancel()
        frames, self._held, self._held_size = self._held, [], 0
        if not frames:
            return
        self.handed = frames[-1].number
        current: Flow | None = None
        wire = b""
        for player in self._players:
            flow = player.flow
            try:
                if flow is None:
                    player.receive(frames)
                    continue
                if flow is not current:
                    current, wire = flow, flow.wire(frames)
                if wire:
                    player.writer.write(wire)
            except Exception:  # harms neither the others nor the publisher
                _crash(player)

    def discontinuity(self) -> None:
        """The timeline goes on; players are told of other tracks when they come."""
        self.flush()

    def ended(self) -> None:
        """Tell every player."""
        self.flush()
        self._cache.clear()
        for player in self._players:
            try:
                player.end()
            except Exception:
                _crash(player)

    def close(self) -> Deferred[None]:
        """Nothing is kept."""
        return succeed(None)


def _crash(player: "Player") -> None:
    """End a player because of the exception under way, whatever else goes wrong in it."""
    try:
        player.crash()
    except Exception:
        _log.failure("a player could not be ended")
        player.close()


@implementer(IOutputMaker)
class FanoutMaker:
    """Makes the fan-out of each stream, and knows all players."""

    def __init__(
        self, settings: PlaySettings | None = None, clock: IReactorTime | None = None
    ) -> None:
        """Make a maker.

        Args:
            settings: may be replaced at any time: for the players and GOPs to come.
            clock: calls later; with None no frames are collected.
        """
        self.clock = clock
        self.settings = settings or PlaySettings()
        self.players: set[Player] = set()
        """All that play."""
        self.started = dict.fromkeys(PROTOCOLS, 0)
        """Players that ever were, by protocol."""
        self.cut = dict.fromkeys(PROTOCOLS, 0)
        """Players that were disconnected because they did not read."""
        self.dropped = dict.fromkeys(PROTOCOLS, 0)
        """Frames that players who have gone were not sent, because they read too slowly."""

    @property
    def players_by_protocol(self) -> dict[str, int]:
        """How many play."""
        counts = dict.fromkeys(PROTOCOLS, 0)
        for player in self.players:
            counts[player.protocol] += 1
        return counts

    @property
    def frames_dropped(self) -> dict[str, int]:
        """Frames that players were not sent because they read too slowly."""
        counts = dict(self.dropped)
        for player in self.players:
            counts[player.protocol] += player.frames_dropped
        return counts

    @property
    def queued_bytes(self) -> dict[str, int]:
        """Bytes that wait for players to read."""
        counts = dict.fromkeys(PROTOCOLS, 0)
        for player in self.players:
            counts[player.protocol] += player.queued_bytes
        return counts

    def make(self, stream: object) -> Fanout:
        """Make the fan-out of a new stream."""
        assert isinstance(stream, Stream)
        return Fanout(stream, self)


def fanout_of(stream: Stream) -> Fanout | None:
    """Find the fan-out that hangs on a stream."""
    return next((output for output in stream.outputs if isinstance(output, Fanout)), None)

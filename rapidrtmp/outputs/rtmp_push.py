"""Publishes a stream to another server by RTMP."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from rapidrtmp.flv.metadata import FOURCCS, fourcc, track_number
from rapidrtmp.flv.muxer import Muxer
from rapidrtmp.interfaces import IOutput
from rapidrtmp.media.segmentation import CLOCK, Boundary
from rapidrtmp.media.timed import ScriptMessage, TimedMetadata
from rapidrtmp.media.track import Sample, Track, start_track
from rapidrtmp.protocol.client import RTMPClientProtocol
from rapidrtmp.protocol.redial import Redial, RelayState
from rapidrtmp.rtmp.capabilities import CAN_FORWARD, MULTITRACK, PLAIN, RECONNECT, Capabilities
from rapidrtmp.rtmp.client import ClientSession
from rapidrtmp.rtmp.message import DATA_AMF0
from rapidrtmp.rtmp.target import Target

VIDEO_CODECS = ("h264", "h265", "av1", "vp9", "vp8")
MAX_WAITING = 4 * 1024 * 1024
"""Bytes that wait for a connection, or for a target that reads too slowly: 10 s of 3 Mbit/s."""
MAX_WAITING_SAMPLES = 2000
"""What goes with it: 10 s of video and audio are 900 samples, and each costs memory of its own."""
LINGER = 5.0
"""Seconds without media after which the target is left. An encoder that reconnects at once goes
on where it was; most servers wait no longer for media than twice that."""
STALL = 15.0
"""Seconds in which a target that takes nothing at all is given up."""
CAPABILITIES = Capabilities(
    fourccs=frozenset(FOURCCS.values()),
    video={name: CAN_FORWARD for codec, name in FOURCCS.items() if codec in VIDEO_CODECS},
    audio={name: CAN_FORWARD for codec, name in FOURCCS.items() if codec not in VIDEO_CODECS},
    caps_ex=RECONNECT | MULTITRACK,
)
"""What a target is told of us: nothing is encoded here, all is passed on."""
_TICK = 1.0
_U32 = 0xFFFFFFFF


@implementer(IOutput)
class RTMPPush:
    """One target of a stream.

    What cannot be sent in time is left out up to the next key frame. Whatever happens to the
    target, nothing of it comes back to the stream.

    Args:
        redial: connects to the target; this push becomes its owner.
        clock: tells the time and calls later.
        hints: gives the publisher's metadata.
    """

    def __init__(
        self,
        redial: Redial,
        clock: IReactorTime,
        hints: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self.redial = redial
        redial.owner = self
        self.bytes = 0
        """Of media that was sent."""
        self.dropped = 0
        """Samples that could not be sent in time."""
        self.hints = hints
        self._tracks: Sequence[Track] = ()
        self._start_track: Track | None = None
        self._capabilities = PLAIN
        self._connection: RTMPClientProtocol | None = None
        self._muxer: Muxer | None = None
        self._base = 0  # ms of the first key frame of the connection
        self._is_first = True
        self._starts: dict[int, int] = {}  # what goes: track id to the first dts
        self._waiting: deque[Sample] = deque()
        self._waiting_bytes = 0
        self._awaits_key = True
        self._seen = self._received = 0
        self._silence = self._stalled = 0.0
        self._tick = LoopingCall(self._look)
        self._tick.clock = clock

    # IOutput.

    def tracks_changed(self, tracks: Sequence[Track]) -> None:
        """Describe the tracks anew at the next key frame, if the target takes them."""
        self._tracks = tracks
        self._start_track = start_track(tracks)
        self._muxer = None
        self._forget()
        if self.redial.state is RelayState.LIVE:
            refused = self.refuse(self._capabilities)
            if refused:
                self.redial.fail(refused)
        else:
            self._start()

    def segment_started(self, boundary: Boundary) -> None:
        """Segments are no matter of RTMP."""

    def sample_received(self, sample: Sample) -> None:
        """Send a sample, or keep it until it can be sent. The hot path."""
        self._received += 1
        state = self.redial.state
        if self._awaits_key:
            if not sample.is_random_access or sample.track is not self._start_track:
                return
            if state is RelayState.IDLE:
                self._start()
                state = self.redial.state
            if state is not RelayState.LIVE and state is not RelayState.CONNECTING:
                return
            self._awaits_key = False
        connection = self._connection
        if connection is not None and connection.is_writable and not self._waiting:
            self._send(connection, sample)
            return
        self._waiting.append(sample)
        self._waiting_bytes += len(sample.payload)
        if self._waiting_bytes > MAX_WAITING or len(self._waiting) > MAX_WAITING_SAMPLES:
            self.dropped += len(self._waiting)
            self._forget()

    def metadata_received(self, metadata: TimedMetadata) -> None:
        """Send a data message of the publisher, if nothing waits before it."""
        content, connection = metadata.content, self._connection
        if not isinstance(content, ScriptMessage) or connection is None or self._muxer is None:
            return
        if connection.is_writable and not self._waiting:
            ms = metadata.time * 1000 // CLOCK
            connection.send(DATA_AMF0, ms - self._base & _U32, (content.body,))

    def discontinuity(self) -> None:
        """Times go on across it: there is nothing to do."""

    def ended(self) -> None:
        """Leave the target."""
        self._leave()

    def close(self) -> Deferred[None]:
        """Leave the target; fire when the connection is closed."""
        return self._leave()

    # The connection's owner.

    def make_session(self, target: Target) -> ClientSession:
        """Make a session that publishes."""
        return ClientSession(target, publishes=True, capabilities=CAPABILITIES)

    def refuse(self, capabilities: Capabilities) -> str:
        """Say which codec the target does not take; '' for none."""
        self._capabilities = capabilities
        chosen = self._chosen()
        for track in chosen:
            name = fourcc(track)
            if name is not None and not capabilities.takes(name):
                return f"the target does not take {track.codec}"
        if not chosen:
            return "the stream has no first track, which is all that the target takes"
        self._start_track = start_track(chosen)
        return ""

    def started(self, connection: RTMPClientProtocol) -> None:
        """Send what waits."""
        self._connection = connection
        self._muxer = None
        self._is_first = True
        self._stalled = 0.0
        self.writable()

    def writable(self) -> None:
        """Send what waits, for as long as it goes."""
        connection, waiting = self._connection, self._waiting
        while waiting and connection is not None and connection.is_writable:
            sample = waiting.popleft()
            self._waiting_bytes -= len(sample.payload)
            self._send(connection, sample)

    def stopped(self) -> None:
        """Go on with the next key frame, on another connection."""
        self._connection = None
        self._forget()

    # Inside.

    def _chosen(self) -> list[Track]:
        """Give the tracks that the target gets: the first ones, and what it takes of others."""
        theirs = self._capabilities
        return [
            track
            for track in self._tracks
            if track_number(track) == 0
            or (theirs.caps_ex & MULTITRACK and theirs.takes(FOURCCS[track.codec]))
        ]

    def _send(self, connection: RTMPClientProtocol, sample: Sample) -> None:
        muxer = self._muxer
        if muxer is None and (sample.track is not self._start_track or not sample.is_random_access):
            return  # held for a target that does not get the track that it began with
        try:
            if muxer is None:
                muxer = self._describe(connection, sample)
            start = self._starts.get(sample.track.track_id)
            if start is None or sample.dts < start:
                return
            type_id, timestamp, parts = muxer.message(sample)
            connection.send(type_id, timestamp - self._base & _U32, parts)
        except OverflowError:
            # longer than a message can be, or shown hours after it is decoded
            self.dropped += 1
            return
        self.bytes += len(sample.payload)

    def _describe(self, connection: RTMPClientProtocol, first: Sample) -> Muxer:
        """Send what must come before the first sample of the tracks.

        Args:
            connection: where to.
            first: a key frame of the start track; nothing earlier goes out.

        Raises:
            OverflowError: no message can hold it.
        """
        tracks = self._chosen()
        muxer = Muxer(tracks, self.hints())
        ms = first.dts * 1000 // first.track.timescale
        timestamp = muxer.message(first).timestamp
        self._muxer = muxer
        if self._is_first:
            self._is_first = False
            self._base = timestamp
        self._starts = {track.track_id: -(-ms * track.timescale // 1000) for track in tracks}
        self._starts[first.track.track_id] = first.dts
        for header in muxer.headers(timestamp - self._base):
            connection.send(*header)
        return muxer

    def _forget(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0
        self._awaits_key = True

    def _start(self) -> None:
        if not self._tick.running:
            self._silence = self._stalled = 0.0
            self._tick.start(_TICK, now=False)
        self.redial.start()

    def _leave(self) -> Deferred[None]:
        if self._tick.running:
            self._tick.stop()
        done = self.redial.stop()
        self._forget()
        return done

    def _look(self) -> None:
        """Leave when there is nothing to send, and a target that takes nothing."""
        self._silence = self._silence + _TICK if self._received == self._seen else 0.0
        self._seen = self._received
        connection = self._connection
        is_stalled = connection is not None and not connection.is_writable
        self._stalled = self._stalled + _TICK if is_stalled else 0.0
        if self._silence >= LINGER:
            self._leave()
        elif self._stalled >= STALL:
            self._stalled = 0.0
            self.redial.retry(f"the target took nothing for {STALL:.0f} s")

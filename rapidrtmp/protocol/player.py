"""Players: what one viewer of a fan-out is sent, when, and what not."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from rapidrtmp.flv.metadata import FOURCCS, fourcc, track_number
from rapidrtmp.flv.muxer import Message
from rapidrtmp.interfaces import AccessRequest, NotFound
from rapidrtmp.media.gop import SendQueue
from rapidrtmp.media.track import Track
from rapidrtmp.protocol.fanout import Configuration, Fanout, Flow, Form, Frame, fanout_of
from rapidrtmp.rtmp.capabilities import MULTITRACK, Capabilities
from rapidrtmp.stream.manager import StreamManager
from rapidrtmp.stream.stream import Stream

TOO_SLOW: Final = "the player does not read what it is sent"


START_PATIENCE: Final = 10.0
"""Seconds that a player waits for a stream that begins for it."""


class Unplayable(Exception):
    """A player cannot take a stream's codecs. Says so in plain words."""


def playable(tracks: Sequence[Track], capabilities: Capabilities) -> list[Track]:
    """Choose the tracks that an RTMP player is sent.

    Players that announce nothing know FLV 10.1 alone, and one track of a kind. FFmpeg
    announces codecs of video only, and plays all of audio then.

    Args:
        tracks: all.
        capabilities: what the player announced.

    Raises:
        Unplayable: it cannot take the first track of a kind.
    """
    chosen = []
    # a '*' for one kind says nothing of the other
    of_kind = {
        "video": replace(capabilities, audio={}),
        "audio": replace(capabilities, video={}),
    }
    for track in tracks:
        name = fourcc(track)
        if track_number(track):
            if capabilities.caps_ex & MULTITRACK and name and of_kind[track.kind].takes(name):
                chosen.append(track)
        elif (
            name is None
            or of_kind[track.kind].takes(name)
            or (track.kind == "audio" and capabilities.is_enhanced and not capabilities.audio)
        ):
            chosen.append(track)
        else:
            raise Unplayable(
                f"the {track.kind} is {track.codec} ({FOURCCS[track.codec]}), which this player "
                "did not announce to take (Enhanced RTMP, fourCcList)"
            )
    if not chosen:
        raise Unplayable("the stream has no first track, which is all that this player takes")
    return chosen


class Seat:
    """A viewer's place at a stream, counted until it leaves."""

    def __init__(self, stream: Stream, fanout: Fanout, viewer: str) -> None:
        self.fanout = fanout
        self._stream = stream
        self._viewer = viewer

    def leave(self) -> None:
        """Give the place up. Calls after the first do nothing."""
        self._stream.viewer_count.leave(self._viewer)


def admit(
    manager: StreamManager, access: AccessRequest, check: Callable[[Sequence[Track]], object]
) -> Deferred[Seat]:
    """Let a player in.

    Args:
        manager: decides.
        access: what it asks for; its session names it among the viewers.
        check: raises Unplayable when it cannot take the tracks.

    Returns:
        Fires with its place, or fails with AccessDenied, NotFound, NotReady when there is no
        room or the stream does not begin in time, or Unplayable.
    """

    def wait(stream: Stream) -> Deferred[Stream]:
        if stream.tracks or not manager.can_begin(access.key):
            return succeed(stream)
        begun = stream.starting.wait(START_PATIENCE, stream.viewer_count.limit)
        return begun.addCallback(lambda _: stream)

    def let_in(stream: Stream) -> Seat:
        fanout = fanout_of(stream)
        if fanout is None:
            raise NotFound(f"stream {access.key} is not played by RTMP or FLV")
        if fanout.configuration is not None:
            check(fanout.configuration.tracks)
        stream.viewer_count.enter(access.session_id)
        manager.viewer_joined(access)
        return Seat(stream, fanout, access.session_id)

    return manager.subscribe(access).addCallback(wait).addCallback(let_in)


class Writer(Protocol):
    """Sends bytes to a viewer."""

    def write(self, data: bytes) -> None:
        """Send them."""


@implementer(IPushProducer)
class Player(ABC):
    """One viewer of a fan-out: what it gets, and what waits while its transport is full.

    A pause of the transport means to queue. Configurations never wait in the queue: each
    frame knows its own, and is preceded by it where it is another than was sent last.
    """

    protocol: str
    """What it is counted as."""

    def __init__(self, seat: Seat, writer: Writer, form: Form) -> None:
        """Make a player that gets nothing yet.

        Args:
            seat: its place, which it leaves when it is closed.
            writer: sends at once, if it can.
            form: makes the bytes of a frame.
        """
        self.writer = writer
        self.flow: Flow | None = None
        """What it is sent as others are; None where it has frames of its own, in its queue or
        to come."""
        self._form = form
        self._seat = seat
        self._fanout = seat.fanout
        settings = self._fanout.maker.settings
        self._queue: SendQueue[Frame] = SendQueue(settings.queue_bytes, settings.queue_seconds)
        self._configuration: Configuration | None = None  # of what is received
        self._tracks: Sequence[Track] = ()
        self._ids: frozenset[int] = frozenset()  # of the tracks that are wanted
        self._waiting: set[int] = set()  # of those, video that needs a random access point
        self._missed: set[int] = set()  # video not wanted at some time since its last one was sent
        self._sent: Configuration | None = None
        self._last = 0  # number of the frame that was sent last
        self._is_full = False
        self._is_held = False
        self._is_over = False
        self._is_behind = False
        self._skipped = 0
        self._kinds = {"audio": True, "video": True}

    @property
    def frames_dropped(self) -> int:
        """Frames that it was not sent because it read too slowly."""
        return self._queue.dropped + self._skipped

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for it, but those of the fast start."""
        return self._queue.size

    # What its owner says.

    def start(self) -> None:
        """Send the newest GOP, and all that comes from now on."""
        self._fanout.add(self)
        if self._fanout.configuration is not None:
            self._enter(self._fanout.configuration)
        if not self._is_held:
            self._catch_up()

    def hold(self, held: bool) -> None:
        """Send nothing, or go on: with what has come meanwhile, if that is still there."""
        if held is self._is_held:
            return
        if not held:
            self._fanout.flush()  # what follows is sent out of the cache
        self.stop_flowing()
        self._is_held = held
        self._queue.clear()
        if not held:
            self._wait_for_start()
            self._catch_up()

    def want(self, audio: bool, video: bool) -> None:
        """Send only some of the media from here on."""
        self.stop_flowing()
        self._kinds = {"audio": audio, "video": video}
        before = self._ids
        self._set_ids()
        if self._configuration is not None:
            new = (self._ids - before) & self._configuration.video_ids
            self._missed |= new
            self._waiting |= new
            self._waiting &= self._ids

    def close(self) -> None:
        """Send nothing any more."""
        self._is_over = True
        self.flow = None
        self._queue.clear()
        self._fanout.remove(self)
        self._seat.leave()

    # The fan-out's side.

    def receive(self, frames: Sequence[Frame]) -> None:
        """Send frames, or keep them for later, or leave some out. Flow on if nothing is left."""
        for frame in frames:
            self._receive(frame)
        configuration = self._sent
        if (
            configuration is not None
            and configuration is self._configuration
            and not (self._is_held or self._is_full or self._is_over)
            and not (self._waiting or self._queue)
        ):
            self.flow = configuration.flow(self._form, self._ids)

    def stop_flowing(self) -> None:
        """Receive each frame from now on, to see what becomes of it."""
        if self.flow is not None:
            self.flow = None
            self._last = self._fanout.handed

    def end(self) -> None:
        """Send all that waits, and say that it was all."""
        while self._queue and not self._is_over:
            self._send(self._queue.pop())
        if not self._is_over:
            self._ended()

    # The transport's side.

    def pauseProducing(self) -> None:
        """Keep frames: the transport is full."""
        self.stop_flowing()
        self._is_full = True

    def resumeProducing(self) -> None:
        """Send what waits."""
        self._is_full = False
        while self._queue and not self._is_full:
            self._send(self._queue.pop())

    def stopProducing(self) -> None:
        """Forget what waits: the transport is gone. The owner closes the player."""
        self._queue.clear()

    # Inside.

    def _receive(self, frame: Frame) -> None:
        if self._is_held or self._is_over or not self._wants(frame):
            return
        if not (self._is_full or self._queue):
            self._send(frame)
            return
        queue = self._queue
        if not queue.push(frame):
            self._fanout.maker.cut[self.protocol] += 1
            self._cut()
        elif queue.lost_start:
            queue.lost_start = False
            self._is_behind = True
            self._wait_for_start()

    def _wants(self, frame: Frame) -> bool:
        if frame.configuration is not self._configuration:
            self._enter(frame.configuration)
        if frame.track_id not in self._ids:
            return False
        if self._waiting and frame.track_id in self._waiting:
            if not frame.is_random_access:
                self._skipped += self._is_behind
                return False
            self._waiting.discard(frame.track_id)
            self._is_behind = False
        return True

    def _enter(self, configuration: Configuration) -> None:
        """Choose from other tracks than before."""
        self._configuration = configuration
        try:
            self._tracks = self._select(configuration.tracks)
        except Unplayable as error:
            self._tracks = ()
            self._set_ids()
            self._unplayable(str(error))
            return
        self._set_ids()
        self._wait_for_start()

    def _set_ids(self) -> None:
        self._ids = frozenset(t.track_id for t in self._tracks if self._kinds[t.kind])

    def _wait_for_start(self) -> None:
        if self._configuration is not None:
            self._waiting = set(self._ids & self._configuration.video_ids)

    def _catch_up(self) -> None:
        """Send what the cache has that was not sent yet.

        Where some of its GOP was, the rest goes on from there, but for pictures whose first ones
        were not wanted.
        """
        frames = self._fanout.newest_gop()
        if frames and frames[0].number <= self._last and frames[0].configuration is self._sent:
            self._waiting &= self._missed
        wanted = [frame for frame in frames if frame.number > self._last and self._wants(frame)]
        for position, frame in enumerate(wanted):
            if self._is_full:
                self._queue.begin(wanted[position:])
                return
            self._send(frame)

    def _send(self, frame: Frame) -> None:
        configuration = frame.configuration
        if configuration is not self._sent:
            tracks = self._tracks
            if configuration is not self._configuration:  # it waited while that changed
                tracks = self._select(configuration.tracks)
            self._sent = configuration
            self._write_headers(tracks, configuration.headers(tracks, frame.ms))
        if self._missed and frame.is_random_access:
            self._missed.discard(frame.track_id)
        self._last = frame.number
        self._write(self._form(frame))

    # What the ways of playing do each in their own way.

    @abstractmethod
    def _select(self, tracks: Sequence[Track]) -> Sequence[Track]:
        """Choose the tracks to be sent; raise Unplayable."""

    @abstractmethod
    def _write_headers(self, tracks: Sequence[Track], headers: Sequence[Message]) -> None:
        """Send what comes before the first frame of a configuration."""

    @abstractmethod
    def _write(self, data: bytes) -> None:
        """Send a frame with those that follow it."""

    @abstractmethod
    def _ended(self) -> None:
        """Tell that the stream is over."""

    @abstractmethod
    def _unplayable(self, description: str) -> None:
        """End because the stream has codecs now that cannot be taken."""

    @abstractmethod
    def _cut(self) -> None:
        """End because the viewer does not read."""

    @abstractmethod
    def crash(self) -> None:
        """End because of the exception under way, which nobody expected, and log it."""

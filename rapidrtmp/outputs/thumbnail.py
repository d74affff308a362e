"""Thumbnails: the newest key frame as a JPEG, and one for each segment, made when asked for."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import cast

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rapidrtmp.hls.images import Image, image_playlist
from rapidrtmp.interfaces import (
    IMMUTABLE,
    NO_QUERY,
    IHTTPOutput,
    IKeyFrames,
    IMemoryHolder,
    IOutputMaker,
    NotFound,
    NotReady,
    Representation,
)
from rapidrtmp.media.segmentation import CLOCK, Boundary
from rapidrtmp.media.timed import TimedMetadata
from rapidrtmp.media.track import Sample, Track
from rapidrtmp.outputs.files import playlist_file
from rapidrtmp.outputs.pictures import IMAGE_PLAYLIST, IMAGES, decoder_record, picture_size
from rapidrtmp.outputs.retention import AFTER_END
from rapidrtmp.outputs.thumbnail_wire import MAX_SAMPLE
from rapidrtmp.outputs.thumbnail_worker import FATAL, UNDECODABLE, ThumbnailError, ThumbnailWorker
from rapidrtmp.stream.stream import Stream

THUMBNAIL = "thumb.jpg"
JPEG = "image/jpeg"

FRESH = 2.0
"""Seconds for which a picture is new enough, here and in caches."""
MAX_IMAGES = 30
"""Segments of which a picture can be had."""
KEPT = 3
"""Segments that have left the playlist and whose pictures can still be had."""
MAX_WAITING = 1000
"""Requests that wait for one picture."""
BLOCKED = 60.0
"""Seconds without thumbnails for a stream of which one cost the process its life."""
RETRY_AFTER = 2
"""Seconds after which it is worth asking for a picture again."""

NOT_INSTALLED = "thumbnails need PyAV on the server: pip install rapidrtmp[media]"


@dataclass(frozen=True, slots=True)
class ThumbnailSettings:
    """What the thumbnails of all streams have in common."""

    width: int = 320
    """Pixels."""
    max_segments: int = 10
    """Segments that media playlists list."""
    is_private: bool = False
    """Whether not everybody may see them: no shared cache keeps them then."""


class Picture:
    """A key frame, and the JPEG that is made of it when somebody asks."""

    __slots__ = ("fault", "file", "read", "sample", "size", "track", "waiting")

    def __init__(self, sample: Sample, size: tuple[int, int]) -> None:
        self.sample: Sample | None = sample
        """None when it is not needed any more, or can be read."""
        self.read: Callable[[], Deferred[bytes]] | None = None
        """Fetches the sample's payload; None where it has to be kept here."""
        self.track = sample.track
        self.size = size
        self.file: Representation | None = None
        self.fault = ""
        """Why there will be no JPEG."""
        self.waiting: list[Deferred[Representation]] = []

    @property
    def kept_bytes(self) -> int:
        """Bytes of the key frame and of the JPEG, as far as they are kept here."""
        payload = len(self.sample.payload) if self.sample is not None else 0
        return payload + (self.file.size if self.file is not None else 0)


class Segment:
    """One segment's place in the image rendition."""

    __slots__ = ("boundary", "picture", "seconds")

    def __init__(self, boundary: Boundary) -> None:
        self.boundary = boundary
        self.picture: Picture | None = None
        """Of its first sync sample; None where it has none."""
        self.seconds: float | None = None
        """None while it is open."""


@implementer(IHTTPOutput, IMemoryHolder)
class ThumbnailOutput:
    """The pictures of one stream.

    It knows the key frames and has one decoded when somebody wants to see it, one at a time. Those
    that begin a segment are not kept twice: they are read out of it. Sync samples alone: what
    else a decoder can start at shows a damaged picture first.
    """

    _log = Logger()

    def __init__(self, stream: Stream, maker: "ThumbnailMaker") -> None:
        """Make the output of a stream's life."""
        self._stream = stream
        self._maker = maker
        self._clock = maker.clock
        self._track: Track | None = None
        self._size = (0, 0)
        self._delay = 0  # from decoding to presentation, in ticks of CLOCK
        self._newest: Picture | None = None
        self._asked: Picture | None = None
        self._shown: tuple[float, Representation] | None = None
        self._segments: deque[Segment] = deque()
        self._to_do: deque[Picture] = deque()
        self._doing: Picture | None = None
        self._blocked_until = 0.0
        self._has_ended = False

    # The stream's side (IOutput).

    def tracks_changed(self, tracks: Sequence[Track]) -> None:
        """Take the first video track that segments are made of: no other has a decoder record."""
        packaged = (track for track in tracks if track.config.has_sample_entry)
        self._track = next((track for track in packaged if track.kind == "video"), None)
        self._newest = None
        if self._track is not None:
            self._size = picture_size(self._track, self._maker.settings.width)

    def metadata_received(self, metadata: TimedMetadata) -> None:
        """Nothing of it is to be seen in a picture."""

    def segment_started(self, boundary: Boundary) -> None:
        """Complete a segment; forget old ones."""
        self._close_segment(boundary.time)
        self._lend()
        self._segments.append(Segment(boundary))
        while len(self._segments) > self._most + KEPT + 1:
            self._segments.popleft()

    def sample_received(self, sample: Sample) -> None:
        """Keep a key frame. The hot path."""
        if sample.track is not self._track:
            return
        if sample.is_sync and len(sample.payload) <= MAX_SAMPLE:
            self._newest = picture = Picture(sample, self._size)
            self._delay = sample.composition_offset * CLOCK // sample.track.timescale
            if self._segments and self._segments[-1].picture is None:
                self._segments[-1].picture = picture

    def discontinuity(self) -> None:
        """Complete what is open."""
        self._close_segment(self._stream.timeline.end_ms * CLOCK // 1000 + self._delay)

    def ended(self) -> None:
        """Nothing new will come; what the playlist lists can be had a while longer."""
        self._has_ended = True
        self._newest = None
        self._shown = None
        seconds = sum(segment.seconds or 0.0 for segment in self._segments)
        self._clock.callLater(AFTER_END + seconds, self._segments.clear)

    def close(self) -> Deferred[None]:
        """Nothing is kept."""
        return succeed(None)

    def memory(self) -> Mapping[str, int]:
        """Tell how many bytes are kept in memory. See `IMemoryHolder`."""
        pictures = [segment.picture for segment in self._segments if segment.picture is not None]
        return {"thumbnails": sum(picture.kept_bytes for picture in pictures)}

    def _close_segment(self, end: int) -> None:
        if self._segments and self._segments[-1].seconds is None:
            segment = self._segments[-1]
            segment.seconds = max(0, end - segment.boundary.time) / CLOCK

    def _lend(self) -> None:
        """Let go of the key frames that others have by now."""
        lenders = [IKeyFrames(each) for each in self._stream.outputs if IKeyFrames.providedBy(each)]
        for segment in self._segments:
            picture = segment.picture
            if picture is None or picture.sample is None:
                continue
            sequence = segment.boundary.sequence
            for lender in lenders:
                picture.read = picture.read or lender.key_frame(sequence, picture.sample)
            if picture.read is not None:
                picture.sample = None

    # The viewers' side (IHTTPOutput).

    def representation(
        self, path: tuple[str, ...], query: Mapping[str, Sequence[str]] = NO_QUERY
    ) -> Representation | Deferred[Representation]:
        """Find a picture, or have it made; or the playlist of pictures."""
        life = self._stream.life
        match path:
            case (name,) if name == THUMBNAIL:
                return self._thumbnail()
            case (where, name) if (where, name) == (life, IMAGE_PLAYLIST):
                return self._playlist()
            case (where, directory, name) if (where, directory) == (life, IMAGES):
                self._must_be_installed()
                for segment in self._segments:
                    picture = segment.picture
                    if picture is not None and name == f"{segment.boundary.sequence}.jpg":
                        if picture.fault:
                            raise NotFound(f"no thumbnail: {picture.fault}")
                        return self._made(picture)
        raise NotFound("no such file in this stream")

    def _thumbnail(self) -> Representation | Deferred[Representation]:
        """Return the newest picture; where there is one that is new enough, that."""
        self._must_be_installed()
        if self._has_ended:
            raise NotFound("the stream has ended")
        if self._track is None and self._stream.tracks:
            raise NotFound("the stream has no video of which thumbnails are made")
        newest = self._newest
        if self._shown is not None:
            made_at, shown = self._shown
            if newest is None or 0 <= self._clock.seconds() - made_at < FRESH:
                return shown
        if newest is None:
            raise NotReady("the stream has no key frame yet", RETRY_AFTER)
        if newest.file is not None:
            return self._show(newest.file)
        if self._asked is None or not self._asked.waiting:
            self._asked = newest
        if self._asked.fault:
            raise NotReady(f"no thumbnail: {self._asked.fault}", RETRY_AFTER)
        made = self._made(self._asked)
        return made if isinstance(made, Representation) else made.addCallback(self._show)

    def _show(self, file: Representation) -> Representation:
        """Describe a picture at an address where there will be others."""
        who = "private" if self._maker.settings.is_private else "public"
        cache_control = f"{who}, max-age={FRESH:.0f}"
        etag = blake2b(file.body, digest_size=8).hexdigest()
        shown = Representation(file.body, JPEG, cache_control, etag)
        self._shown = self._clock.seconds(), shown
        return shown

    def _playlist(self) -> Representation:
        self._must_be_installed()
        complete = [segment for segment in self._segments if segment.seconds is not None]
        target = self._stream.segmentation.target_duration
        if not any(segment.picture for segment in complete) or target is None:
            raise NotReady("the stream has no thumbnail yet", RETRY_AFTER)
        images = [self._image(segment) for segment in complete[-self._most :]]
        base = f"../{self._stream.life}/"
        body = image_playlist(images, base=base, target_duration=target, ended=self._has_ended)
        return playlist_file(body)

    @property
    def _most(self) -> int:
        """Segments that the playlist lists."""
        return min(self._maker.settings.max_segments, MAX_IMAGES)

    def _image(self, segment: Segment) -> Image:
        boundary = segment.boundary
        assert segment.seconds is not None
        return Image(
            boundary.sequence,
            f"{IMAGES}/{boundary.sequence}.jpg",
            segment.seconds,
            boundary.wall,
            boundary.discontinuity,
            boundary.is_discontinuity,
            segment.picture.size if segment.picture is not None else None,
        )

    def _must_be_installed(self) -> None:
        if self._maker.worker is None:
            raise NotFound(NOT_INSTALLED)

    # Having them made.

    def _made(self, picture: Picture) -> Representation | Deferred[Representation]:
        """Return a picture's JPEG; have it made if nobody has asked for it."""
        if picture.file is not None:
            return picture.file
        if (left := self._blocked_until - self._clock.seconds()) > 0:
            raise NotReady("the thumbnails of this stream cannot be made", int(left) + 1)
        if len(picture.waiting) >= MAX_WAITING:
            raise NotReady("too many requests for this thumbnail", RETRY_AFTER)
        waiting: Deferred[Representation] = Deferred(picture.waiting.remove)
        picture.waiting.append(waiting)
        if picture is not self._doing and picture not in self._to_do:
            self._to_do.append(picture)
            self._work()
        return waiting

    def _work(self) -> None:
        """Have the next picture made that somebody still waits for."""
        while self._doing is None and self._to_do:
            picture = self._to_do.popleft()
            if not picture.waiting:
                continue
            self._doing = picture
            done = maybeDeferred(self._read, picture)
            # unread: the segment is gone, or storage does not answer
            done.addCallbacks(self._make, lambda _: None, (picture,))
            done.addErrback(self._failed, picture)
            done.addBoth(self._done, picture)

    def _done(self, _: object, picture: Picture) -> None:
        """Whatever became of a picture, the next one has its turn."""
        self._doing = None
        self._refuse(picture)
        self._work()

    def _read(self, picture: Picture) -> Deferred[bytes | memoryview]:
        """Fetch a key frame."""
        if picture.sample is not None:
            return succeed(picture.sample.payload)
        assert picture.read is not None
        return cast("Deferred[bytes | memoryview]", picture.read())

    def _make(self, payload: bytes | memoryview, picture: Picture) -> Deferred[None]:
        worker = self._maker.worker
        assert worker is not None
        codec, record = picture.track.codec, decoder_record(picture.track)
        made = worker.make(codec, record, payload, picture.size)
        return made.addCallback(self._succeeded, picture)

    def _succeeded(self, body: bytes, picture: Picture) -> None:
        etag = blake2b(body, digest_size=8).hexdigest()
        picture.file = Representation(body, JPEG, IMMUTABLE, etag)
        picture.sample = picture.read = None
        while picture.waiting:
            picture.waiting.pop(0).callback(picture.file)

    def _failed(self, failure: Failure, picture: Picture) -> None:
        error = failure.value
        reason = error.reason if isinstance(error, ThumbnailError) else ""
        if reason == UNDECODABLE:
            picture.fault = "there is none to be had of the key frame"
            picture.sample = picture.read = None
        elif reason in FATAL:
            # Were it asked for again and again, no other stream would get a picture.
            self._blocked_until = self._clock.seconds() + BLOCKED
            for other in self._to_do:
                self._refuse(other)
            self._to_do.clear()
        elif not reason:
            picture.fault = "an internal error came up"  # and would again, with each request
            picture.sample = picture.read = None
            self._log.failure("stream {key}: a thumbnail fails", failure, key=self._stream.key)

    def _refuse(self, picture: Picture) -> None:
        while picture.waiting:
            words = "no thumbnail could be made"
            picture.waiting.pop(0).errback(NotReady(words, RETRY_AFTER))


@implementer(IOutputMaker)
class ThumbnailMaker:
    """Makes the thumbnail output of each stream."""

    def __init__(
        self, clock: IReactorTime, settings: ThumbnailSettings, worker: ThumbnailWorker | None
    ) -> None:
        """Make a maker.

        Args:
            clock: tells the time.
            settings: may be replaced at any time.
            worker: makes the pictures of all streams; None where PyAV is not installed.
        """
        self.clock = clock
        self.settings = settings
        self.worker = worker

    def make(self, stream: object) -> ThumbnailOutput:
        """Make the output of a new stream."""
        assert isinstance(stream, Stream)
        return ThumbnailOutput(stream, self)

"""FLV tags, as RTMP messages carry them, to tracks and samples."""

from rapidrtmp.flv import script, tag
from rapidrtmp.flv.audio_demuxer import AudioDemuxer
from rapidrtmp.flv.losses import Losses
from rapidrtmp.flv.video_demuxer import VideoDemuxer
from rapidrtmp.media.codec import CodecRegistry
from rapidrtmp.media.timed import ScriptMessage
from rapidrtmp.media.timeline import Unwrapper
from rapidrtmp.media.track import Sample, Track


class Demuxer:
    """Turns the media messages of one publication into samples.

    Nothing that a message holds makes it raise: what cannot be used is dropped and counted.
    Track `n` of Enhanced RTMP, 0 where none is named, has the `track_id` 1 + 2n as video and
    2 + 2n as audio.
    """

    def __init__(self, registry: CodecRegistry) -> None:
        """Make a demuxer.

        Args:
            registry: the codecs that it can make tracks of.
        """
        self.tracks: tuple[Track, ...] = ()
        """Video first, then by `track_id`. Another tuple object at each change, and only then."""
        self.metadata: dict[str, script.Scalar] = {}
        """The newest onMetaData: hints for people."""
        self.script: tuple[int, ScriptMessage] | None = None
        """What the newest message said to the viewers, and when: unwrapped ms. None where it was
        something else than a data message of that kind; media leaves it alone."""
        self._losses = Losses()
        self.dropped = self._losses.dropped
        """What was left out or put right, by reason: see `Losses`."""
        self.unsupported = self._losses.unsupported
        """What was refused, for people: 'VVC (vvc1)', 'Speex (11)'."""
        self._unwrapper = unwrapper = Unwrapper()
        self._video = VideoDemuxer(registry, unwrapper, self._losses, self._collect)
        self._audio = AudioDemuxer(registry, unwrapper, self._losses, self._collect)

    def receive(self, type_id: int, timestamp: int, payload: bytes | memoryview) -> list[Sample]:
        """Take one message.

        Args:
            type_id: 8 audio, 9 video, 15 and 18 data; others are ignored.
            timestamp: the message's, 32 bit, in ms.
            payload: the tag body. The samples' payloads are views into it, as a rule.

        Returns:
            The samples in it: none or one; with Multitrack one for each track. Their times
            are the publisher's, unwrapped.
        """
        if type_id == tag.VIDEO:
            return self._video.receive(timestamp, memoryview(payload)) if payload else []
        if type_id == tag.AUDIO:
            return self._audio.receive(timestamp, payload) if payload else []
        if type_id in (tag.AMF0_DATA, tag.AMF3_DATA):
            self._receive_script(type_id, timestamp, payload)
        return []

    def _collect(self) -> None:
        """Put together the tracks that there are now."""
        self.tracks = (*self._video.tracks(), *self._audio.tracks())

    def _receive_script(self, type_id: int, timestamp: int, octets: bytes | memoryview) -> None:
        self.script = None
        try:
            found = script.parse_data(type_id, octets)
        except script.ScriptError:
            return self._losses.drop("data")
        if isinstance(found, ScriptMessage):
            self.script = (self._unwrapper.nearest(timestamp), found)
        elif found is not None:
            self.metadata = found.values
            self._video.set_hints(found.video_tracks)
            self._audio.set_hints(found.audio_tracks)
        return None

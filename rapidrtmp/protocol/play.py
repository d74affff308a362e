"""RTMP players."""

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IConsumer

from rapidrtmp.flv.muxer import Message
from rapidrtmp.media.track import Track
from rapidrtmp.protocol.direct_writer import DirectWriter
from rapidrtmp.protocol.fanout import RTMP, Frame
from rapidrtmp.protocol.player import Player, Seat, playable
from rapidrtmp.rtmp.capabilities import Capabilities
from rapidrtmp.rtmp.events import PlayPaused, PlayRequested, ReceiveChanged
from rapidrtmp.rtmp.media_encoder import FIRST_MESSAGE_STREAM, MediaEncoder


class RTMPPlayer(Player):
    """A client of RTMP that plays.

    Args:
        seat: its place.
        request: what it asked for.
        transport: of its connection.
        ended: called when the stream is over.
        unplayable: called, with plain words, when it cannot take what the stream has become.
        cut: called when it does not read.
        crashed: called when it raised what nobody expected.
    """

    protocol = RTMP

    def __init__(
        self,
        seat: Seat,
        request: PlayRequested,
        transport: IConsumer,
        ended: Callable[[], None],
        unplayable: Callable[[str], None],
        cut: Callable[[], None],
        crashed: Callable[[], None],
    ) -> None:
        is_usual = request.message_stream_id == FIRST_MESSAGE_STREAM
        form = Frame.chunks if is_usual else self._chunks
        super().__init__(seat, DirectWriter(transport), form)
        self._capabilities: Capabilities = request.capabilities
        self._transport = transport
        self._tell_ended = ended
        self._tell_unplayable = unplayable
        self._tell_cut = cut
        self._tell_crashed = crashed
        self._encoder = MediaEncoder(request.message_stream_id)

    def change(self, event: PlayPaused | ReceiveChanged) -> None:
        """Do as the client wants from here on."""
        if isinstance(event, PlayPaused):
            self.hold(event.paused)
        else:
            self.want(event.audio, event.video)

    def _select(self, tracks: Sequence[Track]) -> Sequence[Track]:
        return playable(tracks, self._capabilities)

    def _write_headers(self, tracks: Sequence[Track], headers: Sequence[Message]) -> None:
        self._transport.write(b"".join(self._encoder.encode(*header) for header in headers))

    def _chunks(self, frame: Frame) -> bytes:
        """Return the chunks for this player alone, which has another message stream."""
        return self._encoder.encode(*frame.message())

    def _write(self, data: bytes) -> None:
        self._transport.write(data)

    def _ended(self) -> None:
        self._tell_ended()

    def _unplayable(self, description: str) -> None:
        self._tell_unplayable(description)

    def _cut(self) -> None:
        self._tell_cut()

    def crash(self) -> None:
        """End the connection."""
        self._tell_crashed()

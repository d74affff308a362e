"""Which closed captions are in a video: CEA-608 channels and CEA-708 services.

The bytes are those of ``cc_data()`` (ANSI/SCTE 128 section 8.2, A/53 part 4 section 6.2.3),
which the codec's configuration takes out of its access units; they are looked through, not
decoded.
"""

from collections.abc import Iterable, Sequence

from rapidrtmp.media.codec import VideoConfig
from rapidrtmp.media.track import Sample

_LINE_21 = (0, 1)
"""cc_type of field 1 and 2: CEA-608."""
_PACKET_START = 3
"""The other cc_type, 2, goes on with the packet: CEA-708."""
_CAPTIONING = frozenset((0x20, 0x25, 0x26, 0x27, 0x29, 0x2F))
"""Resume caption loading, roll-up captions, resume direct captioning, end of caption
(CEA-608 annex B): what begins every caption, and no text service."""
_ITU_T35 = b"\xb5\x00\x31GA94\x03"
"""United States, ATSC, ATSC1_data, cc_data."""
_SIGHTINGS = 2
"""A service is there when it was seen so often: data may be damaged, or out of order."""


def cc_data(user_data: bytes) -> bytes:
    """Return the caption triplets of user data registered by ITU-T T.35; b'' for other data.

    Args:
        user_data: from its country code on, without emulation prevention bytes.
    """
    start = len(_ITU_T35) + 2
    if not user_data.startswith(_ITU_T35) or len(user_data) < start:
        return b""
    flags = user_data[start - 2]
    if not flags & 0x40:  # process_cc_data_flag
        return b""
    return user_data[start : start + 3 * (flags & 0x1F)]


class CaptionServices:
    """Finds out which caption services a video has."""

    __slots__ = ("_need", "_packet", "_seen", "names")

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        """INSTREAM-ID of each (RFC 8216bis 4.4.6.1): CC1 to CC4, SERVICE1 to SERVICE63. None
        goes away."""
        self._seen: dict[str, int] = {}
        self._packet = bytearray()
        self._need = 0

    def look(self, samples: Sequence[Sample]) -> None:
        """Look through samples of one track, in decoding order; others than video have none."""
        config = samples[0].track.config
        if config.kind != "video":
            return
        find = VideoConfig(config).captions
        found = [
            (sample.dts + sample.composition_offset, data)
            for sample in samples
            if (data := find(sample.payload))
        ]
        for _, data in sorted(found):  # captions come in the order of presentation
            self.feed(data)

    def feed(self, triplets: bytes) -> None:
        """Take the next triplets of ``cc_data()``."""
        for position in range(0, len(triplets) - 2, 3):
            head, first, second = triplets[position : position + 3]
            kind = head & 3
            if not head & 4:  # cc_valid
                continue
            if kind in _LINE_21:
                self._line_21(kind, first, second)
            else:
                self._packet_bytes(kind, first, second)

    def _line_21(self, field: int, first: int, second: int) -> None:
        if not (first.bit_count() & second.bit_count() & 1):  # odd parity
            return
        first, second = first & 0x7F, second & 0x7F
        # Miscellaneous control codes; bit 3 is the second channel of the field.
        if first & 0x76 == 0x14 and second in _CAPTIONING:
            self._found(f"CC{1 + 2 * field + (first >> 3 & 1)}")

    def _packet_bytes(self, kind: int, first: int, second: int) -> None:
        if kind == _PACKET_START:
            size = first & 0x3F
            self._need = 2 * size if size else 128
            self._packet.clear()
        elif not self._need:
            return
        self._packet += bytes((first, second))
        if len(self._packet) >= self._need:
            for number in _services(bytes(self._packet[1:])):
                self._found(f"SERVICE{number}")
            self._need = 0

    def _found(self, name: str) -> None:
        seen = self._seen[name] = self._seen.get(name, 0) + 1
        if seen == _SIGHTINGS:
            self.names = tuple(sorted((*self.names, name), key=_order))


def captions_in(videos: Iterable[CaptionServices]) -> list[str]:
    """Return the names of all services that are in any of several videos."""
    return sorted({name for video in videos for name in video.names}, key=_order)


def _order(name: str) -> tuple[bool, int]:
    is_708 = name.startswith("SERVICE")
    return is_708, int(name.removeprefix("SERVICE" if is_708 else "CC"))


def _services(blocks: bytes) -> set[int]:
    """Return the numbers of the services with a block in a packet; none of a broken one."""
    found: set[int] = set()
    position = 0
    while position < len(blocks):
        number, size = blocks[position] >> 5, blocks[position] & 0x1F
        position += 1
        if not number:  # the rest is padding
            break
        if number == 7 and size:
            if position == len(blocks):
                return set()
            number = blocks[position] & 0x3F
            position += 1
            if number < 7:
                return set()
        position += size
        if position > len(blocks):
            return set()
        if size:
            found.add(number)
    return found

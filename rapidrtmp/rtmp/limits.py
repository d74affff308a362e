"""What one RTMP connection may ask for: every limit of the protocol core in one place."""

from dataclasses import dataclass, field

from rapidrtmp.amf.reader import Limits as AMFLimits


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one connection. Sizes in bytes; each is checked before anything is kept."""

    min_chunk_size: int = 128
    """Smaller chunks are legal, but cost more than they carry: no encoder sends them."""
    chunk_streams: int = 64
    """Encoders use 2 to 6; cameras with one for each kind of message stay under 40."""
    message: int = 10 * 1024 * 1024
    """One message of an accepted publisher: a 4K key frame has 1 to 4 MiB."""
    message_before_publish: int = 128 * 1024
    """One message of somebody who has proven nothing yet: commands have under 4 KiB."""
    partial_bytes: int = 16 * 1024 * 1024
    """Memory of the unfinished messages on all chunk streams: the longest message in the
    smallest chunks, and some small ones."""
    partial_bytes_before_publish: int = 1024 * 1024
    """The same of somebody who has proven nothing yet, and may have a hundred connections."""
    message_streams: int = 16
    """Message streams open at a time; one is usual."""
    plays: int = 16
    """Play commands on one connection, one after the other: each asks the owner for a decision
    and for a start of the stream. Players send one."""
    messages_per_second: int = 1000
    """Messages in any one second; a start-up has about twenty. Some take one byte on the wire,
    but all take their time. Not counted are an accepted publisher's audio and video, and pings,
    of which one in a read is answered."""
    aggregated_messages: int = 1000
    """Messages in one aggregate; those behind are dropped. Real ones hold some tens."""
    media_before_publish: int = 1024 * 1024
    """Media dropped while nothing is published: clients that do not wait for the answer."""
    metadata: int = 64 * 1024
    """One data message (onMetaData and its like); a larger one is dropped."""
    waiting_bytes: int = 256 * 1024
    """What may still arrive while a request is being decided: some reads of 64 KiB."""
    amf: AMFLimits = field(default_factory=AMFLimits)
    """What one command may hold."""

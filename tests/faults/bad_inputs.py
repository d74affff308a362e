"""Bad inputs as plain bytes: what a client sends to an RTMP server from its first byte on."""

from collections.abc import Callable, Iterator, Mapping

from rapidrtmp.amf import amf0
from tests.codecs.builders import SPS, avcc, pps, prefixed
from tests.faults.case import AAC, AVC, CONNECT, CREATE, KEY_FRAME, audio, video
from tests.rtmp.wire import C0_C1, HANDSHAKE, basic, call, chunks, control

MIB = 1 << 20
CLIENT_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(192)


def _publish(key: str = "bad") -> bytes:
    return HANDSHAKE + CONNECT + CREATE + call("publish", 3.0, None, key, "live", msid=1)


def _live(*messages: bytes) -> bytes:
    return _publish() + video(AVC, 0) + audio(AAC, 0) + b"".join(messages)


def _command(payload: bytes) -> bytes:
    return b"".join(chunks(payload, csid=3, type_id=20, msid=0))


def _nested(depth: int) -> bytes:
    return b"\x0a\0\0\0\x01" * depth + b"\x05"


def _partials() -> bytes:
    begun = [chunks(bytes(60_000), csid=c, size=60_000, length=9 * MIB)[0] for c in range(9, 29)]
    more = b"".join(basic(3, csid) + bytes(60_000) for csid in range(9, 29))
    return _publish() + control(1, 60_000) + b"".join(begun) + 20 * more


def _many_chunk_streams() -> bytes:
    return _publish() + b"".join(
        b"".join(chunks(b"x", csid=csid, type_id=8)) for csid in range(64, 65600)
    )


INPUTS: Mapping[str, Callable[[], bytes]] = {
    "A3 version 6 in C0": lambda: b"\x06" + HANDSHAKE[1:],
    "A4 a TLS ClientHello": lambda: CLIENT_HELLO,
    "A5 an HTTP request": lambda: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "A1 half a handshake": lambda: C0_C1,
    "A10 1 MiB of junk behind the handshake": lambda: HANDSHAKE + b"\xf7\x3a\x91" * (MIB // 3),
    "A17 Set Chunk Size 0": lambda: _publish() + control(1, 0),
    "A17 Set Chunk Size with its top bit": lambda: _publish() + control(1, 0x80000001),
    "A18 Set Chunk Size 1": lambda: _publish() + control(1, 1),
    "A19 Set Chunk Size 2 GiB, 10 MiB begun": lambda: (
        _publish() + control(1, 0x7FFFFFFF) + chunks(b"x", csid=9, length=10 * MIB)[0]
    ),
    "A22 a message of 16 MiB before publish": lambda: (
        HANDSHAKE + CONNECT + chunks(bytes(128), csid=9, length=0xFFFFFF)[0]
    ),
    "A23 twenty messages of 9 MiB begun": _partials,
    "A24 65536 chunk streams": _many_chunk_streams,
    "A25 type 3 first": lambda: _publish() + basic(3, 33) + b"x" * 128,
    "A27 a header inside a message": lambda: (
        _publish()
        + chunks(bytes(128), csid=9, length=300)[0]
        + chunks(bytes(128), csid=9, length=200_000)[0]
    ),
    "A34 Abort of 3 bytes": lambda: (
        _publish() + b"".join(chunks(b"\0\0\4", csid=2, type_id=2, msid=0))
    ),
    "A36 a window of 0": lambda: _live(control(5, 0), video(KEY_FRAME, 0)),
    "A38 100,000 pings": lambda: (
        _publish() + 100_000 * b"".join(chunks(b"\0\6abcd", csid=2, type_id=4, msid=0))
    ),
    "A40 unknown message types": lambda: _live(
        *(b"".join(chunks(b"x" * 20, csid=5, type_id=kind)) for kind in (0, 7, 12, 21, 255))
    ),
    "A45 AMF 20,000 deep": lambda: (
        HANDSHAKE + _command(amf0.encode("connect", 1.0) + _nested(20_000))
    ),
    "A47 an array of 2^32 - 1 elements": lambda: (
        HANDSHAKE + _command(amf0.encode("connect", 1.0) + b"\x0a\xff\xff\xff\xff\x05")
    ),
    "A47 a string that is longer than the message": lambda: (
        HANDSHAKE + _command(amf0.encode("connect", 1.0) + b"\x02\xff\xffabc")
    ),
    "A48 a reference to itself": lambda: (
        HANDSHAKE + _command(amf0.encode("connect", 1.0) + b"\x03\0\1a\x07\0\0\0\0\x09")
    ),
    "A52 publish before connect": lambda: (
        HANDSHAKE + CREATE + call("publish", 3.0, None, "bad", "live", msid=1)
    ),
    "A63 the key ../../etc/x": lambda: _publish("../../etc/x"),
    "A63 a key of 10 KB": lambda: _publish("k" * 10_000),
    "A63 no key": lambda: _publish(""),
    "A66 createStream 10,000 times": lambda: HANDSHAKE + CONNECT + 10_000 * CREATE,
    "A69 metadata of 1 MiB": lambda: _live(
        b"".join(chunks(amf0.encode("@setDataFrame", "onMetaData", "x" * MIB), type_id=18))
    ),
    "A70 50,000 commands": lambda: HANDSHAKE + CONNECT + 50_000 * call("what", 5.0),
    "A73 messages of 0, 1, 2, 4 bytes": lambda: _live(
        *(video(bytes(n), n) + audio(bytes(n), n) for n in (0, 1, 2, 4))
    ),
    "A77 a configuration that is cut short": lambda: (
        _publish() + video(b"\x17\0\0\0\0" + avcc([SPS().nal_unit()], [pps()])[:9], 0)
    ),
    "A80 NAL units that are too long": lambda: _live(
        video(b"\x17\1\0\0\0" + b"\xff\xff\xff\xff\x65\x88", 0),
        video(b"\x17\1\0\0\0" + prefixed(b"\x65\x88\x84")[:-1], 40),
    ),
    "A91 a time of 2^32 - 1": lambda: _live(video(KEY_FRAME, 0), video(KEY_FRAME, 0xFFFFFFFF)),
    "A101 a key frame of 9.9 MiB": lambda: _live(
        video(b"\x17\1\0\0\0" + prefixed(b"\x65" + bytes(99 * MIB // 10)), 0)
    ),
}
"""By their case of the catalogue, and what they are. All of them publish the key ``bad``."""


def all_inputs() -> Iterator[tuple[str, bytes]]:
    """Yield names and bytes, each with a key of its own: who broke a rule may not be back soon."""
    for number, (name, make) in enumerate(INPUTS.items()):
        yield name, make().replace(b"\x02\0\x03bad", b"\x02\0\x03%03d" % number)

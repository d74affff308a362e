"""What the fuzzer starts from: sound input of every kind, made by the tests' builders."""

from rapidrtmp.amf import amf0, amf3
from rapidrtmp.amf.values import ECMAArray, Value
from rapidrtmp.flv import enhanced
from rapidrtmp.flv.enhanced import AV01, AVC1, HVC1, ExTag, Part, fourcc
from tests.codecs.builders import ASC, SPS, VUI, avcc, pps, prefixed
from tests.codecs.sound_builders import (
    MP3Frame,
    ac3_frame,
    eac3_frame,
    flac_frame,
    opus_head,
    streaminfo,
)
from tests.codecs.video_builders import (
    H265SPS,
    AV1Sequence,
    VP9Frame,
    av1c,
    h265_pps,
    h265_vps,
    hvcc,
    obu,
    vp8_key_frame,
    vpcc,
)
from tests.judge.model import JOIN, files, multivariant, playlist, rendition
from tests.rtmp.wire import HANDSHAKE, call, chunks, control

SUCCESS: Value = {"level": "status", "code": "NetConnection.Connect.Success"}

AVC = avcc([SPS(vui=VUI(timing=(1, 50), colour=(9, 16, 9))).nal_unit()], [pps()])
HVC = hvcc((0xA0, [h265_vps()]), (0xA1, [H265SPS().nal_unit()]), (0xA2, [h265_pps()]))
AV1 = av1c(obu(1, AV1Sequence().octets()))
IDR = prefixed(b"\x06\x05\x01a\x80", b"\x65\x88\x84\x21")
INTER = prefixed(b"\x41\x9a\x24")
VIDEO = (
    (AVC1, AVC, IDR),
    (HVC1, HVC, prefixed(b"\x26\x01" + bytes(range(1, 40)))),
    (AV01, AV1, obu(6, b"\x10" + bytes(range(40)))),
    (fourcc("vp08"), vpcc(), vp8_key_frame(640, 360)),
    (fourcc("vp09"), vpcc(), VP9Frame().octets()),
)
"""FourCC, record and key frame."""
AUDIO = (
    (fourcc("mp4a"), ASC().octets(), b"\x21\x00"),
    (fourcc("Opus"), opus_head(), b"\xfc\0"),
    (fourcc("fLaC"), streaminfo(), flac_frame(12)),
    (fourcc("ac-3"), ac3_frame(), ac3_frame()),
    (fourcc("ec-3"), eac3_frame(), eac3_frame()),
    (fourcc(".mp3"), MP3Frame().octets(), MP3Frame().octets()),
)
METADATA = amf0.encode(
    "@setDataFrame",
    "onMetaData",
    ECMAArray({"width": 1280.0, "videocodecid": "avc1", "encoder": "OBS", "stereo": True}),
)
COLOR = amf0.encode("colorInfo", {"colorConfig": {"colorPrimaries": 9.0}})


def message(type_id: int, body: bytes, time: int = 0) -> bytes:
    """Return a message in the form of the target `demuxer`."""
    kind = (8, 9, 18, 15).index(type_id)
    return bytes((kind, time)) + len(body).to_bytes(2, "big") + body


def publications() -> list[bytes]:
    """Return streams of each codec, for the target `demuxer`."""
    found = [
        message(18, METADATA)
        + message(9, b"\x17\0\0\0\0" + AVC)
        + message(8, b"\xaf\0" + ASC().octets())
        + message(9, b"\x17\1\0\0\x28" + IDR, 1)
        + message(8, b"\xaf\1\x21\x00", 1)
        + message(9, b"\x27\1\0\0\0" + INTER, 40)
        + message(9, b"\x17\1\0\0\0" + b"\0\0\0\1\x65\x88\0\0\1\x68\xce", 40)
        + message(8, b"\x2f" + MP3Frame().octets())
        + message(9, b"\x1c\0\0\0\0" + HVC)
        + message(9, b"\x17\2\0\0\0")
    ]
    for codec, record, frame in VIDEO:
        found.append(
            message(9, enhanced.video_header(0, codec, 1) + record)
            + message(9, enhanced.video_header(1, codec, 1) + frame, 10)
            + message(9, enhanced.video_header(4, codec, 1) + COLOR)
            + message(9, enhanced.video_header(3, codec, 1) + frame, 10)
            + message(9, enhanced.video_header(1, codec, 2, 5, 3) + frame, 10)
        )
    for codec, record, frame in AUDIO:
        found.append(
            message(8, enhanced.audio_header(0, codec) + record)
            + message(8, enhanced.audio_header(1, codec) + frame, 10)
            + message(8, enhanced.audio_header(4, codec) + b"\1\2\0\0\0\3")
            + message(8, enhanced.audio_header(1, codec, 2) + frame, 10)
        )
    many = [Part(track, codec, record) for track, (codec, record, _) in enumerate(VIDEO)]
    frames = [Part(track, codec, frame) for track, (codec, _, frame) in enumerate(VIDEO)]
    found.append(
        message(9, enhanced.build_video(ExTag(0, many, 1, 0, 2)))
        + message(9, enhanced.build_video(ExTag(1, frames, 1, 500_000, 2)), 20)
    )
    return found


def server() -> list[bytes]:
    """Return whole clients: publishers and a player."""
    app: dict[str, Value] = {
        "app": "live",
        "tcUrl": "rtmp://h/live",
        "fourCcList": ["av01", "hvc1", "*"],
        "videoFourCcInfoMap": {"*": 7.0},
        "capsEx": 15.0,
    }
    hello = b"\0" + HANDSHAKE + control(1, 4096)
    connect = call("connect", 1.0, app, size=4096)
    publish = (
        call("releaseStream", 2.0, None, "key")
        + call("FCPublish", 3.0, None, "key")
        + call("createStream", 4.0, None)
        + call("publish", 5.0, None, "key?token=t", "live", msid=1, csid=4)
    )
    media = b"".join(
        chunks(METADATA, type_id=18, size=4096)
        + chunks(b"\x17\0\0\0\0" + AVC, time=0xFFFFFF, size=4096)
        + chunks(b"\xaf\0\x11\x90", fmt=1, type_id=8, size=4096)
        + chunks(b"\x17\1\0\0\0" + IDR, fmt=1, time=40, size=4096)
        + chunks(b"", fmt=3, csid=4)
        + chunks(b"\x08\0\0\1" + bytes(7) + b"a" + bytes(4), type_id=22, csid=70)
    )
    end = call("FCUnpublish", 6.0, None, "key") + call("deleteStream", 7.0, None, 1.0)
    controls = (
        control(5, 100_000)
        + control(3, 9)
        + control(2, 6)
        + b"".join(chunks(b"\0\6time", csid=2, type_id=4, msid=0))
        + b"".join(chunks(b"\0" + amf0.encode("hello", 8.0), csid=3, type_id=17, msid=0))
    )
    play = (
        call("createStream", 2.0, None)
        + call("play", 3.0, None, "key", -2.0, msid=1)
        + call("pause", 0.0, None, True, 0.0, msid=1)
        + call("receiveVideo", 0.0, None, False, msid=1)
        + call("closeStream", 0.0, None, msid=1)
    )
    return [
        hello + connect + publish + media + end,
        hello + connect + controls + publish + media,
        b"\x05" + hello[1:] + connect + play,
    ]


def client() -> list[bytes]:
    """Return whole servers, as a publisher and as a player see them."""
    hello = HANDSHAKE + control(5, 2_500_000) + control(1, 4096)
    hello += b"".join(chunks(b"\0\x26\x25\xa0\2", csid=2, type_id=6, msid=0))
    hello += call("_result", 1.0, {"fmsVer": "x"}, SUCCESS, size=4096)
    found = []
    for first, code in ((1, "NetStream.Publish.Start"), (0, "NetStream.Play.Start")):
        status: Value = {"level": "status", "code": code}
        found.append(
            bytes((first,))
            + hello
            + call("_result", 4.0, None, 1.0)
            + call("onStatus", 0.0, None, status, msid=1, size=4096)
            + b"".join(chunks(b"\x17\0\0\0\0" + AVC, size=4096))
            + call("onBWDone", 0.0, None)
            + call("close", 0.0, None)
        )
    return found


def records() -> list[bytes]:
    """Return each record with a frame behind it."""
    return [
        len(record).to_bytes(2, "big") + record + frame for _, record, frame in (*VIDEO, *AUDIO)
    ] + [len(AVC).to_bytes(2, "big") + AVC + b"\0\0\0\1\x67\x42\0\0\1\x65\x88\x84"]


def amf() -> list[bytes]:
    """Return messages of AMF0 and AMF3."""
    value: Value = {"a": 1.0, "b": [None, True, "x" * 40], "c": {"d": ECMAArray({"0": "e"})}}
    return [
        METADATA,
        amf0.encode("connect", 1.0, value),
        amf3.encode("connect", 1.0, value, value),
        b"\x11" + amf3.encode(value),
    ]


def chunk() -> list[bytes]:
    """Return chunk streams in the form of the target `chunk`: two bytes, then chunks."""
    return [
        b"\x05\x7f"
        + b"".join(chunks(bytes(300), time=time) + chunks(b"x" * 200, fmt=1, time=3, csid=4))
        for time in (0, 40, 0xFFFFFF, 0x1000000)
    ] + [b"\x02\x7f" + b"".join(chunks(b"ab", csid=csid, form=3)) for csid in (64, 319, 65599)]


def judge_playlist() -> list[bytes]:
    """Return playlists over reloads, with a null byte between."""
    reloads = [playlist("video", JOIN + 0.2 * n, skip=n == 3, window=3) for n in range(4)]
    return ["\0".join(reloads).encode(), multivariant().encode()]


def judge_media() -> list[bytes]:
    """Return an initialization section and the beginning of a segment, of each track."""
    found = []
    for name in ("video", "audio"):
        init = files()[f"{name}/init-0.mp4"]
        body = b"".join(part.body for part in rendition(name)[0].parts[:3])
        found.append(len(init).to_bytes(2, "big") + init + body)
    return found


def proxy() -> list[bytes]:
    """Return headers of both versions, of IPv4 and IPv6."""
    signature = b"\r\n\r\n\0\r\nQUIT\n"
    ports = b"\x8f\0\x07\x8f"
    return [
        b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 1935\r\n\x03",
        b"PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 56324 443\r\n",
        b"PROXY UNKNOWN\r\nGET",
        signature + b"\x21\x11\0\x0c" + bytes(range(8)) + ports,
        signature + b"\x21\x21\0\x28" + bytes(range(32)) + ports + b"\x04\0\x01x",
        signature + b"\x20\0\0\0",
    ]


def directives() -> list[bytes]:
    """Return queries of players."""
    return [
        b"_HLS_msn=8&_HLS_part=2&_HLS_skip=YES",
        b"_HLS_msn=7&token=x",
        b"_HLS_skip=v2&_HLS_msn=9",
        b"_HLS_msn=99999999999999999999999&_HLS_part=-1&_HLS_msn=%38",
    ]


def settings() -> list[bytes]:
    """Return values of all kinds, as examples and defaults have them."""
    return [
        *(b"10.5s", b"true", b":1935", b"6", b"json", b"data/streams", b"live", b"0"),
        *(b"1h30m", b"8MiB", b"10.0.0.0/8,fd00::/8", b"warn,rapidrtmp.web=debug", b"[::1]:80"),
        *(b"rtmp://host/live/key", b"https://cdn.example/x", b"tcp:80:interface=localhost"),
    ]


def sign_in() -> list[bytes]:
    """Return what encoders append, from the first step to the last."""
    return [
        b"live?authmod=adobe&user=me",
        b"live?authmod=adobe&user=me&challenge=A1b2C3==&response=x%2F%3D&opaque=" + b"0f" * 24,
        b"rtmp://h/live?x=1?authmod=adobe&user=%41&nonce=a&cnonce=b",
    ]


def splice() -> list[bytes]:
    """Return a splice_insert and a time_signal without their CRC."""
    head = b"\xfc\x30\x25\0\0\0\0\0\0\0\xff\xf0\x14\x05"
    insert = b"\0\0\0\x01\x7f\xef\xfe\x2d\x14\x2b\0\xfe\x01\x23\xd3\x08\0\x01\x01\x01\0\0"
    signal = b"\xfc\x30\x16\0\0\0\0\0\0\0\xff\xf0\x05\x06\xfe\0\x0d\xbb\xa0\0\0"
    return [head + insert, signal]


SEEDS = {
    "server": server,
    "client": client,
    "chunk": chunk,
    "demuxer": publications,
    "records": records,
    "amf": amf,
    "judge_playlist": judge_playlist,
    "judge_media": judge_media,
    "proxy": proxy,
    "directives": directives,
    "settings": settings,
    "config_file": lambda: [
        b"# settings\nexport HTTP_ADDR=':80'\n\nRTMP_ADDR = :1935\nSTREAM_GRACE=1m\n",
        b'\xef\xbb\xbfHLS_MAX_SEGMENTS=6\r\nPLAYBACK_SECRET="a#b"\r\n',
    ],
    "sign_in": sign_in,
    "splice": splice,
    "forwarded": lambda: [
        b"203.0.113.9, 10.1.1.1",
        b"[2001:db8::1]:80\n::ffff:1.2.3.4",
        b"fd00::1",
    ],
    "url": lambda: [
        b"live\nrtmp://host/live\nkey?token=t",
        b"a/b/key?x=1\nrtmp://host/a/b\n",
        b"live/\n'rtmp://host/live/'\nmp4:key/",
        b"\nrtmp://host/live?token=%41\nkey",
    ],
}
"""Makes the first inputs of each target."""

"""What real clients do beside the specification, each as bytes on the wire (quirks by client)."""

from collections.abc import Callable
from dataclasses import dataclass, field

from rapidrtmp.amf import amf0
from rapidrtmp.amf.values import ECMAArray, Value
from tests.codecs.builders import ASC
from tests.faults.case import AAC, AVC, INTER_FRAME, KEY_FRAME, SOUND, FaultCase
from tests.rtmp.wire import HANDSHAKE, Message, basic, call, calls, chunks, control

KEY = "camera"
START_CODE = b"\0\0\0\1"
METADATA: dict[str, Value] = {
    "width": 1280.0,
    "height": 720.0,
    "videocodecid": 7.0,
    "audiocodecid": 10.0,
}


@dataclass
class Client:
    """How one client speaks."""

    name: str
    app: str = "live"
    stream: str = f"{KEY}?token=good"
    tc_url: str | None = "rtmp://host/live"
    flash_version: str = "FMLE/3.0 (compatible; FMSc/1.0)"
    connect: dict[str, Value] = field(default_factory=dict)
    """More members of the connect object."""
    chunk_size: int = 128
    chunk_size_first: bool = False
    """Set Chunk Size before connect."""
    calls: tuple[str, ...] = ("releaseStream", "FCPublish")
    unknown_calls: tuple[str, ...] = ()
    """Asked between createStream and publish, and waited for."""
    transaction: float = 1.0
    """Of the first call, the next ones count on; 0 for all calls."""
    command_csid: int = 3
    publish_csid: int = 4
    video_csid: int = 6
    audio_csid: int = 4
    extra: bytes = b""
    """Sent behind Publish.Start, before media."""
    metadata: Value = field(default_factory=lambda: ECMAArray(METADATA))
    """None for none."""
    set_data_frame: bool = True
    configuration: bytes = AVC
    sound: bytes = AAC
    key_frame: bytes = KEY_FRAME
    repeats_configuration: bool = False
    end: bytes = call("FCUnpublish", 6.0, None, KEY) + call("deleteStream", 7.0, None, 1.0)


CLIENTS = [
    Client(
        "OBS Studio 28",
        chunk_size=4096,
        chunk_size_first=True,
        connect={"type": "nonprivate", "swfUrl": "rtmp://host/live"},
        video_csid=4,
        # the end of the sequence says time 0, then the socket goes
        end=b"".join(chunks(b"\x17\2\0\0\0", csid=4, size=4096))
        + call("FCUnpublish", 6.0, None, KEY)
        + call("deleteStream", 7.0, None, 1.0),
    ),
    Client(
        "FFmpeg 5",
        flash_version="FMLE/3.0 (compatible; Lavf59.27.100)",
        stream=f"{KEY}?token=good",
        unknown_calls=("_checkbw", "getStreamLength"),
        publish_csid=8,
        extra=b"".join(chunks(b"\0\1\2\3", type_id=18, csid=8)),
    ),
    Client(
        "FFmpeg, path of three parts",
        app="live/more",
        tc_url="rtmp://host:1935/live/more",
        connect={"fourCcList": ["hvc1", "av01", "vp09"]},
    ),
    Client(
        "GStreamer rtmp2sink",
        flash_version="LNX 10,0,32,18",
        transaction=0.0,
        connect={"capabilities": 15.0, "videoFunction": 1.0, "objectEncoding": 0.0},
        end=call("FCUnpublish", 0.0, None, KEY) + call("deleteStream", 0.0, None, KEY),
    ),
    Client(
        "Flash Media Live Encoder 3",
        unknown_calls=("_checkbw",),
        extra=control(3, 0xFFFFFFFF) + control(5, 2_500_000),
        connect={"pageUrl": None, "swfUrl": None, "objectEncoding": 3.0},
    ),
    Client("Haivision Makito", calls=("setStreamInfo", "FCPublish"), unknown_calls=("haivision",)),
    Client(
        "DJI drone",
        command_csid=33,
        publish_csid=33,
        video_csid=33,
        audio_csid=34,
        metadata=None,
        repeats_configuration=True,
        # a NAL unit of no bytes in front of the picture
        key_frame=KEY_FRAME[:5] + bytes(4) + KEY_FRAME[5:],
    ),
    Client(
        "GoPro: one box for the URL",
        app=f"live/{KEY}?token=good",
        stream="",
        tc_url=f"rtmp://host/live/{KEY}?token=good",
        calls=(),
    ),
    Client(
        "librtmp: a ping as type 1 on a fresh chunk stream",
        extra=bytes.fromhex("42 000000 00000a 04 0003 00000000 00000bb8"),
    ),
    Client(
        "Autel: start codes inside AVC",
        key_frame=KEY_FRAME[:5] + START_CODE + b"\x09\xf0" + START_CODE + KEY_FRAME[9:],
    ),
    Client("Ubiquiti: quotes and slashes", app="/live/", tc_url='"rtmp://host/live/"'),
    Client("HaishinKit", metadata=METADATA, connect={"swfUrl": None, "flashVer": "FME/3.0"}),
    Client("RootEncoder", set_data_frame=False, metadata=METADATA),
    Client("nginx-rtmp as a relay", transaction=7.0, calls=(), metadata=None, chunk_size=4096),
    Client("Wirecast", chunk_size=1024, connect={"videoCodecs": 252.0, "audioCodecs": 3191.0}),
    Client("Livestream Studio", calls=("FCPublish",), end=b""),
    Client("PTZ camera: control messages anywhere", extra=control(5, 65536, csid=6, msid=1)),
    Client("dash camera: message type 0", extra=b"".join(chunks(b"gps", type_id=0, csid=40))),
    Client("Omnia: an oversized ASC", sound=b"\xaf\0" + ASC(rate=48000).octets() + bytes(30)),
    Client("token in the app", app="live?token=good", stream=KEY),
    Client("token in tcUrl", tc_url="rtmp://host/live?token=good", stream=KEY),
    Client("slash behind the key", stream=f"{KEY}/?token=good"),
    Client("no tcUrl", tc_url=None),
    Client("no app", app=""),
    Client("white space from a settings box", stream=f" {KEY}?token=good\r\n"),
    Client("type prefix", stream=f"mp4:{KEY}?token=good"),
    Client("command object of FMLE with AMF3 wanted", connect={"objectEncoding": 3.0}),
]


class ClientTests(FaultCase):
    def speak(self, client: Client) -> list[Message]:
        """Publish as a client does; return what the server said."""
        peer = self.shaken()
        size = 128
        transaction = client.transaction

        def say(name: str, *arguments: Value, msid: int = 0, csid: int = 0) -> None:
            nonlocal transaction
            csid = csid or client.command_csid
            peer.send(call(name, transaction, *arguments, msid=msid, csid=csid, size=size))
            transaction += 1.0 if client.transaction else 0.0

        if client.chunk_size_first:
            peer.send(control(1, client.chunk_size))
            size = client.chunk_size
        told: dict[str, Value] = {"app": client.app, "flashVer": client.flash_version}
        if client.tc_url is not None:
            told["tcUrl"] = client.tc_url
        say("connect", told | client.connect)
        if size != client.chunk_size:
            peer.send(control(1, client.chunk_size))
            size = client.chunk_size
        for name in client.calls:
            say(name, None, client.stream)
        say("createStream", None)
        for name in client.unknown_calls:
            say(name, None)
            answered = [values[1] for _, values in calls(peer.messages)]
            self.assertIn(transaction - 1.0, answered, "a client that waits for ever")
        say("publish", None, client.stream, "live", msid=1, csid=client.publish_csid)
        self.assertEqual(peer.codes[:1], ["NetStream.Publish.Start"])
        peer.send(client.extra)
        self.send_media(peer.send, client, size)
        self.assertEqual(self.maker.outputs[-1].words, [["video", "audio"]])
        peer.send(client.end)
        self.assertEqual(self.factory.errors, {})
        messages = peer.messages
        peer.lose()
        return messages

    def send_media(self, send: Callable[[bytes], None], client: Client, size: int) -> None:
        """Send metadata, configurations, and frames 40 ms apart."""
        if client.metadata is not None:
            names = ("@setDataFrame", "onMetaData") if client.set_data_frame else ("onMetaData",)
            body = amf0.encode(*names, client.metadata)
            send(b"".join(chunks(body, type_id=18, csid=client.audio_csid, size=size)))
        for number in range(10):
            time = 40 * number
            if number == 0 or client.repeats_configuration:
                for body, csid, type_id in (
                    (client.configuration, client.video_csid, 9),
                    (client.sound, client.audio_csid, 8),
                ):
                    send(b"".join(chunks(body, time=time, csid=csid, type_id=type_id, size=size)))
            body = client.key_frame if number == 0 else INTER_FRAME
            send(b"".join(chunks(body, time=time, csid=client.video_csid, size=size)))
            send(b"".join(chunks(SOUND, time=time, csid=client.audio_csid, type_id=8, size=size)))

    def test_clients(self) -> None:
        """Each client publishes: all frames, whole, at their times."""
        for client in CLIENTS:
            with self.subTest(client.name):
                made = len(self.maker.outputs)
                self.speak(client)
                self.assertEqual(len(self.maker.outputs), made + 1)
                output = self.maker.outputs[-1]
                times = [s.dts // 90 for s in output.samples if s.track.kind == "video"]
                self.assertEqual(times, [40 * n for n in range(10)])
                self.assertEqual(sum(s.track.kind == "audio" for s in output.samples), 10)
                picture = next(s for s in output.samples if s.track.kind == "video")
                self.assertEqual(bytes(picture.payload)[-4:], b"\x65\x88\x84\x21")
                # the next one finds a server that knows no stream of that key
                self.tearDown()
                self.setUp()

    def test_names_are_unique(self) -> None:
        """The table has each client once."""
        self.assertEqual(len({client.name for client in CLIENTS}), len(CLIENTS))

    def test_type_3_after_type_0(self) -> None:
        """GStreamer starts a new message by a type 3 chunk where the delta equals the time."""
        peer = self.publisher()
        output = self.output_of(peer)
        peer.send(b"".join(chunks(INTER_FRAME, csid=9, time=40)) + basic(3, 9) + INTER_FRAME)
        self.assertEqual(
            [s.dts // 90 for s in output.samples if s.track.kind == "video"][1:], [40, 80]
        )
        self.assert_tolerated(peer)

    def test_level_comes_first(self) -> None:
        """Wirecast reads the info object by position: level, code, description."""
        found = [
            v[-1] for _, v in calls(self.speak(CLIENTS[0])) if v[0] in ("onStatus", "onFCPublish")
        ]
        self.assertTrue(found)
        for information in found:
            assert isinstance(information, dict)
            self.assertEqual(list(information)[:3], ["level", "code", "description"])

    def test_half_of_a_bad_day(self) -> None:
        """A client whose first try was cut anywhere is let in at once the next time."""
        wire = HANDSHAKE + call("connect", 1.0, {"app": "live"})
        for size in (10, 2000, 3073, len(wire)):
            peer = self.peer()
            peer.send(wire[:size])
            peer.lose()
            self.publisher("again").lose()

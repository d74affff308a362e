"""Tests of the client's session: against our own server, and against odd and hostile ones."""

import math
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.amf import amf0
from rapidrtmp.amf.values import Value
from rapidrtmp.rtmp import status
from rapidrtmp.rtmp.capabilities import CAN_FORWARD, RECONNECT, Capabilities
from rapidrtmp.rtmp.client import ClientSession, ClientState
from rapidrtmp.rtmp.client_events import (
    ClientEvent,
    Connected,
    Ended,
    PlayStarted,
    PublishStarted,
    ReconnectRequested,
    Rejected,
)
from rapidrtmp.rtmp.errors import ProtocolError
from rapidrtmp.rtmp.events import (
    ConnectRequested,
    Event,
    PlayRequested,
    PlayStopped,
    PublishRequested,
    Unpublished,
)
from rapidrtmp.rtmp.handshake import HANDSHAKE_SIZE
from rapidrtmp.rtmp.limits import Limits
from rapidrtmp.rtmp.media_encoder import MediaEncoder
from rapidrtmp.rtmp.netconnection import State
from rapidrtmp.rtmp.session import ServerSession
from rapidrtmp.rtmp.target import Target
from tests.rtmp.wire import Message, call, calls, chunks, control, read

TARGET = Target.parse("rtmp://host/live/SECRET-KEY?token=abc")
CLIENT = Capabilities(video={"hvc1": CAN_FORWARD}, caps_ex=RECONNECT)
SERVER = Capabilities(video={"hvc1": CAN_FORWARD, "av01": CAN_FORWARD}, caps_ex=RECONNECT)
HANDSHAKE = b"\x03" + bytes(HANDSHAKE_SIZE) + bytes(HANDSHAKE_SIZE)
"""What a server sends first."""
SUCCESS: dict[str, Value] = {"level": "status", "code": "NetConnection.Connect.Success"}
CONNECTED = call("_result", 1.0, {"fmsVer": "x"}, SUCCESS)
CREATED = call("_result", 4.0, None, 1.0)
FRAMES = [
    (18, 0, amf0.encode("onMetaData", {"width": 1.0})),
    (8, 0, b"\xaf\x00\x12\x10"),
    (9, 0, bytes(100_000)),
    (8, 0x1000005, b"\xaf\x01abc"),
    (9, 0x1000010, b"\x27" + bytes(70_000)),
]


def on_status(code: str, level: str = "status", **more: Value) -> bytes:
    """What a server says of the message stream."""
    information: dict[str, Value] = {"level": level, "code": code, **more}
    return call("onStatus", 0.0, None, information, msid=1)


PUBLISHED = on_status("NetStream.Publish.Start")
PLAYS = on_status("NetStream.Play.Start")


class Pair:
    """A client and a server, joined in memory, cut into pieces of any size."""

    def __init__(self, publishes: bool, cut: Callable[[], int] = lambda: 1 << 20) -> None:
        self.client = ClientSession(TARGET, publishes, random=bytes, capabilities=CLIENT)
        self.server = ServerSession(random=bytes, capabilities=SERVER)
        self.client_events: list[ClientEvent] = []
        self.server_events: list[Event] = []
        self.received: list[tuple[int, int, bytes]] = []
        self.client.on_media = self.server.on_media = lambda *args: self.received.append(args)
        self._cut = cut
        self.run()

    def run(self) -> None:
        """Carry bytes back and forth until nobody has more to say."""
        while True:
            up = b"".join(self.client.data_to_send())
            for piece in self._pieces(up):
                self._handle(self.server.receive_data(piece, 0.0))
            down = b"".join(self.server.data_to_send())
            for piece in self._pieces(down):
                self.client_events += self.client.receive_data(piece, 0.0)
            if not up and not down:
                return

    def send(self, data: bytes) -> None:
        """Carry media from the server's owner to the client, behind what is under way."""
        self.run()
        for piece in self._pieces(data):
            self.client_events += self.client.receive_data(piece, 0.0)

    def _handle(self, events: list[Event]) -> None:
        while events:
            self.server_events += events
            last = events[-1]
            if not isinstance(last, ConnectRequested | PublishRequested | PlayRequested):
                return
            events = self.server.accept(last, 0.0)

    def _pieces(self, data: bytes) -> list[bytes]:
        pieces = []
        position = 0
        while position < len(data):
            size = self._cut()
            pieces.append(data[position : position + size])
            position += size
        return pieces


class PairTests(SynchronousTestCase):
    def publish(self, pair: Pair) -> None:
        """Publish some frames, then stop."""
        self.assertEqual(pair.client_events, [Connected(SERVER), PublishStarted()])
        self.assertIs(pair.client.state, ClientState.PUBLISHING)
        connect, publish = pair.server_events
        assert isinstance(connect, ConnectRequested)
        assert isinstance(publish, PublishRequested)
        self.assertEqual((connect.app, connect.tc_url), ("live", "rtmp://host/live"))
        self.assertEqual(connect.capabilities, CLIENT)
        self.assertEqual((publish.app, publish.key), ("live", "SECRET-KEY"))
        self.assertEqual(publish.parameters, {"token": "abc"})
        self.assertEqual(publish.publish_type, "live")
        for type_id, time, body in FRAMES:
            pair.client.send_media(type_id, time, (body[:5], memoryview(body)[5:]))
        pair.run()
        metadata = amf0.encode("@setDataFrame") + FRAMES[0][2]
        self.assertEqual(pair.received, [(18, 0, metadata), *FRAMES[1:]])
        pair.client.finish()
        pair.run()
        self.assertEqual(pair.server_events[2:], [Unpublished("SECRET-KEY")])
        self.assertIs(pair.client.state, ClientState.CLOSED)
        self.assertIs(pair.server.state, State.CONNECTED)
        pair.client.send_media(8, 0, (b"late",))
        self.assertEqual(pair.client.data_to_send(), [])

    def play(self, pair: Pair) -> None:
        """Play some frames, then stop."""
        self.assertEqual(pair.client_events, [Connected(SERVER), PlayStarted()])
        self.assertIs(pair.client.state, ClientState.PLAYING)
        play = pair.server_events[1]
        assert isinstance(play, PlayRequested)
        self.assertEqual((play.app, play.key), ("live", "SECRET-KEY"))
        self.assertEqual((play.parameters, play.start), ({"token": "abc"}, -2.0))
        self.assertEqual(play.message_stream_id, pair.client.message_stream_id)
        encoder = MediaEncoder(play.message_stream_id)
        pair.send(b"".join(encoder.encode(kind, time, (body,)) for kind, time, body in FRAMES))
        access = amf0.encode("|RtmpSampleAccess", True, True)
        self.assertEqual(pair.received, [(18, 0, access), *FRAMES])
        pair.client.finish()
        pair.run()
        self.assertEqual(pair.server_events[2:], [PlayStopped("SECRET-KEY")])

    def test_publish(self) -> None:
        """Publishing to our own server, in whole pieces and byte by byte."""
        self.publish(Pair(publishes=True))
        self.publish(Pair(publishes=True, cut=lambda: 1))

    def test_play(self) -> None:
        """Playing from our own server, in whole pieces and byte by byte."""
        self.play(Pair(publishes=False))
        self.play(Pair(publishes=False, cut=lambda: 1))

    @given(st.data(), st.booleans())
    @settings(max_examples=25, deadline=None)
    def test_any_split(self, data: st.DataObject, publishes: bool) -> None:
        """However the network cuts what both say, the same comes of it."""
        sizes = data.draw(st.lists(st.integers(1, 4000), min_size=1, max_size=20))
        position = 0

        def cut() -> int:
            nonlocal position
            position += 1
            return sizes[position % len(sizes)]

        pair = Pair(publishes, cut)
        (self.publish if publishes else self.play)(pair)

    def test_server_ends(self) -> None:
        """Our server's ways to end a session reach the client's owner, with their reason."""
        pair = Pair(publishes=False)
        pair.server.end_play(status.PLAY_UNPUBLISH_NOTIFY, "the stream has ended")
        pair.run()
        self.assertEqual(
            pair.client_events[2:], [Ended(status.PLAY_UNPUBLISH_NOTIFY, "the stream has ended")]
        )
        self.assertIs(pair.client.state, ClientState.CLOSED)
        for publishes in (True, False):
            pair = Pair(publishes)
            pair.server.finish(status.PUBLISH_REJECTED, "going down")
            pair.run()
            self.assertEqual(pair.client_events[2:], [Ended(status.PUBLISH_REJECTED, "going down")])

    def test_reconnect_request(self) -> None:
        """Our server's reconnect request is an event; media goes on."""
        pair = Pair(publishes=True)
        self.assertTrue(pair.server.request_reconnect("rtmp://other/live", "going down"))
        pair.run()
        self.assertEqual(
            pair.client_events[2:], [ReconnectRequested("rtmp://other/live", "going down")]
        )
        pair.client.send_media(8, 0, (b"x",))
        pair.run()
        self.assertEqual(pair.received, [(8, 0, b"x")])

    def test_acknowledgements(self) -> None:
        """Both ends acknowledge what the other sends for as long as it asks for it."""
        pair = Pair(publishes=False)
        wire = MediaEncoder().encode(9, 0, (bytes(1_000_000),))
        pair.send(wire)
        self.assertEqual(pair.client.data_to_send(), [])
        pair.send(wire)
        [acknowledgement] = read(b"".join(pair.client.data_to_send()))
        self.assertEqual(acknowledgement.type_id, 3)


class Case(SynchronousTestCase):
    """A client and the bytes of a server."""

    def setUp(self) -> None:
        self.events: list[ClientEvent] = []
        self.media: list[tuple[int, int, bytes]] = []
        self.begin()

    def begin(
        self, publishes: bool = True, limits: Limits | None = None, *wires: bytes
    ) -> ClientSession:
        """Make a new client, and let a server send it something."""
        self.client = ClientSession(TARGET, publishes, limits, random=bytes)
        self.client.on_media = lambda *message: self.media.append(message)
        self.events.clear()
        self.media.clear()
        self.client.data_to_send()
        self.receive(*wires)
        return self.client

    def receive(self, *wires: bytes) -> None:
        """Take bytes of the server."""
        self.events += self.client.receive_data(b"".join(wires), 0.0)

    def sent(self, chunk_size: int = 65536) -> list[Message]:
        """What the client has said since the last call, behind the handshake."""
        return read(b"".join(self.client.data_to_send()), chunk_size)


class DialogueTests(Case):
    def test_handshake(self) -> None:
        """C0 C1 go out at once, C2 echoes S1, connect comes behind S2."""
        client = ClientSession(TARGET, True, random=lambda size: b"r" * size)
        self.assertEqual(
            b"".join(client.data_to_send()), b"\x03" + bytes(8) + b"r" * (HANDSHAKE_SIZE - 8)
        )
        s1 = b"s" * HANDSHAKE_SIZE
        client.receive_data(b"\x03" + s1[:-1], 0.0)
        self.assertEqual(client.data_to_send(), [])
        client.receive_data(s1[:1], 0.0)
        self.assertEqual(client.data_to_send(), [s1])
        self.assertIs(client.state, ClientState.HANDSHAKE)
        client.receive_data(bytes(HANDSHAKE_SIZE), 0.0)
        self.assertIs(client.state, ClientState.CONNECTING)
        [(_, values)] = calls(read(b"".join(client.data_to_send())))
        self.assertEqual(values[:2], ["connect", 1.0])

    def test_not_rtmp(self) -> None:
        """A server of another protocol is a protocol error."""
        for answer in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01", b"\x06"):
            self.begin()
            error = self.assertRaises(ProtocolError, self.receive, answer)
            self.assertEqual(error.reason, "bad_version")
            self.assertIs(self.client.state, ClientState.CLOSED)
            self.assertEqual(self.client.receive_data(HANDSHAKE, 0.0), [])

    def test_connect(self) -> None:
        """What is told of ourselves: players tell more."""
        for publishes in (True, False):
            self.begin(publishes, None, HANDSHAKE)
            connect = self.client.data_to_send()[-1]
            [(_, values)] = calls(read(connect))
            properties = values[2]
            assert isinstance(properties, dict)
            self.assertEqual(
                [properties[name] for name in ("app", "type", "tcUrl")],
                ["live", "nonprivate", "rtmp://host/live"],
            )
            self.assertEqual("videoCodecs" in properties, not publishes)
            self.assertNotIn("SECRET", str(values))

    def test_publish_calls(self) -> None:
        """The calls of a publisher come in the order that servers expect."""
        self.begin(True, None, HANDSHAKE)
        self.client.data_to_send()
        self.receive(CONNECTED)
        answers = self.sent(128)
        self.assertEqual(answers[0], Message(1, 0, 0, (65536).to_bytes(4, "big")))
        name = "SECRET-KEY?token=abc"
        self.assertEqual(
            calls(answers),
            [
                (0, ["releaseStream", 2.0, None, name]),
                (0, ["FCPublish", 3.0, None, name]),
                (0, ["createStream", 4.0, None]),
            ],
        )
        self.receive(call("_error", 2.0, None, {"level": "error"}), call("_result", 3.0, None))
        self.assertIs(self.client.state, ClientState.CREATING)
        self.receive(call("_result", 4.0, None, 7.0))
        self.assertEqual(calls(self.sent()), [(7, ["publish", 5.0, None, name, "live"])])
        self.assertEqual(self.client.message_stream_id, 7)
        self.receive(on_status("NetStream.Publish.Start"))
        self.client.send_media(8, 5, (b"sound",))
        self.assertEqual(self.sent(), [Message(8, 7, 5, b"sound")])
        self.client.finish()
        self.assertEqual(
            calls(self.sent()),
            [(0, ["FCUnpublish", 0.0, None, name]), (0, ["deleteStream", 0.0, None, 7.0])],
        )

    def test_no_media_before_start(self) -> None:
        """Nothing is sent before the server has agreed."""
        self.begin(True, None, HANDSHAKE, CONNECTED, CREATED)
        self.client.data_to_send()
        self.client.send_media(8, 0, (b"x",))
        self.assertEqual(self.client.data_to_send(), [])
        self.client.finish()
        self.assertEqual(calls(self.sent()), [(0, ["deleteStream", 0.0, None, 1.0])])
        self.begin(True, None, HANDSHAKE)
        self.client.data_to_send()
        self.client.finish()
        self.assertEqual(self.client.data_to_send(), [])

    def test_play_without_start(self) -> None:
        """A server that sends media without a word has started."""
        self.begin(False, None, HANDSHAKE, CONNECTED, CREATED)
        self.receive(b"".join(chunks(b"onMetaData", type_id=18)))
        self.receive(b"".join(chunks(bytes(200_000), type_id=9)), PLAYS)
        self.assertEqual(self.events[1:], [PlayStarted()])
        self.assertEqual([len(body) for _, _, body in self.media], [10, 200_000])

    def test_play_reset(self) -> None:
        """Statuses that say nothing new say nothing."""
        self.begin(False, None, HANDSHAKE, CONNECTED, CREATED)
        self.receive(
            on_status("NetStream.Play.Stop"), on_status("NetStream.Play.Reset"), PLAYS, PLAYS
        )
        self.receive(on_status("NetStream.Play.PublishNotify"), on_status("NetStream.Data.Start"))
        self.assertEqual(self.events[1:], [PlayStarted()])

    def test_servers_calls(self) -> None:
        """Calls of a server that wait for an answer get one; pings and bandwidths, too."""
        self.begin(True, None, HANDSHAKE, CONNECTED, CREATED, PUBLISHED)
        self.client.data_to_send()
        self.receive(
            call("onBWDone", 0.0, None, 8192.0),
            call("_onbwcheck", 9.0, None, "x"),
            b"".join(chunks(b"\x00\x06abcd", csid=2, type_id=4, msid=0)),
            b"".join(chunks(control_bandwidth(5000), csid=2, type_id=6, msid=0)) * 2,
        )
        answers = self.sent()
        self.assertEqual(calls(answers), [(0, ["_result", 9.0, None, None])])
        self.assertEqual(
            [(m.type_id, m.payload) for m in answers[1:]],
            [(5, (5000).to_bytes(4, "big")), (4, b"\x00\x07abcd")],
        )
        self.assertEqual(self.events[1:], [PublishStarted()])

    def test_amf3_command(self) -> None:
        """A command of type 17 starts with a format selector."""
        self.begin(True, None, HANDSHAKE)
        body = b"\x00" + amf0.encode("_result", 1.0, {}, SUCCESS)
        self.receive(b"".join(chunks(body, type_id=17, msid=0)))
        self.assertEqual(len(self.events), 1)

    def test_answers_without_meaning(self) -> None:
        """Results of other forms, and of calls that have a status for an answer, do no harm."""
        connected = call("_result", 1.0, None, SUCCESS)
        self.begin(True, None, HANDSHAKE, connected, CREATED, call("_result", 5.0, None))
        self.receive(call("_result", 99.0, None), call("_error", math.nan, None))
        self.assertIs(self.client.state, ClientState.STARTING)
        self.receive(PUBLISHED)
        self.assertEqual(self.events, [Connected(Capabilities()), PublishStarted()])

    def test_aggregate(self) -> None:
        """Media in an aggregate is media."""
        self.begin(False, None, HANDSHAKE, CONNECTED, CREATED, PLAYS)
        tag = b"\x08\0\0\1" + bytes(7) + b"a" + bytes(4)
        self.receive(b"".join(chunks(tag * 2, type_id=22, time=70)))
        self.assertEqual(self.media, [(8, 70, b"a")] * 2)


class RefusalTests(Case):
    def rejected(self) -> Rejected:
        """The refusal that there has to be, as the last event."""
        last = self.events[-1]
        assert isinstance(last, Rejected)
        self.assertIs(self.client.state, ClientState.CLOSED)
        self.receive(CONNECTED)
        self.assertIs(self.events[-1], last)
        return last

    def test_connect(self) -> None:
        """A refused connect is told with its words; a redirect with its URL."""
        error: dict[str, Value] = {
            "level": "error",
            "code": "NetConnection.Connect.Rejected",
            "description": "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ",
        }
        moved: dict[str, Value] = {**error, "ex": {"code": 302.0, "redirect": "rtmp://b/live"}}
        for wire, redirect in (
            (call("_error", 1.0, None, error), ""),
            (call("_result", 1.0, None, error), ""),
            (call("_error", 1.0, None, moved), "rtmp://b/live"),
            (call("onStatus", 0.0, None, error), ""),
        ):
            self.begin(True, None, HANDSHAKE, wire)
            rejected = self.rejected()
            self.assertEqual(rejected.code, "NetConnection.Connect.Rejected")
            self.assertIn("need auth", rejected.description)
            self.assertEqual(rejected.redirect, redirect)
        self.begin(True, None, HANDSHAKE, call("_error", 1.0))
        self.assertEqual(self.rejected(), Rejected(status.CALL_FAILED, ""))

    def test_create_stream(self) -> None:
        """A refused createStream is the end."""
        wire = call("_error", 4.0, None, {"level": "error", "code": "x", "description": "full"})
        self.begin(True, None, HANDSHAKE, CONNECTED, wire)
        self.assertEqual(self.rejected(), Rejected("x", "full"))

    def test_bad_stream_number(self) -> None:
        """A message stream needs a number that fits its field."""
        odd: list[Value] = [None, "1", 0.0, -1.0, 1.5, math.nan, math.inf, 2.0**32, True]
        for number in odd:
            with self.subTest(number=number):
                self.begin(True, None, HANDSHAKE, CONNECTED)
                wire = call("_result", 4.0, None, number)
                error = self.assertRaises(ProtocolError, self.receive, wire)
                self.assertEqual(error.reason, "protocol")

    def test_publish(self) -> None:
        """Codes that mean a failure are one, whatever their level."""
        for wire, code in (
            (on_status("NetStream.Publish.BadName", "error"), "NetStream.Publish.BadName"),
            (on_status("NetStream.Publish.Denied"), "NetStream.Publish.Denied"),
            (on_status("NetStream.Publish.Own", "error"), "NetStream.Publish.Own"),
            (call("_error", 5.0, None, {"code": "x"}), "x"),
            (call("close", 0.0, None), "NetConnection.Connect.Closed"),
        ):
            with self.subTest(code=code):
                self.begin(True, None, HANDSHAKE, CONNECTED, CREATED, wire)
                self.assertEqual(self.rejected().code, code)

    def test_play(self) -> None:
        """A stream that is not there."""
        wire = on_status("NetStream.Play.StreamNotFound", "error")
        self.begin(False, None, HANDSHAKE, CONNECTED, CREATED, wire)
        self.assertEqual(self.rejected().code, status.PLAY_STREAM_NOT_FOUND)
        self.receive(b"".join(chunks(b"late", type_id=9)))
        self.assertEqual(self.media, [])

    def test_ends(self) -> None:
        """What was agreed on ends by a failure, by a notice or by a farewell."""
        for publishes, wire, code in (
            (True, on_status("NetStream.Publish.Denied", "error"), "NetStream.Publish.Denied"),
            (True, on_status("NetStream.Unpublish.Success"), "NetStream.Unpublish.Success"),
            (True, call("close", 0.0), "NetConnection.Connect.Closed"),
            (False, on_status("NetStream.Play.Stop"), "NetStream.Play.Stop"),
            (False, on_status("NetStream.Play.Complete"), "NetStream.Play.Complete"),
            (False, on_status("NetStream.Failed", "error"), "NetStream.Failed"),
        ):
            with self.subTest(code=code):
                started = PUBLISHED if publishes else PLAYS
                self.begin(publishes, None, HANDSHAKE, CONNECTED, CREATED, started, wire)
                [last] = self.events[2:]
                assert isinstance(last, Ended)
                self.assertEqual(last.code, code)
                self.assertIs(self.client.state, ClientState.CLOSED)

    def test_repeated_token(self) -> None:
        """A value of our own query is taken out wherever a server repeats it."""
        target = Target.parse("rtmp://far.example/app/SECRET-KEY?sig=5be0c1d2a3&v=2")
        self.client = ClientSession(target, True, random=bytes)
        self.client.data_to_send()
        wire = on_status("NetStream.Publish.Denied", "error", description="no 5be0c1d2a3, v 2")
        self.receive(HANDSHAKE, CONNECTED, CREATED, wire)
        self.assertEqual(self.rejected().description, "no ***, v 2")

    def test_words(self) -> None:
        """A server's words are fit for a log: short, on one line, without our key and token."""
        text = "no: live/SECRET-KEY?token=abc SECRET-KEYS\r\n SECRET-KEY " + "x" * 900
        wire = on_status("a\nb", "error", description=text)
        self.begin(True, None, HANDSHAKE, CONNECTED, CREATED, wire)
        rejected = self.rejected()
        self.assertEqual(rejected.code, "a\ufffdb")
        self.assertTrue(
            rejected.description.startswith("no: live/***?*** SECRET-KEYS\ufffd\ufffd *** xxx")
        )
        self.assertEqual(len(rejected.description), 256)

    def test_odd_urls(self) -> None:
        """A URL to go to that cannot be one is none."""
        odd: list[Value] = [None, 5.0, "rtmp://a/\n", "x" * 5000]
        for url in odd:
            with self.subTest(url=url):
                wire = on_status("NetConnection.Connect.ReconnectRequest", tcUrl=url)
                self.begin(True, None, HANDSHAKE, CONNECTED, CREATED, wire)
                self.assertEqual(self.events[1:], [ReconnectRequested("", "")])


class HostileTests(Case):
    def test_unreadable(self) -> None:
        """An unreadable command ends a client that has nothing agreed yet; else it is dropped."""
        wire = b"".join(chunks(b"\x02", type_id=20, msid=0))
        self.begin(True, None, HANDSHAKE)
        error = self.assertRaises(ProtocolError, self.receive, wire)
        self.assertEqual(error.reason, "amf")
        self.begin(True, None, HANDSHAKE, CONNECTED, CREATED, PUBLISHED, wire)
        self.assertEqual(self.client.dropped, {"amf": 1})

    def test_flood(self) -> None:
        """A server may say so much in a second, and no more; media that is played is free."""
        limits = Limits(messages_per_second=50)
        for wire in (
            call("onBWDone", 0.0),
            b"".join(chunks(b"x", type_id=8)),
            b"".join(chunks(control_bandwidth(1), type_id=6)),
        ):
            self.begin(True, limits, HANDSHAKE, CONNECTED, CREATED, PUBLISHED)
            error = self.assertRaises(ProtocolError, self.receive, wire * 51)
            self.assertEqual(error.reason, "flood")
        self.begin(False, limits, HANDSHAKE, CONNECTED, CREATED, PLAYS)
        self.receive(b"".join(chunks(b"x", type_id=8)) * 200)
        self.assertEqual(len(self.media), 200)

    def test_unwanted_media(self) -> None:
        """Media that nobody asked for is dropped; so are empty messages and huge data."""
        wire = b"".join(chunks(b"x", type_id=8) + chunks(b"", type_id=9) + chunks(b"d", type_id=18))
        self.begin(True, None, HANDSHAKE, CONNECTED, CREATED, PUBLISHED, wire)
        self.assertEqual(self.client.dropped, {"early_media": 2, "empty": 1})
        limits = Limits(metadata=100)
        self.begin(False, limits, HANDSHAKE, CONNECTED, CREATED, PLAYS)
        self.receive(b"".join(chunks(bytes(101), type_id=18) + chunks(b"", type_id=8)))
        self.assertEqual(self.client.dropped, {"metadata_too_large": 1, "empty": 1})
        self.assertEqual(self.media, [])

    def test_large_messages(self) -> None:
        """Large messages are for those whose media was asked for."""
        wire = b"".join(chunks(bytes(200_000), type_id=9, length=200_000)[:1])
        self.begin(True, None, HANDSHAKE, CONNECTED, CREATED, PUBLISHED)
        error = self.assertRaises(ProtocolError, self.receive, wire)
        self.assertEqual(error.reason, "message_too_large")
        self.begin(False, None, HANDSHAKE, CONNECTED, CREATED, wire)

    def test_finish_inside_media(self) -> None:
        """A session that is ended while it delivers media delivers no more of that read."""
        self.begin(False, None, HANDSHAKE, CONNECTED, CREATED, PLAYS)

        def receive(type_id: int, time: int, payload: bytes) -> None:
            self.media.append((type_id, time, payload))
            self.client.finish()

        self.client.on_media = receive
        self.receive(b"".join(chunks(b"1") + chunks(b"2")))
        self.assertEqual(len(self.media), 1)

    WIRE = (
        HANDSHAKE
        + control(5, 2_500_000)
        + b"".join(chunks(b"\x00\x26\x25\xa0\x02", csid=2, type_id=6, msid=0))
        + control(1, 4096)
        + call("_result", 1.0, {"capabilities": 31.0}, SUCCESS, size=4096)
        + CREATED
        + PLAYS
        + b"".join(chunks(bytes(9000), time=40, size=4096))
        + on_status("NetStream.Play.Stop")
    )

    @given(st.integers(0, len(WIRE) - 1), st.binary(min_size=1, max_size=300), st.booleans())
    @settings(max_examples=150, deadline=None)
    def test_damage(self, position: int, junk: bytes, publishes: bool) -> None:
        """Whatever a server sends, nothing but ProtocolError is raised, and it ends once."""
        self.begin(publishes)
        try:
            self.receive(self.WIRE[:position] + junk + self.WIRE[position + len(junk) :])
        except ProtocolError as error:
            self.assertRegex(error.reason, "^[a-z_]+$")
            self.assertIs(self.client.state, ClientState.CLOSED)
        ends = [event for event in self.events if isinstance(event, Ended | Rejected)]
        self.assertLessEqual(len(ends), 1)


def control_bandwidth(window: int) -> bytes:
    """The body of a Set Peer Bandwidth message."""
    return window.to_bytes(4, "big") + b"\x02"

"""Tests of the server's session: dialogues as real clients lead them, and broken ones."""

import math
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.amf import amf0
from rapidrtmp.amf.values import UNDEFINED, Value
from rapidrtmp.rtmp import status
from rapidrtmp.rtmp.authmod import SignIn
from rapidrtmp.rtmp.capabilities import PLAIN, Capabilities
from rapidrtmp.rtmp.errors import ProtocolError
from rapidrtmp.rtmp.events import (
    ConnectRequested,
    Event,
    PlayRequested,
    PublishRequested,
    Refused,
    Unpublished,
)
from rapidrtmp.rtmp.limits import Limits
from rapidrtmp.rtmp.netconnection import State
from rapidrtmp.rtmp.session import ServerSession
from tests.rtmp.wire import (
    ANSWER_SIZE,
    C0_C1,
    C2,
    HANDSHAKE,
    Message,
    basic,
    call,
    calls,
    chunks,
    codes,
    control,
    read,
)

APP: dict[str, Value] = {
    "app": "live",
    "type": "nonprivate",
    "flashVer": "FMLE/3.0 (compatible; FMSc/1.0)",
    "tcUrl": "rtmp://host/live",
}
CONNECT = call("connect", 1.0, APP)
CREATE = call("createStream", 4.0, None)
PUBLISH = call("publish", 5.0, None, "key?token=t", "live", msid=1, csid=4)
DELETE = call("deleteStream", 6.0, None, 1.0)


class Client:
    """A session with an owner that says yes to everything, and all that came of it."""

    def __init__(
        self,
        limits: Limits | None = None,
        decide: Callable[[Event], bool] = lambda _: True,
        capabilities: Capabilities = PLAIN,
    ) -> None:
        self.session = ServerSession(limits, random=bytes, capabilities=capabilities)
        self.events: list[Event] = []
        self.media: list[tuple[int, int, bytes]] = []
        self.sent = b""
        self.now = 0.0
        self._decide = decide
        self._shaken = False
        self._chunk_size = 128
        self.session.on_media = lambda *message: self.media.append(message)

    def receive(self, data: bytes) -> None:
        """Feed bytes of the client, grant what is asked for."""
        try:
            events = self.session.receive_data(data, self.now)
            while events:
                self.events += events
                last = events[-1]
                events = []
                if isinstance(last, ConnectRequested | PublishRequested | PlayRequested):
                    events = self.session.accept(last, self.now) if self._decide(last) else []
        finally:
            self.sent += b"".join(self.session.data_to_send())

    def answers(self) -> list[Message]:
        """What was sent since the last call, behind the handshake."""
        sent, self.sent = self.sent, b""
        if not self._shaken:
            self._shaken = True
            sent = sent[ANSWER_SIZE:]
        messages = read(sent, self._chunk_size)
        if any(message.type_id == 1 for message in messages):
            self._chunk_size = 65536
        return messages


def connected(limits: Limits | None = None) -> Client:
    """A client that is connected and has stream 1."""
    client = Client(limits)
    client.receive(HANDSHAKE + CONNECT + CREATE)
    client.answers()
    return client


def published(limits: Limits | None = None) -> Client:
    """A client that publishes on stream 1."""
    client = connected(limits)
    client.receive(PUBLISH)
    client.answers()
    assert client.session.state is State.PUBLISHING
    client.events.clear()
    return client


def names(events: list[Event]) -> list[str]:
    """Return what kinds of events they are."""
    return [type(event).__name__ for event in events]


class ConnectTests(SynchronousTestCase):
    def test_handshake(self) -> None:
        """S0 S1 S2 answer C0 C1; the state follows C2."""
        client = Client()
        client.receive(C0_C1)
        self.assertEqual(len(client.sent), ANSWER_SIZE)
        self.assertIs(client.session.state, State.HANDSHAKE)
        client.receive(C2)
        self.assertIs(client.session.state, State.UNCONNECTED)
        self.assertEqual(client.session.bytes_received, len(HANDSHAKE))

    def test_wrong_protocol(self) -> None:
        """Nothing is sent to a client of another protocol."""
        client = Client()
        error = self.assertRaises(ProtocolError, client.receive, b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(error.reason, "wrong_protocol")
        self.assertEqual(client.sent, b"")
        self.assertIs(client.session.state, State.CLOSED)
        self.assertEqual(client.session.receive_data(HANDSHAKE, 0.0), [])

    def test_replies(self) -> None:
        """The replies to connect come in the order that clients expect."""
        client = Client()
        client.receive(HANDSHAKE + CONNECT)
        messages = client.answers()
        self.assertEqual(
            [(m.type_id, m.payload) for m in messages[:4]],
            [
                (5, (2_500_000).to_bytes(4, "big")),
                (6, (2_500_000).to_bytes(4, "big") + b"\x02"),
                (4, bytes(6)),
                (1, (65_536).to_bytes(4, "big")),
            ],
        )
        [(message_stream_id, values)] = calls(messages)
        self.assertEqual(message_stream_id, 0)
        self.assertEqual(values[:2], ["_result", 1.0])
        self.assertEqual(values[2], {"fmsVer": "FMS/3,0,1,123", "capabilities": 31.0})
        information = values[3]
        assert isinstance(information, dict)
        self.assertEqual(list(information), ["level", "code", "description", "objectEncoding"])
        self.assertEqual(information["code"], "NetConnection.Connect.Success")
        self.assertEqual(information["objectEncoding"], 0.0)
        self.assertEqual(names(client.events), ["ConnectRequested"])

    def test_transaction_id_is_echoed(self) -> None:
        """The transaction id comes back as it was, whatever number it is."""
        for number in (0.0, 7.0, -1.0, 1e300, math.inf, math.nan):
            with self.subTest(number=number):
                client = Client()
                client.receive(HANDSHAKE + call("connect", number, APP))
                echoed = calls(client.answers())[0][1][1]
                self.assertEqual(amf0.encode(echoed), amf0.encode(number))

    def test_app_forms(self) -> None:
        """App and tcUrl may be missing or odd; the command object may be no object."""
        odd: list[Value] = [{}, None, {"app": ""}, {"app": "live", "tcUrl": 5.0}, {"tcurl": "x"}]
        for properties in odd:
            with self.subTest(properties=properties):
                client = Client()
                client.receive(HANDSHAKE + call("connect", 1.0, properties))
                self.assertIs(client.session.state, State.CONNECTED)

    def test_app_of_wrong_type(self) -> None:
        """An app that is not a string is refused."""
        client = Client()
        client.receive(HANDSHAKE + call("connect", 1.0, {"app": 5.0}))
        self.assertEqual(codes(client.answers()), [(0, "_error", "NetConnection.Connect.Rejected")])
        self.assertIs(client.session.state, State.CLOSED)
        self.assertEqual(names(client.events), ["Refused"])

    def test_authmod(self) -> None:
        """What a client appends to prove a password is told apart, and is no parameter."""
        sign_in = SignIn("adobe", "u", "c", "r", "o")
        appended = "?authmod=adobe&user=u&challenge=c&response=r&opaque=o"
        for properties in (
            {"app": f"live{appended}", "tcUrl": f"rtmp://host/live{appended}"},
            {"app": f"live?a=b{appended}"},
            {"app": "live", "tcUrl": f"rtmp://host/live{appended}"},
        ):
            with self.subTest(properties=properties):
                client = Client()
                client.receive(HANDSHAKE + call("connect", 1.0, {**properties}) + CREATE + PUBLISH)
                connect, publish = client.events
                assert isinstance(connect, ConnectRequested)
                assert isinstance(publish, PublishRequested)
                self.assertEqual(connect.sign_in, sign_in)
                self.assertEqual((publish.app, publish.key), ("live", "key"))
                self.assertEqual({**publish.parameters} | {"a": "b"}, {"token": "t", "a": "b"})

    def test_second_connect(self) -> None:
        """A second connect is an error, and the end."""
        client = connected()
        client.receive(CONNECT + CREATE)
        self.assertEqual(codes(client.answers()), [(0, "_error", "NetConnection.Connect.Rejected")])
        self.assertIs(client.session.state, State.CLOSED)

    def test_rejected(self) -> None:
        """The owner can refuse the connection."""
        client = Client(decide=lambda _: False)
        client.receive(HANDSHAKE + CONNECT)
        [request] = client.events
        assert isinstance(request, ConnectRequested)
        self.assertTrue(client.session.waiting)
        client.session.reject(request, status.CONNECT_REJECTED, "no")
        client.receive(b"")
        client.sent += b"".join(client.session.data_to_send())
        self.assertEqual(codes(client.answers()), [(0, "_error", "NetConnection.Connect.Rejected")])
        self.assertEqual(client.session.accept(request, 0.0), [])
        client.session.reject(request, status.CONNECT_REJECTED, "no")
        self.assertEqual(client.session.data_to_send(), [])

    def test_client_name_is_harmless(self) -> None:
        """What the client calls itself is short and has no control characters."""
        name = "a\r\nb\u202ec" + "x" * 500
        client = Client()
        client.receive(HANDSHAKE + call("connect", 1.0, {"app": "live", "flashVer": name}))
        [request] = client.events
        assert isinstance(request, ConnectRequested)
        self.assertEqual(request.client, "a\ufffd\ufffdb\ufffdc" + "x" * 122)
        self.assertNotIn("live", repr(request))

    def test_before_connect(self) -> None:
        """Commands, media and data before connect are violations; control messages are not."""
        for wire in (
            CREATE,
            PUBLISH,
            call("play", 1.0, None, "key"),
            call("hello", 1.0),
            b"".join(chunks(b"xx")),
            b"".join(chunks(b"")),
            b"".join(chunks(b"\x02\x00\x01x", type_id=18)),
        ):
            with self.subTest(wire=wire[:40]):
                client = Client()
                client.receive(HANDSHAKE + control(1, 4096) + control(5, 100) + control(3, 9))
                error = self.assertRaises(ProtocolError, client.receive, wire)
                self.assertEqual(error.reason, "protocol")
                self.assertIs(client.session.state, State.CLOSED)

    def test_huge_tc_url(self) -> None:
        """A megabyte of tcUrl is too much for a connect."""
        wire = call("connect", 1.0, {"app": "live", "tcUrl": "x" * 1_000_000})
        error = self.assertRaises(ProtocolError, Client().receive, HANDSHAKE + wire)
        self.assertEqual(error.reason, "message_too_large")
        wire = call("connect", 1.0, {"app": "live", "tcUrl": "x" * 70_000})
        error = self.assertRaises(ProtocolError, Client().receive, HANDSHAKE + wire)
        self.assertEqual(error.reason, "amf")


class DialogueTests(SynchronousTestCase):
    def test_obs(self) -> None:
        """OBS: chunk size before connect, pipelined calls, everything on chunk stream 4."""
        client = Client()
        client.receive(
            HANDSHAKE
            + control(1, 4096)
            + call("connect", 1.0, APP, size=4096)
            + call("releaseStream", 2.0, None, "key", size=4096)
            + call("FCPublish", 3.0, None, "key", size=4096)
            + CREATE
        )
        answers = client.answers()
        self.assertEqual(
            [values for _, values in calls(answers)][1:],
            [
                ["_result", 2.0, None, UNDEFINED],
                ["_result", 3.0, None, UNDEFINED],
                ["_result", 4.0, None, 1.0],
            ],
        )
        client.receive(PUBLISH)
        answers = client.answers()
        self.assertEqual(answers[0], Message(4, 0, 0, b"\x00\x00\x00\x00\x00\x01"))
        self.assertEqual(
            codes(answers),
            [
                (1, "onStatus", "NetStream.Publish.Start"),
                (0, "onFCPublish", "NetStream.Publish.Start"),
            ],
        )
        for _, values in calls(answers):
            self.assertEqual(values[1:3], [0.0, None])
            information = values[3]
            assert isinstance(information, dict)
            self.assertEqual(list(information), ["level", "code", "description"])
        request = client.events[-1]
        assert isinstance(request, PublishRequested)
        self.assertEqual((request.app, request.key), ("live", "key"))
        self.assertEqual(request.parameters, {"token": "t"})
        self.assertEqual((request.publish_type, request.message_stream_id), ("live", 1))
        self.assertEqual(request.client, "FMLE/3.0 (compatible; FMSc/1.0)")
        self.assertNotIn("token", repr(request))
        frame = bytes(9000)
        metadata = amf0.encode("@setDataFrame", "onMetaData", {"width": 1280.0})
        client.receive(
            b"".join(
                chunks(metadata, type_id=18, size=4096)
                + chunks(b"\xaf\x00\x12\x10", type_id=8, size=4096)
                + chunks(frame, fmt=1, time=40, type_id=9, size=4096)
                + chunks(b"\xaf\x01abc", fmt=1, time=2, type_id=8, size=4096)
            )
        )
        self.assertEqual(
            client.media,
            [
                (18, 0, metadata),
                (8, 0, b"\xaf\x00\x12\x10"),
                (9, 40, frame),
                (8, 42, b"\xaf\x01abc"),
            ],
        )
        client.receive(call("FCUnpublish", 6.0, None, "key", size=4096) + DELETE)
        self.assertEqual(client.events[2:], [Unpublished("key")])
        self.assertEqual(
            codes(client.answers()), [(0, "onFCUnpublish", "NetStream.Unpublish.Success")]
        )

    def test_ffmpeg(self) -> None:
        """FFmpeg: chunks of 128 bytes, _checkbw, calls that it does not wait for."""
        client = Client()
        client.receive(HANDSHAKE + CONNECT)
        client.answers()
        client.receive(control(5, 2_500_000))
        client.receive(
            call("releaseStream", 2.0, None, "key")
            + call("FCPublish", 3.0, None, "key")
            + CREATE
            + call("_checkbw", 5.0, None)
            + call("getStreamLength", 6.0, None, "key")
        )
        self.assertEqual(
            [values for _, values in calls(client.answers())][2:],
            [
                ["_result", 4.0, None, 1.0],
                ["_result", 5.0, None, None],
                ["_result", 6.0, None, 0.0],
            ],
        )
        client.receive(call("publish", 5.0, None, "key", "live", msid=1, csid=8))
        frame = bytes(range(256)) * 100
        client.receive(b"".join(chunks(frame, csid=6, time=0x1000000)))
        self.assertEqual(client.media, [(9, 0x1000000, frame)])

    def test_gstreamer(self) -> None:
        """GStreamer: transaction id 0, type 3 after type 0, deleteStream by name."""
        client = connected()
        client.receive(
            call("releaseStream", 0.0, None, "key")
            + call("FCPublish", 0.0, None, "key")
            + call("publish", 0.0, None, "key", "live", msid=1)
        )
        answers = client.answers()
        self.assertEqual(codes(answers)[0], (1, "onStatus", "NetStream.Publish.Start"))
        self.assertEqual([v[0] for _, v in calls(answers)], ["onStatus", "onFCPublish"])
        client.receive(b"".join(chunks(b"a", time=20) + chunks(b"b", fmt=3)))
        self.assertEqual([time for _, time, _ in client.media], [20, 40])
        client.receive(
            call("FCUnpublish", 0.0, None, "key") + call("deleteStream", 0.0, None, "key")
        )
        self.assertEqual(client.events[-1:], [Unpublished("key")])
        self.assertEqual(names(client.events).count("Unpublished"), 1)

    def test_pings_and_control_anywhere(self) -> None:
        """Control messages may come on any chunk stream and message stream."""
        client = published()
        client.receive(
            b"".join(chunks(b"\x00\x06abcd", csid=5, type_id=4, msid=1))
            + control(1, 256, csid=6, msid=1)
            + b"".join(chunks(bytes(300), size=256))
        )
        self.assertEqual(client.answers(), [Message(4, 0, 0, b"\x00\x07abcd")])
        self.assertEqual(client.media, [(9, 0, bytes(300))])

    def test_ping_flood(self) -> None:
        """However many pings a read has, one answer goes out."""
        client = published()
        ping = b"".join(chunks(b"\x00\x06abcd", csid=2, type_id=4, msid=0))
        client.receive(ping * 3000)
        self.assertEqual(len(client.answers()), 1)

    def test_republish(self) -> None:
        """After deleteStream the same connection may publish again."""
        client = published()
        client.receive(DELETE + CREATE + call("publish", 0.0, None, "b", msid=2))
        self.assertEqual(names(client.events), ["Unpublished", "PublishRequested"])
        self.assertIs(client.session.state, State.PUBLISHING)
        client.receive(b"".join(chunks(b"new", msid=2)))
        self.assertEqual(client.media, [(9, 0, b"new")])

    def test_any_split(self) -> None:
        """Byte by byte gives the same as in one piece."""
        wire = HANDSHAKE + CONNECT + CREATE + PUBLISH
        wire += b"".join(chunks(bytes(500), time=7)) + DELETE
        whole, bytewise = Client(), Client()
        whole.receive(wire)
        for i in range(len(wire)):
            bytewise.receive(wire[i : i + 1])
        self.assertEqual(whole.events, bytewise.events)
        self.assertEqual(whole.media, bytewise.media)
        self.assertEqual(whole.sent, bytewise.sent)
        self.assertEqual(
            names(whole.events), ["ConnectRequested", "PublishRequested", "Unpublished"]
        )


class PublishTests(SynchronousTestCase):
    def refused(self, client: Client, code: str, message_stream_id: int = 1) -> None:
        """The client was told so, the owner as well, and the session is over."""
        answers = client.answers()
        self.assertEqual(codes(answers), [(message_stream_id, "onStatus", code)])
        self.assertIs(client.session.state, State.CLOSED)
        self.assertEqual(names(client.events), ["ConnectRequested", "Refused"])
        refused = client.events[-1]
        assert isinstance(refused, Refused)
        self.assertEqual(refused.code, code)
        self.assertIn(refused.description, str(calls(answers)))

    def test_bad_names(self) -> None:
        """Names that make no valid key are refused at once."""
        for name in ("../x", "a b", "", "x" * 129, "caf\u00e9", "a\x00b", None, 5.0):
            with self.subTest(name=name):
                client = connected()
                client.receive(call("publish", 5.0, None, name, "live", msid=1) + CREATE)
                self.refused(client, "NetStream.Publish.BadName")

    def test_wrong_message_stream(self) -> None:
        """Publishing on stream 0 or one that was never made is refused."""
        for message_stream_id in (0, 9):
            with self.subTest(message_stream_id=message_stream_id):
                client = connected()
                client.receive(call("publish", 5.0, None, "key", msid=message_stream_id))
                self.refused(client, "NetStream.Publish.Rejected", message_stream_id)

    def test_rejected(self) -> None:
        """The owner's refusal goes to the stream that asked, after nothing else."""
        client = Client(decide=lambda event: isinstance(event, ConnectRequested))
        client.receive(HANDSHAKE + CONNECT + CREATE + PUBLISH)
        client.answers()
        request = client.events[-1]
        assert isinstance(request, PublishRequested)
        client.session.reject(request, status.PUBLISH_DENIED, "no token")
        client.sent += b"".join(client.session.data_to_send())
        answers = client.answers()
        self.assertEqual(codes(answers), [(1, "onStatus", "NetStream.Publish.Denied")])
        self.assertIn("no token", str(calls(answers)))
        self.assertIs(client.session.state, State.CLOSED)

    def test_waits(self) -> None:
        """Until the answer nothing is read; then everything is."""
        client = Client(decide=lambda event: isinstance(event, ConnectRequested))
        client.receive(HANDSHAKE + CONNECT + CREATE + PUBLISH)
        client.answers()
        client.receive(b"".join(chunks(bytes(1000), time=3)))
        client.receive(DELETE)
        self.assertTrue(client.session.waiting)
        self.assertEqual((client.media, client.answers()), ([], []))
        request = client.events[-1]
        assert isinstance(request, PublishRequested)
        self.assertRaises(ValueError, client.session.accept, ConnectRequested("", "", "", 1.0), 0.0)
        self.assertEqual(client.session.accept(request, 0.0), [Unpublished("key")])
        self.assertEqual(client.media, [(9, 3, bytes(1000))])
        self.assertFalse(client.session.waiting)

    def test_waiting_bytes(self) -> None:
        """What is kept for later is limited."""
        limits = Limits(waiting_bytes=1000)
        client = Client(limits, decide=lambda event: isinstance(event, ConnectRequested))
        client.receive(HANDSHAKE + CONNECT + CREATE + PUBLISH)
        client.receive(bytes(1000))
        error = self.assertRaises(ProtocolError, client.receive, b"x")
        self.assertEqual(error.reason, "flood")

    def test_second_publish(self) -> None:
        """A second publish is refused on its own stream; the first goes on."""
        client = published()
        client.receive(CREATE + call("publish", 9.0, None, "other", msid=2))
        self.assertEqual(codes(client.answers()), [(2, "onStatus", "NetStream.Publish.Rejected")])
        client.receive(b"".join(chunks(b"mine", msid=1) + chunks(b"not", csid=7, msid=2)))
        self.assertEqual(client.media, [(9, 0, b"mine")])
        self.assertEqual(client.session.dropped, {"other_stream": 1})
        self.assertEqual(names(client.events), ["Refused"])

    def test_media_on_unopened_stream(self) -> None:
        """Devices that get the message stream id wrong are understood."""
        client = published()
        client.receive(b"".join(chunks(b"a", msid=0) + chunks(b"b", csid=7, msid=12)))
        self.assertEqual([body for _, _, body in client.media], [b"a", b"b"])

    def test_early_media(self) -> None:
        """Media while nothing is published is dropped, then too much."""
        client = connected(Limits(media_before_publish=2000))
        client.receive(b"".join(chunks(bytes(1000)) + chunks(bytes(1000), fmt=3)))
        self.assertEqual(client.session.dropped, {"early_media": 2})
        error = self.assertRaises(ProtocolError, client.receive, b"".join(chunks(b"x", csid=7)))
        self.assertEqual(error.reason, "early_media")
        self.assertEqual(client.media, [])

    def test_message_limit_grows(self) -> None:
        """Large messages are for accepted publishers, and no longer."""
        limits = Limits(message_before_publish=1000, message=5000)
        client = published(limits)
        client.receive(b"".join(chunks(bytes(5000))))
        self.assertEqual(len(client.media), 1)
        client.receive(DELETE)
        error = self.assertRaises(ProtocolError, client.receive, b"".join(chunks(bytes(1001))))
        self.assertEqual(error.reason, "message_too_large")

    def test_ends(self) -> None:
        """Each way to end a publish ends it once."""
        for wire in (
            DELETE,
            call("deleteStream", 0.0, None, "key"),
            call("deleteStream", 0.0, None, "key?token=t"),
            call("deleteStream", 0.0, None),
            call("closeStream", 0.0, None, msid=1),
            call("closeStream", 0.0, None, "key"),
            call("FCUnpublish", 0.0, None, "key"),
            call("FCUnpublish", 0.0, None),
        ):
            with self.subTest(wire=wire):
                client = published()
                client.receive(wire + wire + DELETE)
                self.assertEqual(client.events, [Unpublished("key")])
                self.assertIs(client.session.state, State.CONNECTED)
                client.receive(b"".join(chunks(b"late")))
                self.assertEqual(client.session.dropped, {"early_media": 1})

    def test_not_ends(self) -> None:
        """What names something else does not end the publish."""
        for wire in (
            call("deleteStream", 0.0, None, 99.0),
            call("deleteStream", 0.0, None, -1.0),
            call("deleteStream", 0.0, None, math.nan),
            call("deleteStream", 0.0, None, math.inf),
            call("deleteStream", 0.0, None, "other"),
            call("closeStream", 0.0, None, msid=9),
            call("FCUnpublish", 0.0, None, "other"),
            call("FCUnpublish", 0.0, None, "../key"),
            call("releaseStream", 0.0, None, "key"),
        ):
            with self.subTest(wire=wire):
                client = published()
                client.receive(wire)
                self.assertEqual(client.events, [])
                self.assertIs(client.session.state, State.PUBLISHING)

    def test_finish(self) -> None:
        """An accepted publisher is told why it is over; others are just closed."""
        client = published()
        client.session.finish(status.PUBLISH_REJECTED, "going down")
        client.sent += b"".join(client.session.data_to_send())
        self.assertEqual(codes(client.answers()), [(1, "onStatus", "NetStream.Publish.Rejected")])
        self.assertIs(client.session.state, State.CLOSED)
        client.receive(b"".join(chunks(b"x")))
        self.assertEqual(client.media, [])
        for client in (Client(), connected()):
            client.session.finish(status.PUBLISH_REJECTED, "going down")
            self.assertIs(client.session.state, State.CLOSED)
            self.assertEqual(client.session.data_to_send(), [])

    def test_finish_while_waiting(self) -> None:
        """A client that asked to publish is told why there will be no answer."""
        client = Client(decide=lambda event: isinstance(event, ConnectRequested))
        client.receive(HANDSHAKE + CONNECT + CREATE + PUBLISH)
        client.answers()
        client.session.finish(status.PUBLISH_REJECTED, "going down")
        client.sent += b"".join(client.session.data_to_send())
        self.assertEqual(codes(client.answers()), [(1, "onStatus", "NetStream.Publish.Rejected")])
        request = client.events[-1]
        assert isinstance(request, PublishRequested)
        self.assertEqual(client.session.accept(request, 0.0), [])

    def test_finish_inside_media(self) -> None:
        """A session that is ended while it delivers media delivers no more of that read."""
        client = published()
        session = client.session

        def receive(type_id: int, time: int, payload: bytes) -> None:
            client.media.append((type_id, time, payload))
            session.finish(status.PUBLISH_REJECTED, "enough")

        session.on_media = receive
        client.receive(b"".join(chunks(b"1") + chunks(b"2") + chunks(b"3")))
        self.assertEqual(len(client.media), 1)


class CommandTests(SynchronousTestCase):
    def test_unknown_calls(self) -> None:
        """An unknown call gets an empty result when it has a transaction id; answers get none."""
        client = connected()
        client.receive(
            call("what", 7.0, None)
            + call("what", 0.0, None)
            + call("_result", 8.0, None)
            + call("_error", 8.0, None)
            + call("onStatus", 8.0, None)
        )
        self.assertEqual(calls(client.answers()), [(0, ["_result", 7.0, None, None])])

    def test_amf3_command(self) -> None:
        """A command of type 17 starts with a format selector."""
        client = connected()
        payload = b"\x00" + amf0.encode("what", 7.0, None)
        client.receive(b"".join(chunks(payload, type_id=17, msid=0)))
        self.assertEqual(calls(client.answers()), [(0, ["_result", 7.0, None, None])])

    def test_create_stream_limit(self) -> None:
        """A connection has so many message streams, and no more until one is deleted."""
        client = connected(Limits(message_streams=2))
        client.receive(CREATE + CREATE + DELETE + CREATE)
        answers = [values for _, values in calls(client.answers())]
        self.assertEqual(answers[0], ["_result", 4.0, None, 2.0])
        self.assertEqual(answers[1][0], "_error")
        self.assertEqual(answers[2], ["_result", 4.0, None, 3.0])

    def test_unreadable(self) -> None:
        """An unreadable command ends a client that publishes nothing; else it is dropped."""
        for payload in (b"\x02", amf0.encode(1.0), amf0.encode("x", "1"), b"\x03\x00\x00" * 50):
            with self.subTest(payload=payload):
                wire = b"".join(chunks(payload, type_id=20, msid=0))
                error = self.assertRaises(ProtocolError, connected().receive, wire)
                self.assertEqual(error.reason, "amf")
                client = published()
                client.receive(wire)
                self.assertEqual(client.session.dropped, {"amf": 1})

    def test_flood(self) -> None:
        """So many commands in a second, and no more; a clock that is put back starts anew."""
        client = connected(Limits(messages_per_second=100))
        what = call("what", 0.0)
        client.now = 5.0
        client.receive(what * 100)
        client.now = 6.0
        client.receive(what * 100)
        client.now = -3600.0
        client.receive(what * 100)
        error = self.assertRaises(ProtocolError, client.receive, what)
        self.assertEqual(error.reason, "flood")

    def test_small_messages_flood(self) -> None:
        """A message may take one byte on the wire: all but a publisher's media are counted."""
        for type_id in (1, 3, 4, 5, 6, 8, 9, 16, 22):
            for client in (
                connected(Limits(messages_per_second=100)),
                published(Limits(messages_per_second=100)),
            ):
                with self.subTest(type_id=type_id, state=client.session.state):
                    body = (1000).to_bytes(4, "big") if type_id in (1, 5) else b""
                    start = b"".join(chunks(body, type_id=type_id))
                    error = self.assertRaises(
                        ProtocolError, client.receive, start + (basic(3, 4) + body) * 100
                    )
                    self.assertEqual(error.reason, "flood")

    def test_media_is_no_flood(self) -> None:
        """An accepted publisher may send any number of frames."""
        client = published(Limits(messages_per_second=10))
        client.receive(b"".join(chunks(b"frame") * 1000))
        self.assertEqual(len(client.media), 1000)

    def test_partial_bytes(self) -> None:
        """Unfinished messages may take much memory from the grant to the unpublish only."""
        limits = Limits(partial_bytes_before_publish=100_000)
        parts = [chunks(bytes(60_000), csid=csid, size=60_000, length=65_000)[0] for csid in (6, 7)]
        wire = control(1, 60_000) + b"".join(parts)
        again = published(limits)
        again.receive(DELETE)
        for client in (connected(limits), again):
            error = self.assertRaises(ProtocolError, client.receive, wire)
            self.assertEqual(error.reason, "partial_bytes")
        published(limits).receive(wire)

    def test_data_flood(self) -> None:
        """Data messages count, too."""
        client = published(Limits(messages_per_second=100))
        wire = b"".join(chunks(b"\x05", type_id=18))
        error = self.assertRaises(ProtocolError, client.receive, wire * 101)
        self.assertEqual(error.reason, "flood")


class MessageTests(SynchronousTestCase):
    def test_dropped(self) -> None:
        """Messages that mean nothing are counted and left out."""
        client = published()
        for type_id in (0, 7, 12, 16, 19, 21, 255):
            client.receive(b"".join(chunks(b"x", csid=9, type_id=type_id)))
        client.receive(b"".join(chunks(b"", type_id=8) + chunks(b"", type_id=9)))
        self.assertEqual(client.session.dropped, {"unknown_type": 7, "empty": 2})
        self.assertEqual(client.media, [])

    def test_metadata_limit(self) -> None:
        """Data messages have a limit of their own; both types are passed on."""
        client = published(Limits(metadata=100))
        client.receive(
            b"".join(
                chunks(bytes(100), type_id=18)
                + chunks(bytes(100), type_id=15)
                + chunks(bytes(101), type_id=18)
            )
        )
        self.assertEqual(client.media, [(18, 0, bytes(100)), (15, 0, bytes(100))])
        self.assertEqual(client.session.dropped, {"metadata_too_large": 1})

    def test_aggregate(self) -> None:
        """The messages in an aggregate are taken one by one; nested ones are not."""

        def tag(type_id: int, time: int, body: bytes) -> bytes:
            header = bytes([type_id]) + len(body).to_bytes(3, "big") + time.to_bytes(3, "big")
            return header + bytes(4) + body + bytes(4)

        client = published()
        payload = tag(9, 50, b"v") + tag(8, 60, b"a") + tag(22, 0, b"x") + tag(18, 70, b"d")
        client.receive(b"".join(chunks(payload + b"\x08junk", type_id=22, time=1000)))
        self.assertEqual(client.media, [(9, 1000, b"v"), (8, 1010, b"a"), (18, 1020, b"d")])
        self.assertEqual(client.session.dropped, {"unknown_type": 1, "aggregate": 1})
        client.receive(b"".join(chunks(tag(8, 5, b"b"), type_id=22, time=2000)))
        self.assertEqual(client.media[-1], (8, 2000, b"b"))

    def test_long_aggregate(self) -> None:
        """Only so many of the messages in one aggregate are taken."""
        client = published(Limits(aggregated_messages=10))
        tag = b"\x08\0\0\1" + bytes(7) + b"a" + bytes(4)
        client.receive(b"".join(chunks(tag * 10, type_id=22) + chunks(tag * 11, type_id=22)))
        self.assertEqual(len(client.media), 20)
        self.assertEqual(client.session.dropped, {"aggregate": 1})

    def test_acknowledges(self) -> None:
        """Bytes are acknowledged at half the window that the client asked for."""
        client = published()
        before = client.session.bytes_received
        client.receive(control(5, 200_000))
        message = b"".join(chunks(bytes(120_000)))
        client.receive(message)
        self.assertEqual(
            client.answers(),
            [Message(3, 0, 0, (before + 16 + len(message)).to_bytes(4, "big"))],
        )

    def test_abort(self) -> None:
        """Abort drops an unfinished message; one that names none is cut short."""
        client = published()
        client.receive(chunks(bytes(300), csid=6)[0] + control(2, 6))
        client.receive(b"".join(chunks(b"whole", csid=6)))
        self.assertEqual(client.media, [(9, 0, b"whole")])
        wire = b"".join(chunks(b"abc", csid=2, type_id=2, msid=0))
        error = self.assertRaises(ProtocolError, client.receive, wire)
        self.assertEqual(error.reason, "protocol")

    def test_chunk_size_refused(self) -> None:
        """A chunk size that only an attack would use ends the session."""
        error = self.assertRaises(ProtocolError, published().receive, control(1, 1))
        self.assertEqual(error.reason, "chunk_size")

    def test_harmless_control(self) -> None:
        """Acknowledgements, bandwidths and unknown events are taken without an answer."""
        client = published()
        client.receive(
            control(3, 0xFFFFFFFF)
            + control(6, 0)
            + control(5, 0)
            + b"".join(chunks(b"\x00\x1f" + bytes(4), csid=2, type_id=4, msid=0))
            + b"".join(chunks(b"\x00", csid=2, type_id=4, msid=0))
        )
        self.assertEqual(client.answers(), [])
        self.assertEqual(client.session.dropped, {})


class PropertyTests(SynchronousTestCase):
    DIALOGUE = (
        HANDSHAKE
        + control(1, 4096)
        + call("connect", 1.0, APP, size=4096)
        + call("releaseStream", 2.0, None, "key")
        + CREATE
        + PUBLISH
        + b"".join(chunks(bytes(6000), time=40, size=4096) + chunks(bytes(50), fmt=1, csid=4))
        + call("FCUnpublish", 6.0, None, "key")
        + DELETE
    )

    @given(st.lists(st.integers(1, 3000), max_size=30))
    @settings(max_examples=50, deadline=None)
    def test_any_split(self, cuts: list[int]) -> None:
        """However a dialogue is cut, the same comes of it."""
        whole, cut = Client(), Client()
        whole.receive(self.DIALOGUE)
        position = 0
        for size in [*cuts, len(self.DIALOGUE)]:
            cut.receive(self.DIALOGUE[position : position + size])
            position += size
        self.assertEqual(whole.events, cut.events)
        self.assertEqual(whole.media, cut.media)
        self.assertEqual(whole.sent, cut.sent)

    @given(st.integers(0, len(DIALOGUE) - 1), st.binary(min_size=1, max_size=300))
    @settings(max_examples=150, deadline=None)
    def test_damage(self, position: int, junk: bytes) -> None:
        """A damaged dialogue raises nothing but ProtocolError, and ends what it began once."""
        wire = self.DIALOGUE[:position] + junk + self.DIALOGUE[position + len(junk) :]
        client = Client()
        try:
            client.receive(wire)
        except ProtocolError as error:
            self.assertRegex(error.reason, "^[a-z_]+$")
            self.assertIs(client.session.state, State.CLOSED)
        publishes = [e for e in client.events if isinstance(e, PublishRequested)]
        ends = [e for e in client.events if isinstance(e, Unpublished)]
        self.assertIn(len(publishes) - len(ends), (0, 1))

    @given(st.binary(max_size=500))
    @settings(max_examples=100, deadline=None)
    def test_garbage_after_publish(self, junk: bytes) -> None:
        """Arbitrary bytes of an accepted publisher raise nothing but ProtocolError."""
        client = published()
        try:
            client.receive(junk)
        except ProtocolError as error:
            self.assertRegex(error.reason, "^[a-z_]+$")

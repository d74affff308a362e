"""Tests of playing from a server's session: dialogues as real players lead them."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.amf import amf0
from rapidrtmp.amf.values import UNDEFINED, Value
from rapidrtmp.rtmp import status
from rapidrtmp.rtmp.capabilities import CAN_FORWARD, RECONNECT, Capabilities
from rapidrtmp.rtmp.errors import ProtocolError
from rapidrtmp.rtmp.events import (
    ConnectRequested,
    PlayPaused,
    PlayRequested,
    PlayStopped,
    ReceiveChanged,
    Refused,
)
from rapidrtmp.rtmp.limits import Limits
from rapidrtmp.rtmp.media_encoder import MediaEncoder
from rapidrtmp.rtmp.netconnection import State
from tests.rtmp.test_session import (
    APP,
    CONNECT,
    CREATE,
    DELETE,
    PUBLISH,
    Client,
    connected,
    names,
    published,
)
from tests.rtmp.wire import HANDSHAKE, Message, call, calls, chunks, codes

PLAY = call("play", 5.0, None, "key?token=t", -2000.0, msid=1, csid=8)
BEGIN, EOF = b"\x00\x00", b"\x00\x01"
STREAM_1 = b"\x00\x00\x00\x01"


def playing(limits: Limits | None = None) -> Client:
    """A client that plays on stream 1."""
    client = connected(limits)
    client.receive(PLAY)
    client.answers()
    assert client.session.state is State.PLAYING
    client.events.clear()
    return client


def flush(client: Client) -> list[Message]:
    """Return what the owner's own calls have made the session send."""
    client.sent += b"".join(client.session.data_to_send())
    return client.answers()


class PlayTests(SynchronousTestCase):
    def test_start(self) -> None:
        """What comes before media comes in the order that players expect."""
        client = connected()
        client.receive(PLAY)
        answers = client.answers()
        self.assertEqual(answers[0], Message(4, 0, 0, BEGIN + STREAM_1))
        self.assertEqual(
            codes(answers),
            [(1, "onStatus", "NetStream.Play.Reset"), (1, "onStatus", "NetStream.Play.Start")],
        )
        self.assertEqual(
            answers[3:], [Message(18, 1, 0, amf0.encode("|RtmpSampleAccess", True, True))]
        )
        self.assertIs(client.session.state, State.PLAYING)
        self.assertFalse(client.session.waiting)
        request = client.events[-1]
        assert isinstance(request, PlayRequested)
        self.assertEqual((request.app, request.key), ("live", "key"))
        self.assertEqual(request.parameters, {"token": "t"})
        self.assertEqual((request.start, request.message_stream_id), (-2000.0, 1))
        self.assertEqual(request.client, "FMLE/3.0 (compatible; FMSc/1.0)")
        self.assertNotIn("token", repr(request))

    def test_ffmpeg(self) -> None:
        """FFmpeg: getStreamLength on the way, then its buffer length."""
        client = Client()
        client.receive(HANDSHAKE + CONNECT)
        client.answers()
        client.receive(
            CREATE
            + call("_checkbw", 3.0, None)
            + call("getStreamLength", 5.0, None, "key", csid=8)
            + call("play", 6.0, None, "key", -2000.0, msid=1, csid=8)
            + b"".join(
                chunks(b"\x00\x03" + STREAM_1 + b"\x00\x00\x0b\xb8", csid=2, type_id=4, msid=0)
            )
        )
        answers = client.answers()
        self.assertEqual(
            [values for _, values in calls(answers)][:3],
            [
                ["_result", 4.0, None, 1.0],
                ["_result", 3.0, None, None],
                ["_result", 5.0, None, 0.0],
            ],
        )
        self.assertEqual(client.session.buffer_length, 3000)
        wire = MediaEncoder().encode(9, 40, (b"\x17\x01\x00\x00\x00", b"frame"))
        client.sent += wire
        self.assertEqual(client.answers(), [Message(9, 1, 40, b"\x17\x01\x00\x00\x00frame")])

    def test_arguments(self) -> None:
        """Start and reset may be missing or odd; play2 names the stream in an object."""
        cases: list[tuple[bytes, float, bool]] = [
            (call("play", 0.0, None, "key", msid=1), -2.0, True),
            (call("play", 0.0, None, "key", -1.0, -1.0, False, msid=1), -1.0, False),
            (call("play", 0.0, None, "key", 5.0, -1.0, 1.0, msid=1), 5.0, True),
            (call("play", 0.0, None, "key", float("nan"), None, None, msid=1), -2.0, True),
            (call("play", 0.0, None, "key", "x", "y", 0.0, msid=1), -2.0, False),
            (call("play2", 0.0, None, {"streamName": "key", "len": 1.0}, msid=1), -2.0, True),
        ]
        for wire, start, is_reset in cases:
            with self.subTest(wire=wire):
                client = connected()
                client.receive(wire)
                request = client.events[-1]
                assert isinstance(request, PlayRequested)
                self.assertEqual(
                    (request.key, request.start, request.is_reset), ("key", start, is_reset)
                )
                found = [code for _, _, code in codes(client.answers())]
                self.assertEqual("NetStream.Play.Reset" in found, is_reset)

    def test_rejected(self) -> None:
        """The owner's refusal is an error on the stream that asked, and the end."""
        for code in (status.PLAY_STREAM_NOT_FOUND, status.PLAY_FAILED):
            client = Client(decide=lambda event: isinstance(event, ConnectRequested))
            client.receive(HANDSHAKE + CONNECT + CREATE + PLAY)
            client.answers()
            self.assertTrue(client.session.waiting)
            request = client.events[-1]
            assert isinstance(request, PlayRequested)
            client.session.reject(request, code, "no such stream")
            answers = flush(client)
            self.assertEqual(codes(answers), [(1, "onStatus", code)])
            self.assertIn("no such stream", str(calls(answers)))
            self.assertIs(client.session.state, State.CLOSED)

    def test_refused(self) -> None:
        """What names no stream is refused at once."""
        cases = [
            (call("play", 5.0, None, "../x", msid=1), status.PLAY_STREAM_NOT_FOUND, 1),
            (call("play", 5.0, None, "", msid=1), status.PLAY_STREAM_NOT_FOUND, 1),
            (call("play2", 5.0, None, {"x": "key"}, msid=1), status.PLAY_STREAM_NOT_FOUND, 1),
            (call("play", 5.0, None, "key", msid=0), status.PLAY_FAILED, 0),
            (call("play", 5.0, None, "key", msid=9), status.PLAY_FAILED, 9),
        ]
        for wire, code, message_stream_id in cases:
            with self.subTest(wire=wire):
                client = connected()
                client.receive(wire)
                self.assertEqual(codes(client.answers()), [(message_stream_id, "onStatus", code)])
                self.assertIs(client.session.state, State.CLOSED)
                refused = client.events[-1]
                assert isinstance(refused, Refused)
                self.assertEqual(refused.code, code)

    def test_second_play(self) -> None:
        """A second play takes the place of the first, on any message stream (A68)."""
        for prepare, message_stream_id in ((b"", 1), (CREATE, 2)):
            client = playing()
            client.receive(prepare + call("play", 0.0, None, "other", msid=message_stream_id))
            self.assertEqual(names(client.events), ["PlayStopped", "PlayRequested"])
            self.assertEqual(client.events[0], PlayStopped("key"))
            self.assertIs(client.session.state, State.PLAYING)
            self.assertEqual(codes(client.answers())[-1][0], message_stream_id)
            client.receive(call("closeStream", 0.0, None, msid=message_stream_id))
            self.assertEqual(client.events[2:], [PlayStopped("other")])

    def test_plays_limit(self) -> None:
        """One connection asks to play so many times, and no more (A68)."""
        client = connected()
        client.receive(PLAY * 16)
        self.assertEqual(names(client.events).count("PlayRequested"), 16)
        self.assertIs(client.session.state, State.PLAYING)
        client.answers()
        client.receive(PLAY * 2)
        self.assertEqual(codes(client.answers()), [(1, "onStatus", "NetStream.Play.Failed")])
        self.assertIs(client.session.state, State.CLOSED)
        self.assertEqual(names(client.events).count("PlayRequested"), 16)

    def test_stops(self) -> None:
        """Each way to stop playing stops it once; the connection goes on."""
        for wire in (
            DELETE,
            call("closeStream", 0.0, None, msid=1),
            call("closeStream", 0.0, None),
        ):
            with self.subTest(wire=wire):
                client = playing()
                client.receive(wire + wire + DELETE)
                self.assertEqual(client.events, [PlayStopped("key")])
                self.assertIs(client.session.state, State.CONNECTED)
                client.receive(CREATE + call("play", 0.0, None, "key", msid=2))
                self.assertIs(client.session.state, State.PLAYING)

    def test_not_stops(self) -> None:
        """What names something else stops nothing."""
        client = playing()
        client.receive(
            call("deleteStream", 0.0, None, 2.0)
            + call("deleteStream", 0.0, None, "key")
            + call("closeStream", 0.0, None, msid=2)
            + call("FCUnpublish", 0.0, None, "key")
        )
        self.assertEqual(client.events, [])
        self.assertIs(client.session.state, State.PLAYING)

    def test_publish_and_play(self) -> None:
        """A publisher cannot play, but goes on; a player that publishes plays no more."""
        client = published()
        client.receive(CREATE + call("play", 0.0, None, "key", msid=2))
        self.assertEqual(codes(client.answers()), [(2, "onStatus", "NetStream.Play.Failed")])
        self.assertIs(client.session.state, State.PUBLISHING)
        client = playing()
        client.receive(CREATE + call("publish", 0.0, None, "mine", "live", msid=2))
        self.assertEqual(names(client.events), ["PlayStopped", "PublishRequested"])
        self.assertIs(client.session.state, State.PUBLISHING)

    def test_end_play(self) -> None:
        """The player is told that the publisher has gone, and may play something else."""
        client = playing()
        client.session.end_play(status.PLAY_UNPUBLISH_NOTIFY, "the stream has ended")
        answers = flush(client)
        self.assertEqual(
            codes(answers),
            [
                (1, "onStatus", "NetStream.Play.UnpublishNotify"),
                (1, "onStatus", "NetStream.Play.Stop"),
            ],
        )
        self.assertEqual(answers[-1], Message(4, 0, 0, EOF + STREAM_1))
        self.assertIs(client.session.state, State.CONNECTED)
        client.session.end_play(status.PLAY_UNPUBLISH_NOTIFY, "again")
        self.assertEqual(flush(client), [])
        client.receive(DELETE + CREATE + call("play", 0.0, None, "b", msid=2))
        self.assertEqual(names(client.events), ["PlayRequested"])

    def test_end_play_with_stop(self) -> None:
        """A stop is told once."""
        client = playing()
        client.session.end_play(status.PLAY_STOP, "stopped")
        answers = flush(client)
        self.assertEqual(codes(answers), [(1, "onStatus", "NetStream.Play.Stop")])
        self.assertEqual(len(answers), 2)

    def test_finish(self) -> None:
        """A player is told why it is over, granted or not."""
        for client in (
            playing(),
            Client(decide=lambda event: isinstance(event, ConnectRequested)),
        ):
            if client.session.state is State.HANDSHAKE:
                client.receive(HANDSHAKE + CONNECT + CREATE + PLAY)
                client.answers()
            client.session.finish(status.PLAY_FAILED, "too slow")
            self.assertEqual(codes(flush(client)), [(1, "onStatus", "NetStream.Play.Failed")])
            self.assertIs(client.session.state, State.CLOSED)

    def test_media_of_a_player(self) -> None:
        """What a player sends as media is dropped, and not without end."""
        client = playing(Limits(media_before_publish=2000))
        client.receive(b"".join(chunks(bytes(1500))))
        self.assertEqual(client.session.dropped, {"early_media": 1})
        error = self.assertRaises(ProtocolError, client.receive, b"".join(chunks(bytes(600))))
        self.assertEqual(error.reason, "early_media")

    def test_waits(self) -> None:
        """Until the answer nothing is read; then everything is."""
        client = Client(decide=lambda event: isinstance(event, ConnectRequested))
        client.receive(HANDSHAKE + CONNECT + CREATE + PLAY + call("pause", 0.0, None, True, msid=1))
        request = client.events[-1]
        assert isinstance(request, PlayRequested)
        self.assertEqual(client.session.accept(request, 0.0), [PlayPaused(True)])


class ControlTests(SynchronousTestCase):
    def test_pause(self) -> None:
        """Pausing is answered each time, and told to the owner when it changes something."""
        client = playing()
        pause = call("pause", 0.0, None, True, 1000.0, msid=1)
        go_on = call("pause", 0.0, None, False, 1000.0, msid=1)
        client.receive(pause + pause)
        answers = client.answers()
        self.assertEqual(codes(answers), [(1, "onStatus", "NetStream.Pause.Notify")] * 2)
        self.assertEqual(answers[1], Message(4, 0, 0, EOF + STREAM_1))
        client.receive(go_on + go_on)
        answers = client.answers()
        self.assertEqual(codes(answers), [(1, "onStatus", "NetStream.Unpause.Notify")] * 2)
        self.assertEqual(answers[1], Message(4, 0, 0, BEGIN + STREAM_1))
        self.assertEqual(client.events, [PlayPaused(True), PlayPaused(False)])
        client.receive(call("pauseRaw", 0.0, None, True, 0.0, msid=1))
        self.assertEqual(client.events[2:], [PlayPaused(True)])

    def test_paused_no_more(self) -> None:
        """Another play begins with everything switched on."""
        client = playing()
        client.receive(
            call("pause", 0.0, None, True, msid=1) + call("receiveAudio", 0.0, None, False, msid=1)
        )
        client.receive(PLAY + call("pause", 0.0, None, True, msid=1))
        self.assertEqual(client.events[-1], PlayPaused(True))
        client.receive(call("receiveVideo", 0.0, None, False, msid=1))
        self.assertEqual(client.events[-1], ReceiveChanged(audio=True, video=False))

    def test_receive(self) -> None:
        """A player may want sound or pictures only; nothing is answered."""
        client = playing()
        client.receive(
            call("receiveVideo", 0.0, None, True, msid=1)
            + call("receiveVideo", 0.0, None, False, msid=1)
            + call("receiveAudio", 0.0, None, 0.0, msid=1)
            + call("receiveVideo", 0.0, None, msid=1)
        )
        self.assertEqual(
            client.events,
            [
                ReceiveChanged(audio=True, video=False),
                ReceiveChanged(audio=False, video=False),
                ReceiveChanged(audio=False, video=True),
            ],
        )
        self.assertEqual(client.answers(), [])

    def test_seek(self) -> None:
        """A live stream has one position; seeking is answered all the same."""
        client = playing()
        client.receive(call("seek", 0.0, None, 5000.0, msid=1))
        self.assertEqual(codes(client.answers()), [(1, "onStatus", "NetStream.Seek.Notify")])
        self.assertEqual(client.events, [])

    def test_not_playing(self) -> None:
        """Who plays nothing gets an empty result for such calls, if any."""
        for client in (connected(), published()):
            client.events.clear()
            for name in ("pause", "seek", "receiveAudio", "receiveVideo"):
                client.receive(call(name, 0.0, None, False, msid=1))
                client.receive(call(name, 7.0, None, False, msid=1))
                self.assertEqual(calls(client.answers()), [(0, ["_result", 7.0, None, None])])
            self.assertEqual(client.events, [])

    def test_fc_subscribe(self) -> None:
        """FCSubscribe is answered in both ways that clients wait for."""
        client = connected()
        client.receive(call("FCSubscribe", 3.0, None, "key"))
        answers = client.answers()
        self.assertEqual(calls(answers)[0], (0, ["_result", 3.0, None, UNDEFINED]))
        self.assertEqual(codes(answers), [(0, "onFCSubscribe", "NetStream.Play.Start")])

    def test_short_buffer_length(self) -> None:
        """A cut buffer length is no error."""
        client = playing()
        client.receive(b"".join(chunks(b"\x00\x03" + bytes(7), csid=2, type_id=4, msid=0)))
        self.assertEqual(client.session.buffer_length, 0)


class EnhancedTests(SynchronousTestCase):
    OURS = Capabilities(video={"hvc1": CAN_FORWARD}, audio={"Opus": CAN_FORWARD}, caps_ex=3)
    THEIRS: dict[str, Value] = {
        **APP,
        "fourCcList": ["hvc1", "av01"],
        "capsEx": 1.0,
        "videoFunction": 2.0,
    }

    def test_announced(self) -> None:
        """The owner learns what the client can do, when it connects and when it plays."""
        client = Client(capabilities=self.OURS)
        client.receive(HANDSHAKE + call("connect", 1.0, self.THEIRS) + CREATE + PLAY)
        expected = Capabilities(frozenset(("hvc1", "av01")), caps_ex=1, video_function=2)
        for event in client.events:
            assert isinstance(event, ConnectRequested | PlayRequested)
            self.assertEqual(event.capabilities, expected)
        self.assertEqual(len(client.events), 2)

    def test_answered(self) -> None:
        """Ours are in both objects of the answer, but only for clients that know of such."""
        members = self.OURS.members()
        for properties, expected in ((self.THEIRS, members), (APP, {})):
            client = Client(capabilities=self.OURS)
            client.receive(HANDSHAKE + call("connect", 1.0, properties))
            [(_, values)] = calls(client.answers())
            for value in values[2:]:
                assert isinstance(value, dict)
                self.assertEqual({k: v for k, v in value.items() if k in members}, expected)
            self.assertEqual(len(values), 4)

    def test_too_many(self) -> None:
        """A list of any length is no reason to refuse a client, until it is an attack (A72)."""
        odd: dict[str, Value] = {
            "app": "live",
            "fourCcList": [f"{number:04}" for number in range(900)],
            "capsEx": "x",
            "videoFourCcInfoMap": {"hvc1": float("nan")},
        }
        client = Client(capabilities=self.OURS)
        client.receive(HANDSHAKE + call("connect", 1.0, odd))
        self.assertIs(client.session.state, State.CONNECTED)
        odd["fourCcList"] = [f"{number:04}" for number in range(2000)]
        error = self.assertRaises(
            ProtocolError, Client().receive, HANDSHAKE + call("connect", 1.0, odd)
        )
        self.assertEqual(error.reason, "amf")

    def test_reconnect_request(self) -> None:
        """Only clients that announce to understand it are asked to connect anew."""
        client = Client()
        client.receive(HANDSHAKE)
        self.assertFalse(client.session.request_reconnect(None, "too early"))
        client.receive(call("connect", 1.0, {**APP, "capsEx": float(RECONNECT)}) + CREATE + PUBLISH)
        client.answers()
        self.assertTrue(client.session.request_reconnect("rtmp://other/live", "going down"))
        self.assertTrue(client.session.request_reconnect(None, "going down"))
        first, second = (values[3] for _, values in calls(flush(client)))
        expected: dict[str, Value] = {
            "level": "status",
            "code": "NetConnection.Connect.ReconnectRequest",
            "description": "going down",
        }
        self.assertEqual(first, {**expected, "tcUrl": "rtmp://other/live"})
        self.assertEqual(second, expected)
        self.assertIs(client.session.state, State.PUBLISHING)
        client.session.finish(status.PUBLISH_REJECTED, "gone")
        self.assertFalse(client.session.request_reconnect(None, "too late"))
        self.assertFalse(playing().session.request_reconnect(None, "not announced"))


class PropertyTests(SynchronousTestCase):
    DIALOGUE = (
        HANDSHAKE
        + CONNECT
        + CREATE
        + call("FCSubscribe", 3.0, None, "key")
        + PLAY
        + call("pause", 0.0, None, True, 5.0, msid=1)
        + call("receiveAudio", 0.0, None, False, msid=1)
        + call("play", 0.0, None, "other", msid=1)
        + call("seek", 0.0, None, 1.0, msid=1)
        + DELETE
    )

    @given(st.lists(st.integers(1, 3000), max_size=30))
    @settings(max_examples=30, deadline=None)
    def test_any_split(self, cuts: list[int]) -> None:
        """However a dialogue is cut, the same comes of it."""
        whole, cut = Client(), Client()
        whole.receive(self.DIALOGUE)
        position = 0
        for size in [*cuts, len(self.DIALOGUE)]:
            cut.receive(self.DIALOGUE[position : position + size])
            position += size
        self.assertEqual(whole.events, cut.events)
        self.assertEqual(whole.sent, cut.sent)
        self.assertEqual(names(whole.events).count("PlayStopped"), 2)

    @given(st.integers(0, len(DIALOGUE) - 1), st.binary(min_size=1, max_size=300))
    @settings(max_examples=100, deadline=None)
    def test_damage(self, position: int, junk: bytes) -> None:
        """A damaged dialogue raises nothing but ProtocolError, and stops what it began once."""
        client = Client()
        try:
            client.receive(self.DIALOGUE[:position] + junk + self.DIALOGUE[position + len(junk) :])
        except ProtocolError:
            self.assertIs(client.session.state, State.CLOSED)
        kinds = names(client.events)
        self.assertIn(kinds.count("PlayRequested") - kinds.count("PlayStopped"), (0, 1))

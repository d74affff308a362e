"""AMF and commands at a whole server: cases A45 to A72 as far as memory shows them."""

import math

from rapidrtmp.amf import amf0
from rapidrtmp.amf.values import Value
from tests.faults.case import AVC, CONNECT, CREATE, INTER_FRAME, FaultCase, publish_call, video
from tests.rtmp.wire import HANDSHAKE, call, calls, chunks

DENIED = "NetStream.Publish.Denied"
BAD_NAME = "NetStream.Publish.BadName"
REJECTED = "NetStream.Publish.Rejected"

NUMBER = b"\0" + bytes(8)
BOMBS = [
    ("17 objects", (b"\3\0\1a" * 17) + b"\5"),
    ("1000 objects", (b"\3\0\1a" * 1000) + b"\5"),
    ("20000 arrays", b"\x0a\0\0\0\1" * 20_000),
    ("array of 2^32 - 1", b"\x0a\xff\xff\xff\xff" + NUMBER),
    ("long string over the end", b"\x0c\xff\xff\xff\xffabc"),
    ("string over the end", b"\2\xff\xffabc"),
    ("reference to nothing", b"\7\0\1"),
    ("reference to itself", b"\3\0\1a\7\0\0"),
    ("typed object cut short", b"\x10\0\4Evil\0\1a"),
    ("AMF3 object reference", b"\x11\x0a\x7e"),
    ("AMF3 string reference", b"\x11\x06\x7e"),
    ("AMF3 traits reference", b"\x11\x0a\x7d"),
    ("AMF3 date cut short", b"\x11\x08\x01\0"),
    ("unknown marker", b"\x0e"),
]
"""What no value is, or what nests too deep (A45, A47, A48)."""
TOLERATED = [
    ("count 2^32 - 1", b"\x08\xff\xff\xff\xff\0\3app\2\0\4live\0\0\x09"),
    ("count 0", b"\x08\0\0\0\0\0\3app\2\0\4live\0\0\x09"),
    ("no end", b"\x08\0\0\0\1\0\3app\2\0\4live"),
]
"""ECMA arrays as encoders write them (A46)."""


def raw_command(name: str, tail: bytes, csid: int = 3, type_id: int = 20) -> bytes:
    """Write a command or data message that ends in given bytes."""
    return b"".join(chunks(amf0.encode(name, 1.0) + tail, csid=csid, type_id=type_id, msid=0))


class AMFTests(FaultCase):
    def test_connect(self) -> None:
        """A45, A47, A48: in a connect they end the connection, without much work."""
        for name, tail in BOMBS:
            with self.subTest(name):
                peer = self.shaken()
                peer.send(raw_command("connect", tail))
                self.assert_ended(peer, "amf")

    def test_metadata(self) -> None:
        """A45, A47, A48, A69: in metadata they are dropped, and the publisher goes on."""
        peer = self.publisher()
        output = self.output_of(peer)
        start = amf0.encode("@setDataFrame", "onMetaData")
        for name, tail in (*BOMBS, ("junk", b"\xff"), ("a string", amf0.encode("x"))):
            with self.subTest(name):
                before = len(output.samples)
                peer.send(b"".join(chunks(start + tail, type_id=18)))
                peer.send(video(INTER_FRAME, 40 * before))
                self.assertEqual(len(output.samples), before + 1)
        large = start + amf0.encode({"encoder": "x" * 60_000, "more": "x" * 60_000})
        peer.send(b"".join(chunks(large, type_id=18)))
        self.assertEqual(peer.protocol.session.dropped, {"metadata_too_large": 2})
        self.assert_tolerated(peer)

    def test_command_of_a_publisher(self) -> None:
        """A45: an unreadable command of somebody who publishes is dropped."""
        peer = self.publisher()
        peer.send(b"".join(raw_command("what", tail) for _, tail in BOMBS))
        self.assertEqual(peer.protocol.session.dropped, {"amf": len(BOMBS)})
        self.assert_tolerated(peer)

    def test_arrays(self) -> None:
        """A46: counts that lie and ends that are missing are understood."""
        for name, tail in TOLERATED:
            with self.subTest(name):
                peer = self.shaken()
                peer.send(raw_command("connect", tail) + CREATE)
                values = [values for _, values in calls(peer.messages)]
                self.assertEqual([v[0] for v in values], ["_result", "_result"])
                self.assert_tolerated(peer)
                peer.lose()

    def test_capabilities(self) -> None:
        """A72: what a client announces may be of any type, and NaN."""
        for properties in (
            {"capsEx": "all", "fourCcList": {"a": "b"}, "videoFourCcInfoMap": ["x"]},
            {"capsEx": math.nan, "audioFourCcInfoMap": {"*": math.nan, "mp4a": None}},
            {"capsEx": 1e300, "fourCcList": [1.0, None, "hvc1", "x" * 1000]},
        ):
            with self.subTest(properties=properties):
                peer = self.shaken()
                told: Value = {"app": "live", **properties}  # type: ignore[dict-item]  # odd
                peer.call("connect", 1.0, told)
                peer.send(CREATE + publish_call("caps"))
                self.assertEqual(peer.codes, ["NetStream.Publish.Start"])
                peer.lose()
        peer = self.shaken()
        peer.call("connect", 1.0, {"app": "live", "fourCcList": ["av01"] * 10_000})
        self.assert_ended(peer, "amf")


class CommandTests(FaultCase):
    def test_bad_text(self) -> None:
        """A49, A63, A64: what is no name is refused, and nothing is made of it."""
        for name in ("a\0b", "a\r\nb", "a\u202eb", "../../etc/x", "%2e%2e/", "C:x", "a" * 129):
            for app, key in (("live", name), (name, "key")):
                with self.subTest(app=app, key=key):
                    peer = self.shaken()
                    peer.call("connect", 1.0, {"app": app})
                    peer.send(CREATE)
                    peer.call("publish", 3.0, None, f"{key}?token=good", "live", msid=1)
                    self.assert_refused(peer, BAD_NAME)
        peer = self.connected()
        body = amf0.encode("publish", 3.0, None) + b"\2\0\4\xff\xfe\xc0\x80" + amf0.encode("live")
        peer.send(b"".join(chunks(body, csid=3, type_id=20, msid=1)))
        self.assert_refused(peer, BAD_NAME)
        self.assertEqual([s.key for s in self.manager.streams()], ["canary"])

    def test_no_number(self) -> None:
        """A50: a transaction id that is no number ends the connection."""
        peer = self.shaken()
        body = amf0.encode("connect", "one", {"app": "live"})
        peer.send(b"".join(chunks(body, csid=3, type_id=20, msid=0)))
        self.assert_ended(peer, "amf")

    def test_before_connect(self) -> None:
        """A52: nothing may come before connect."""
        for wire in (CREATE, publish_call("key"), call("play", 1.0, None, "key"), video(AVC, 0)):
            peer = self.shaken()
            peer.send(wire)
            self.assert_ended(peer, "protocol")

    def test_connect_twice(self) -> None:
        """A53: the second connect is an error and the end."""
        peer = self.connected()
        peer.send(CONNECT)
        self.assert_refused(peer, "NetConnection.Connect.Rejected")

    def test_unknown_stream(self) -> None:
        """A54: publishing on message stream 0, or on one that was never made, is refused."""
        for msid in (0, 2, 999):
            peer = self.connected()
            peer.send(publish_call("key", msid))
            self.assert_refused(peer, REJECTED)

    def test_early_media(self) -> None:
        """A55: media before publish is dropped, a mebibyte of it."""
        peer = self.connected()
        frame = video(AVC[:5] + bytes(60_000), 0)
        peer.send(frame * 17)
        self.assert_tolerated(peer)
        peer.send(frame)
        self.assert_ended(peer, "early_media")

    def test_second_publish(self) -> None:
        """A56: the first one on a connection goes on."""
        peer = self.publisher()
        output = self.output_of(peer)
        peer.send(CREATE + publish_call("other", 2) + publish_call("key-2", 1))
        self.assertEqual(peer.codes[1:], [REJECTED, REJECTED])
        peer.send(video(INTER_FRAME, 40))
        self.assertEqual(len(output.samples), 3)
        self.assert_tolerated(peer)

    def test_take_over(self) -> None:
        """A57, A59: who proves the same right takes over; who has none changes nothing."""
        first = self.publisher("key")
        output = self.output_of(first)
        stranger = self.connected()
        stranger.call("publish", 3.0, None, "key?token=bad", "live", msid=1)
        self.assert_refused(stranger, DENIED)
        first.send(video(INTER_FRAME, 40))
        self.assertEqual(len(output.samples), 3)
        second = self.publisher("key", "192.0.2.9")
        self.assert_refused(first, BAD_NAME)
        self.output_of(second)
        self.assertEqual(len(output.samples), 5)
        self.assertEqual(output.words.count("discontinuity"), 1)

    def test_streams(self) -> None:
        """A66: sixteen message streams; deleting what is not there has no effect."""
        peer = self.publisher()
        output = self.output_of(peer)
        for number in (99.0, -1.0, math.nan, math.inf, "name"):
            peer.call("deleteStream", 0.0, None, number)
        peer.send(video(INTER_FRAME, 40))
        self.assertEqual(len(output.samples), 3)
        peer.send(CREATE * 20)
        names = [values[0] for _, values in calls(peer.messages)]
        self.assertEqual(names.count("_error"), 5)
        self.assertEqual(peer.codes[0], "NetStream.Publish.Start")
        self.assert_tolerated(peer)

    def test_somebody_elses(self) -> None:
        """A67: nobody can end another connection's stream by its name or number."""
        peer = self.connected()
        for name in ("FCUnpublish", "releaseStream", "deleteStream", "closeStream"):
            peer.call(name, 5.0, None, "canary")
            peer.call(name, 5.0, None, 1.0)
        self.assertFalse(self.canary.is_closed)
        self.assert_tolerated(peer)

    def test_flood(self) -> None:
        """A70: of fifty thousand commands a second the first thousand are done."""
        peer = self.connected()
        what = call("what", 0.0)
        peer.send(what * 900)
        self.assert_tolerated(peer)
        peer.send(what * 49_000)
        self.assert_ended(peer, "flood")

    def test_unknown_calls(self) -> None:
        """A71: an unknown call is answered when it can be."""
        peer = self.connected()
        before = len(peer.messages)
        peer.call("onStatus", 7.0)
        peer.call("setProperties", 0.0, None)
        self.assertEqual(len(peer.messages), before)
        peer.call("setProperties", 7.0, None)
        self.assertEqual(calls(peer.messages)[-1], (0, ["_result", 7.0, None, None]))
        self.assert_tolerated(peer)

    def test_plays(self) -> None:
        """A68: a stream that is not there, and the right that is not."""
        for name, code in (
            ("absent?token=good", "NetStream.Play.StreamNotFound"),
            ("canary?token=bad", "NetStream.Play.Failed"),
        ):
            peer = self.shaken()
            peer.send(CONNECT + CREATE)
            peer.call("play", 4.0, None, name, msid=1)
            self.assert_refused(peer, code)

    def test_one_byte_reads(self) -> None:
        """A7: a whole start, byte by byte, has the same answers."""
        wire = HANDSHAKE + CONNECT + CREATE + publish_call("bytewise")
        peer = self.peer()
        for position in range(len(wire)):
            peer.send(wire[position : position + 1])
        whole = self.peer()
        whole.send(HANDSHAKE + CONNECT + CREATE + publish_call("at-once"))
        self.assertEqual(peer.codes, whole.codes)
        self.assertEqual([m.type_id for m in peer.messages], [m.type_id for m in whole.messages])

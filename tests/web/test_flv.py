"""Tests of FLV over HTTP and WebSocket."""

import struct
from typing import Any, NamedTuple, cast

from h2.errors import ErrorCodes
from twisted.web.resource import Resource
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    TextMessage,
)
from wsproto.events import Request as Upgrade

from rapidrtmp.auth.playback import PlaybackAuthenticator, PlaybackSigner
from rapidrtmp.auth.session_ids import SessionSigner
from rapidrtmp.interfaces import IOutputMaker
from rapidrtmp.protocol import fanout
from rapidrtmp.protocol.fanout import FanoutMaker, PlaySettings
from rapidrtmp.storage.memory import MemoryStorage
from rapidrtmp.web.flv import MAX_SAID, FLVPlays, message_header
from rapidrtmp.web.http_site import HTTPSite
from rapidrtmp.web.live import LiveResource
from tests.media.samples import audio, video
from tests.stream.fakes import StreamCase
from tests.web.fakes import CONNECTION_DONE, Connection
from tests.web.http2_client import Client

HEADER = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"


class Tag(NamedTuple):
    """A tag as it arrived."""

    type_id: int
    timestamp: int
    body: bytes


def read_tags(data: bytes) -> list[Tag]:
    """Read the tags behind a file header; each must be whole, its back pointer right."""
    tags = []
    position = 0
    while position < len(data):
        size = int.from_bytes(data[position + 1 : position + 4], "big")
        low, high = data[position + 4 : position + 7], data[position + 7 : position + 8]
        body = data[position + 11 : position + 11 + size]
        (back,) = struct.unpack_from(">I", data, position + 11 + size)
        assert back == 11 + size, (position, back, size)
        assert data[position + 8 : position + 11] == bytes(3)
        tags.append(Tag(data[position], int.from_bytes(high + low, "big"), body))
        position += 15 + size
    return tags


def unchunk(data: bytes) -> tuple[bytes, bool]:
    """Undo the chunked coding; tell whether the body is complete."""
    body = b""
    while data:
        line, _, data = data.partition(b"\r\n")
        size = int(line, 16)
        if not size:
            return body, True
        body += data[:size]
        data = data[size + 2 :]
    return body, False


class FLVCase(StreamCase):
    """A site with streams on it that can be played as FLV."""

    def setUp(self) -> None:
        """Make the site."""
        self.fanouts = FanoutMaker()
        super().setUp()
        self.site = self.make_site()

    def makers(self) -> list[IOutputMaker]:
        """Make fan-outs, too."""
        return [self.maker, self.fanouts]

    def make_site(self, playback: PlaybackAuthenticator | None = None) -> HTTPSite:
        """Make what is below ``/live``."""
        sessions = SessionSigner(MemoryStorage(self.clock))
        flv = FLVPlays(self.manager, playback).render
        root = Resource()
        root.putChild(b"live", LiveResource(self.manager, self.clock, sessions, playback, flv))
        return HTTPSite(root, self.clock)

    def get(self, path: str = "/live/key.flv?token=good", method: str = "GET") -> Connection:
        """Make a request."""
        connection = Connection(self.site)
        connection.request(method, path)
        return connection

    def split(self, connection: Connection) -> tuple[bytes, bytes, bool]:
        """Return header and body of an answer, and whether it is complete."""
        head, _, rest = connection.transport.value().partition(b"\r\n\r\n")
        return head, *unchunk(rest)


class HTTPTests(FLVCase):
    def test_body(self) -> None:
        """The body is a header, metadata, sequence headers, the GOP and what follows."""
        encoder = self.encoder()
        encoder.run(3.0)
        connection = self.get()
        head, body, is_complete = self.split(connection)
        self.assertTrue(head.startswith(b"HTTP/1.1 200 OK\r\n"))
        self.assertIn(b"Content-Type: video/x-flv", head)
        self.assertIn(b"Cache-Control: no-store", head)
        self.assertIn(b"Access-Control-Allow-Origin: *", head)
        self.assertFalse(is_complete)
        self.assertEqual(body[:13], HEADER)
        tags = read_tags(body[13:])
        self.assertEqual([tag.type_id for tag in tags[:4]], [18, 9, 8, 9])
        self.assertEqual([tag.timestamp for tag in tags[:4]], [0, 2000, 2000, 2000])
        self.assertEqual(tags[3].body[:2], b"\x17\x01")
        encoder.run(1.2)
        more = read_tags(self.split(connection)[1][13:])
        self.assertEqual(more[: len(tags)], tags)
        self.assertIn(Tag(9, 4000, tags[3].body), more)
        self.assertEqual(self.stream.viewers, 1)
        self.assertEqual(self.fanouts.players_by_protocol["flv"], 1)
        connection.protocol.connectionLost(CONNECTION_DONE)
        self.assertEqual(self.stream.viewers, 0)
        self.assertEqual(self.site.connections, 0)
        encoder.run(0.2)

    def test_end(self) -> None:
        """The end of the stream is the end of the body; the connection goes on."""
        encoder = self.encoder()
        encoder.run(1.0)
        connection = self.get()
        encoder.publication.close("gone")
        self.clock.advance(61)
        self.assertTrue(self.split(connection)[2])
        self.assertEqual(self.fanouts.players, set())
        self.assertEqual(self.site.counters.requests["GET", "/live/:streamKey.flv", "2xx"], 1)

    def test_refused(self) -> None:
        """Others are answered in the words of the contract."""
        self.encoder().run(1.0)
        for path, code in (
            ("/live/other.flv?token=good", 404),
            ("/live/key.flv?token=bad", 403),
            ("/live/other.flv?token=bad", 403),
            ("/live/a%20b.flv", 404),
            ("/live/.flv", 404),
        ):
            for method in ("GET", "HEAD"):
                with self.subTest(path, method=method):
                    if code == 403 and method == "HEAD":
                        continue  # asks nobody
                    response = self.get(path, method).response(method)
                    self.assertEqual(response.code, code)
        self.stream.viewer_count.limit = 0
        response = self.get().response()
        self.assertEqual((response.code, response.headers["retry-after"]), (503, "10"))
        self.assertEqual(self.get(method="POST").response().code, 405)

    def test_head(self) -> None:
        """HEAD tells the type and is no viewer."""
        self.encoder().run(1.0)
        response = self.get(method="HEAD").response("HEAD")
        self.assertEqual((response.code, response.headers["content-type"]), (200, "video/x-flv"))
        self.assertEqual(self.stream.viewers, 0)

    def test_protected(self) -> None:
        """With signed URLs HEAD needs one, too."""
        self.site = self.make_site(PlaybackAuthenticator(PlaybackSigner([b"s" * 32], self.clock)))
        self.encoder().run(1.0)
        self.assertEqual(self.get(method="HEAD").response("HEAD").code, 403)
        self.assertEqual(self.get("/live/none.flv", "HEAD").response("HEAD").code, 403)

    def test_slow(self) -> None:
        """Who does not read is cut off; its queue is bounded."""
        self.fanouts.settings = PlaySettings(queue_bytes=64 * 1024)
        encoder = self.encoder()
        encoder.run(1.0)
        connection = self.get()
        producer = connection.transport.producer
        assert producer is not None
        producer.pauseProducing()
        before = len(connection.transport.value())
        encoder.run(1.0)
        self.assertEqual(len(connection.transport.value()), before)
        self.assertGreater(self.fanouts.queued_bytes["flv"], 0)
        encoder.run(9.0)
        self.assertTrue(connection.transport.disconnected)
        self.assertEqual(self.fanouts.cut["flv"], 1)
        self.assertEqual(self.stream.viewers, 0)

    def test_left_before_the_decision(self) -> None:
        """Who has gone when it is let in takes no place."""
        self.encoder().run(1.0)
        self.authenticator.held = held = type(self.output.closed)()
        connection = self.get()
        connection.protocol.connectionLost(CONNECTION_DONE)
        held.callback(None)
        self.assertEqual(self.stream.viewers, 0)

    def test_left_before_the_beginning(self) -> None:
        """Who has gone does not wait for a stream that begins for it: others may."""
        self.manager = self.make_manager(max_viewers=1)
        self.manager.offer("key", lambda: None)
        self.site = self.make_site()
        for _ in range(3):
            self.get().protocol.connectionLost(CONNECTION_DONE)
        connection = self.get()
        self.assertEqual((len(self.stream.starting), connection.transport.value()), (1, b""))
        self.encoder().run(3.0)
        self.assertEqual(self.stream.viewers, 1)
        self.assertEqual(self.split(connection)[0][:15], b"HTTP/1.1 200 OK")

    def test_crash(self) -> None:
        """What one player raises breaks its answer off, and no other."""
        encoder = self.encoder()
        encoder.run(1.0)
        broken, other = self.get(), self.get()

        def crash(*_: object) -> None:
            raise ZeroDivisionError

        self.patch(next(iter(self.fanouts.players)).writer, "write", crash)
        encoder.run(1.0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        closed = [each.transport.disconnecting for each in (broken, other)]
        self.assertEqual(sorted(closed), [False, True])
        self.assertEqual(self.stream.viewers, 1)


class HTTP2Tests(FLVCase):
    """HTTP-FLV over HTTP/2: flow control reaches the player's queue, stream by stream."""

    def client(self, window: int = 1 << 20) -> Client:
        """Connect; each stream has a window, the connection one that is never shut."""
        client = Client(self.site, window=window)
        client.h2.increment_flow_control_window(1 << 24)
        client.exchange()
        return client

    def play(self, client: Client, *, reads: bool = True) -> int:
        """Ask for the stream; give the number of the HTTP/2 stream."""
        number = client.send_headers("GET", "/live/key.flv?token=good")
        if not reads:
            client.unread.add(number)
        client.exchange()
        return number

    def pictures(self, client: Client, stream: int) -> int:
        """Count the video frames that came, in order."""
        tags = read_tags(client.answers[stream].body[13:])
        frames = [tag.timestamp for tag in tags if tag.type_id == 9 and tag.body[1]]
        self.assertEqual(frames, sorted(set(frames)))
        return len(frames)

    def test_body(self) -> None:
        """The body is the same as with HTTP/1.1, and ends with the stream."""
        encoder = self.encoder()
        encoder.run(1.0)
        connection, client = self.get(), self.client()
        stream = self.play(client)
        for _ in range(10):
            encoder.run(0.2)
            client.exchange()
        _, expected, _ = self.split(connection)
        answer = client.answers[stream]
        self.assertEqual(dict(answer.headers)["content-type"], "video/x-flv")
        self.assertEqual(answer.body, expected)
        encoder.publication.close("gone")
        self.clock.advance(61)
        client.exchange()
        self.assertTrue(answer.is_whole)
        self.assertEqual((self.stream.viewers, self.fanouts.players), (0, set()))

    def test_slow(self) -> None:
        """One that opens no window is dropped to a key frame, then cut; one beside it has all."""
        self.fanouts.settings = PlaySettings(queue_seconds=5.0)
        encoder = self.encoder()
        encoder.run(1.0)
        client = self.client(window=3000)
        fast, slow = self.play(client), self.play(client, reads=False)
        for _ in range(20):
            encoder.run(0.2)
            client.exchange()
        self.assertEqual(len(client.answers[slow].body), 3000)
        self.assertGreater(self.fanouts.frames_dropped["flv"], 0)
        self.assertLess(client.protocol._http2._waiting, 3000, "a frame at most is handed on")
        for _ in range(20):
            encoder.run(0.2)
            client.exchange()
        self.assertEqual(client.answers[slow].reset, ErrorCodes.CANCEL)
        self.assertEqual((self.fanouts.cut["flv"], self.stream.viewers), (1, 1))
        self.assertIsNone(client.answers[fast].reset)
        self.assertEqual(self.pictures(client, fast), encoder.frames)

    def test_goes_on(self) -> None:
        """One that opens its window late has what waited, then what comes."""
        encoder = self.encoder()
        encoder.run(1.0)
        client = self.client(window=1000)
        stream = self.play(client, reads=False)
        encoder.run(1.0)
        client.h2.increment_flow_control_window(1 << 20, stream)
        client.exchange()
        encoder.run(0.4)
        client.exchange()
        self.assertEqual(self.pictures(client, stream), encoder.frames)
        self.assertEqual(self.fanouts.queued_bytes["flv"], 0)

    def test_cancelled(self) -> None:
        """A stream that is reset leaves its place, paused or not; others play on."""
        encoder = self.encoder()
        encoder.run(1.0)
        client = self.client(window=3000)
        streams = [self.play(client, reads=reads) for reads in (False, True, True)]
        encoder.run(1.0)
        client.exchange()
        self.assertEqual(self.stream.viewers, 3)
        for stream in streams[:2]:
            client.h2.reset_stream(stream, ErrorCodes.CANCEL)
        client.exchange()
        self.assertEqual((self.stream.viewers, len(self.fanouts.players)), (1, 1))
        before = len(client.answers[streams[2]].body)
        encoder.run(1.0)
        client.exchange()
        self.assertGreater(len(client.answers[streams[2]].body), before)
        client.lose()
        self.assertEqual((self.stream.viewers, self.fanouts.players), (0, set()))

    def test_cancelled_before_the_decision(self) -> None:
        """A stream that is reset while the decision is out takes no place."""
        self.encoder().run(1.0)
        self.authenticator.held = held = type(self.output.closed)()
        client = self.client()
        client.h2.reset_stream(self.play(client))
        client.exchange()
        held.callback(None)
        self.assertEqual((self.stream.viewers, self.fanouts.players), (0, set()))

    def test_refused(self) -> None:
        """Refusals are the same, and so is HEAD."""
        self.encoder().run(1.0)
        client = self.client()
        self.assertEqual(client.get("/live/other.flv").code, 404)
        self.assertEqual(client.get("/live/key.flv?token=bad").code, 403)
        self.assertEqual(client.response(client.request("HEAD", "/live/key.flv")).code, 200)
        self.assertEqual(self.stream.viewers, 0)


class WebSocketTests(FLVCase):
    def upgrade(self, path: str = "/live/key.flv?token=good") -> tuple[Connection, WSConnection]:
        """Ask for a WebSocket."""
        client = WSConnection(ConnectionType.CLIENT)
        connection = Connection(self.site)
        connection.send(client.send(Upgrade(host="localhost", target=path)))
        self.taken = 0
        return connection, client

    def receive(self, connection: Connection, client: WSConnection) -> list[object]:
        """Read what came since the last call, by a library's client."""
        data = connection.transport.value()[self.taken :]
        self.taken += len(data)
        client.receive_data(data)
        return list(client.events())

    def test_messages(self) -> None:
        """The header and each tag are a binary message, none is masked."""
        encoder = self.encoder()
        encoder.run(3.0)
        connection, client = self.upgrade()
        first, *messages = self.receive(connection, client)
        self.assertIsInstance(first, AcceptConnection)
        data = [bytes(cast(BytesMessage, message).data) for message in messages]
        self.assertEqual(data[0], HEADER)
        tags = [read_tags(each) for each in data[1:]]
        self.assertEqual({len(each) for each in tags}, {1})
        self.assertEqual([each[0].type_id for each in tags[:4]], [18, 9, 8, 9])
        self.assertEqual(tags[3][0].timestamp, 2000)
        encoder.run(1.0)
        self.assertGreater(len(self.receive(connection, client)), 60)
        self.assertEqual(self.stream.viewers, 1)
        requests = self.site.counters.requests
        self.assertEqual(requests["GET", "/live/:streamKey.flv", "1xx"], 1)

    def test_held(self) -> None:
        """Frames that are collected are messages of their own, and one chunk by HTTP."""
        self.patch(fanout, "MIN_COLLECTED", 2)
        self.fanouts.clock = cast(Any, self.clock)
        self.fanouts.settings = PlaySettings(latency=0.04)
        encoder = self.encoder()
        encoder.run(3.0)
        connection, client = self.upgrade()
        other = self.get()
        self.receive(connection, client)
        encoder.run(0.1)
        self.clock.advance(0.04)
        self.receive(connection, client)
        begun = len(other.transport.value())
        encoder.publication.write(audio(3136))
        self.assertEqual(self.receive(connection, client), [])
        encoder.publication.write(video(3160, key=False))
        self.assertEqual(len(other.transport.value()), begun)
        self.clock.advance(0.04)
        messages = [cast(Any, event).data for event in self.receive(connection, client)]
        tags = [tag for message in messages for tag in read_tags(bytes(message))]
        self.assertEqual([tag.timestamp for tag in tags], [3136, 3160])
        self.assertEqual(len(messages), 2)
        chunk, _, rest = other.transport.value()[begun:].partition(b"\r\n")
        self.assertEqual(len(rest), int(chunk, 16) + 2)
        self.assertEqual(read_tags(rest[:-2]), tags)

    def test_ping_and_close(self) -> None:
        """A ping is answered, messages are ignored, a close ends it."""
        self.encoder().run(1.0)
        connection, client = self.upgrade()
        self.receive(connection, client)
        connection.send(client.send(TextMessage("hello")) + client.send(Ping(b"1")))
        [pong] = self.receive(connection, client)
        self.assertEqual(pong, Pong(b"1"))
        connection.send(client.send(CloseConnection(1000)))
        [closed] = self.receive(connection, client)
        self.assertIsInstance(closed, CloseConnection)
        self.assertTrue(connection.transport.disconnecting)
        self.assertEqual(self.stream.viewers, 0)
        connection.send(b"more")
        connection.protocol.connectionLost(CONNECTION_DONE)
        self.assertEqual(self.site.connections, 0)

    def test_broken(self) -> None:
        """Bytes that are no WebSocket frame end it by a close."""
        self.encoder().run(1.0)
        connection, client = self.upgrade()
        self.receive(connection, client)
        connection.send(b"\xff" * 20)
        [closed] = self.receive(connection, client)
        self.assertEqual(cast(CloseConnection, closed).code, 1002)
        self.assertEqual(self.fanouts.players, set())

    def test_lost(self) -> None:
        """A client that vanishes is no viewer any more."""
        self.encoder().run(1.0)
        connection, _ = self.upgrade()
        self.assertEqual(self.stream.viewers, 1)
        connection.protocol.connectionLost(CONNECTION_DONE)
        self.assertEqual((self.stream.viewers, self.site.connections), (0, 0))

    def test_end(self) -> None:
        """The end of the stream is a normal closure."""
        encoder = self.encoder()
        encoder.run(1.0)
        connection, client = self.upgrade()
        self.receive(connection, client)
        encoder.publication.close("gone")
        self.clock.advance(61)
        [closed] = self.receive(connection, client)
        self.assertEqual(cast(CloseConnection, closed).code, 1000)
        self.assertTrue(connection.transport.disconnecting)

    def test_refused(self) -> None:
        """A refusal is an answer of HTTP, as is that to a handshake that is none."""
        self.encoder().run(1.0)
        for path, code in (("/live/key.flv?token=bad", 403), ("/live/none.flv", 404)):
            connection, _ = self.upgrade(path)
            self.assertEqual(connection.response().code, code)
        connection = Connection(self.site)
        connection.request("GET", "/live/key.flv", [("Upgrade", "websocket")])
        response = connection.response()
        self.assertEqual((response.code, response.headers["sec-websocket-version"]), (400, "13"))

    def test_flood(self) -> None:
        """Who sends much is closed, whatever it is; pings now and then are fine for ever."""
        encoder = self.encoder()
        encoder.run(1.0)
        connection, client = self.upgrade()
        self.receive(connection, client)
        for _ in range(100):
            for _ in range(10):
                connection.send(client.send(Ping(b"x" * 90)))
            self.clock.advance(1.0)
            self.receive(connection, client)
        self.assertEqual(self.stream.viewers, 1)
        connection.send(client.send(BytesMessage(bytes(MAX_SAID))))
        [closed] = self.receive(connection, client)
        self.assertEqual(cast(CloseConnection, closed).code, 1008)
        self.assertTrue(connection.transport.disconnecting)
        self.assertEqual((self.stream.viewers, self.fanouts.players), (0, set()))
        connection.send(b"\x89\x80abcd")  # a late ping

    def test_other_upgrades(self) -> None:
        """Another protocol is no reason not to answer; HTTP/1.0 has no WebSocket (B38)."""
        self.encoder().run(1.0)
        connection = Connection(self.site)
        upgrade = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c")]
        connection.request("GET", "/live/key.flv?token=good", [*upgrade, ("HTTP2-Settings", "AA")])
        head, body, _ = self.split(connection)
        self.assertTrue(head.startswith(b"HTTP/1.1 200 OK\r\n"))
        self.assertEqual(body[:13], HEADER)
        old = Connection(self.site)
        old.send(b"GET /live/key.flv HTTP/1.0\r\nUpgrade: websocket\r\n\r\n")
        self.assertEqual(old.response().code, 400)

    def test_slow(self) -> None:
        """Who does not read is cut off, and its pings are not answered meanwhile."""
        encoder = self.encoder()
        encoder.run(1.0)
        connection, client = self.upgrade()
        self.receive(connection, client)
        producer = connection.transport.producer
        assert producer is not None
        producer.pauseProducing()
        before = len(connection.transport.value())
        connection.send(client.send(Ping()))
        encoder.run(5.0)
        self.assertEqual(len(connection.transport.value()), before)
        encoder.run(6.0)
        self.assertTrue(connection.transport.disconnected)
        self.assertEqual(self.fanouts.cut["flv"], 1)

    def test_header(self) -> None:
        """Lengths take the shortest form."""
        for size, expected in (
            (0, "8200"),
            (125, "827d"),
            (126, "827e007e"),
            (65535, "827effff"),
            (65536, "827f0000000000010000"),
        ):
            self.assertEqual(message_header(size).hex(), expected)

"""The feed of events over the wire, read as a browser's EventSource would."""

import json
from typing import Any
from unittest import mock

from twisted.internet.testing import StringTransport

from rapidrtmp.stream.events import NAMES
from rapidrtmp.web import events
from rapidrtmp.web.events import HEARTBEAT, MAX_CLIENTS, MAX_UNREAD
from tests.web.api_case import KEYS, NOW, READ, APITestCase, bearer
from tests.web.fakes import Connection

PATH = "/api/v1/events"


class Listener:
    """A client of the feed."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._read = 0
        self.comments = 0
        self.last_id = ""

    @property
    def _transport(self) -> StringTransport:
        return self.connection.transport

    @property
    def head(self) -> str:
        """The header of the answer."""
        return str(self._transport.value().partition(b"\r\n\r\n")[0].decode("ascii"))

    @property
    def body(self) -> bytes:
        """What came up to now, without the chunks' frames (RFC 9112 section 7.1)."""
        chunks = self._transport.value().partition(b"\r\n\r\n")[2]
        body = b""
        while chunks:
            size, _, chunks = chunks.partition(b"\r\n")
            body += chunks[: int(size, 16)]
            chunks = chunks[int(size, 16) + 2 :]
        return body

    def read(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the new events: name and data."""
        text = self.body[self._read :].decode("ascii")
        self._read += len(text)
        found = []
        for block in text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if line[0] != ":")
            self.comments += block.startswith(":")
            self.last_id = fields.get("id", self.last_id)
            if "data" in fields:
                found.append((fields["event"], json.loads(fields["data"])))
        return found

    def names(self) -> list[str]:
        """Return the names of the new events."""
        return [name for name, _ in self.read()]


class FeedTests(APITestCase):
    def listen(self, query: str = "", last_id: str = "", method: str = "GET") -> Listener:
        """Start to listen."""
        connection = Connection(self.site)
        headers = [("Last-Event-ID", last_id)] if last_id else []
        connection.request(method, PATH + query, headers)
        return Listener(connection)

    def happen(self, *names: str, key: str = "k") -> None:
        """Have something happen."""
        for name in names:
            self.events.emit(name, key, number=1)

    def test_events(self) -> None:
        """What happens is told at once: number, kind and details."""
        listener = self.listen()
        self.assertIn("200 OK", listener.head)
        self.assertIn("Content-Type: text/event-stream", listener.head)
        self.assertIn("Cache-Control: no-store", listener.head)
        self.assertEqual(listener.body, b"retry: 2000\n\n")
        self.assertEqual(self.feed.clients, 1)
        self.happen("publish")
        told = {"event": "publish", "streamKey": "k", "time": float(NOW), "number": 1}
        self.assertEqual(listener.read(), [("publish", told)])
        self.assertRegex(listener.last_id, "^[0-9a-f]{8}-1$")
        schema = self.document.document["components"]["schemas"]["StreamEvent"]
        self.assertEqual(self.document.errors(schema, told), [])

    def test_one_line(self) -> None:
        """Whatever text is in an event stays on its line."""
        listener = self.listen()
        self.events.emit("refuse", "k", reason="a\n\nevent: end\r\ndata: {}\u2028\udc80")
        [(name, told)] = listener.read()
        self.assertEqual(name, "refuse")
        self.assertEqual(told["reason"], "a\n\nevent: end\r\ndata: {}\u2028\udc80")

    def test_filters(self) -> None:
        """A client gets the kinds and the stream that it asks for; frequent ones only on demand."""
        everything, some, one, segments = (
            self.listen(query)
            for query in ("", "?events=publish,end", "?streamKey=b", "?events=segment")
        )
        self.happen(*NAMES)
        self.happen("live", key="b")
        usual = [name for name in NAMES if name not in ("segment", "metadata")]
        self.assertEqual(everything.names(), [*usual, "live"])
        self.assertEqual(some.names(), ["publish", "end"])
        self.assertEqual(one.names(), ["live"])
        self.assertEqual(segments.names(), ["segment"])

    def test_bad_filters(self) -> None:
        """A filter that cannot be meant is refused, by its name."""
        for query, field in [
            ("?events=", "events"),
            ("?events=publish,", "events"),
            ("?events=all", "events"),
            ("?events=end&events=live", "events"),
            ("?streamKey=a/b", "streamKey"),
        ]:
            response = self.ask("GET", PATH + query)
            self.assertEqual((response.code, response.json()["field"]), (400, field), query)
        self.assertEqual(self.feed.clients, 0)

    def test_come_back(self) -> None:
        """Who comes back is sent what it missed, in order, and then what comes."""
        listener = self.listen()
        self.happen("publish", "live")
        listener.read()
        listener.connection.lose()
        self.assertEqual(self.feed.clients, 0)
        self.happen("play", "segment", "unpublish")
        again = self.listen("", listener.last_id)
        self.assertEqual(again.names(), ["play", "unpublish"])
        self.happen("end")
        self.assertEqual(again.names(), ["end"])
        self.assertEqual(self.listen("", again.last_id).names(), [])
        self.assertEqual(self.listen("?events=segment", listener.last_id).names(), ["segment"])
        self.assertEqual(self.listen("?streamKey=other", listener.last_id).names(), [])

    def test_former_process(self) -> None:
        """Who knows a former process, or nonsense, is told to look anew and sent all there is."""
        self.happen("publish")
        for last_id in ("00000000-1", "x", "-", "9" * 50):
            self.assertEqual(self.listen("", last_id).names(), ["missed", "publish"], last_id)
        self.assertEqual(self.listen().names(), [])

    def test_forgotten(self) -> None:
        """Of each kind the newest are kept; who missed more is told so."""
        with mock.patch.object(events, "KEPT", 3):
            self.make()
            listener = self.listen("?events=publish,segment")
            self.happen("publish")
            listener.read()
            first = listener.last_id
            self.happen(*["segment"] * 5)
            self.assertEqual(self.listen("?events=publish", first).names(), [])
            told = self.listen("?events=publish,segment", first).names()
            self.assertEqual(told, ["missed", *["segment"] * 3])
            listener.read()
            self.assertEqual(self.listen("?events=segment", listener.last_id).names(), [])

    def test_heartbeat(self) -> None:
        """A comment shows that the connection lives; nobody listening costs no timer."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        listener = self.listen()
        before = listener.body
        self.clock.pump([1.0] * int(HEARTBEAT))
        self.assertEqual(listener.body, before + b": still here\n\n")
        self.assertEqual(listener.read(), [])
        listener.connection.lose()
        self.assertFalse(self.feed._heartbeat.running)

    def test_long_lived(self) -> None:
        """The connection outlives the site's idle timeout."""
        listener = self.listen()
        self.clock.pump([1.0] * 300)
        self.happen("publish")
        self.assertEqual(listener.names(), ["publish"])
        self.assertFalse(listener.connection.transport.disconnecting)

    def test_slow_client(self) -> None:
        """A client that reads slowly loses nothing; one that does not read is cut off."""
        slow, dead = self.listen(), self.listen()
        details = "x" * 10_000
        for _ in range(10):
            self.events.emit("play", "k", details=details)
        slow.connection.transport.drain()
        self.assertEqual(len(slow.names()), 10)
        for _ in range(MAX_UNREAD // 10_000 + 2):
            self.events.emit("play", "k", details=details)
            slow.connection.transport.drain()
        self.assertTrue(dead.connection.transport.disconnected)
        self.assertEqual(self.feed.clients, 1)
        self.assertFalse(slow.connection.transport.disconnected)
        self.assertEqual(len(slow.names()), MAX_UNREAD // 10_000 + 2)

    def test_slow_replay(self) -> None:
        """All that is kept can be sent to who comes back, however slowly it reads."""
        for _ in range(1000):
            self.events.emit("play", "k", details="x" * 1000)
        listener = self.listen("", "00000000-1")
        self.happen("end")
        for _ in range(100):
            listener.connection.transport.drain()
        names = listener.names()
        self.assertEqual((len(names), names[0], names[-1]), (1002, "missed", "end"))
        self.assertLess(listener.connection.transport.largest, 100_000)

    def test_bound_after_a_replay(self) -> None:
        """What was replayed does not widen the bound on what comes then."""
        for _ in range(500):
            self.events.emit("play", "k", details="x" * 1000)
        listener = self.listen("", "00000000-1")
        for _ in range(100):
            listener.connection.transport.drain()
        sent = 0
        while not listener.connection.transport.disconnected:
            self.events.emit("play", "k", details="y" * 10_000)
            sent += 10_000
            self.assertLess(sent, 2 * MAX_UNREAD)

    def test_too_many(self) -> None:
        """There is room for so many clients; who leaves makes room."""
        listeners = [self.listen() for _ in range(MAX_CLIENTS)]
        response = self.ask("GET", PATH)
        self.assertEqual((response.code, response.headers["retry-after"]), (503, "10"))
        listeners[0].connection.lose()
        self.assertIn("200 OK", self.listen().head)
        self.assertEqual(self.feed.clients, MAX_CLIENTS)

    def test_close(self) -> None:
        """At the end every client gets a whole answer, and new ones are refused."""
        listener = self.listen()
        self.happen("publish")
        self.feed.close()
        self.feed.close()
        self.assertTrue(listener.connection.transport.value().endswith(b"\r\n0\r\n\r\n"))
        self.assertEqual(listener.names(), ["publish"])
        self.assertEqual(self.feed.clients, 0)
        self.assertEqual(self.ask("GET", PATH).code, 503)
        self.assertFalse(self.events.is_heard)

    def test_drop(self) -> None:
        """After a change of keys clients have to come again, and may."""
        self.keys.replace(KEYS)
        self.make()
        connection = Connection(self.site)
        connection.request("GET", PATH, [bearer(READ)])
        self.keys.replace(KEYS[:1])
        self.feed.drop()
        self.assertTrue(connection.transport.value().endswith(b"\r\n0\r\n\r\n"))
        self.assertEqual(self.ask("GET", PATH, bearer(READ)).code, 401)

    def test_head(self) -> None:
        """HEAD is answered at once and listens to nothing."""
        response = self.ask("HEAD", PATH)
        self.assertEqual(response.headers["content-type"], "text/event-stream")
        self.assertEqual(self.feed.clients, 0)

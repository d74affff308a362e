"""All relays together: adding, removing, keeping, and what is told of them."""

import json
from typing import NoReturn
from unittest import mock

from twisted.internet.defer import fail
from twisted.logger import capturedLogs, formatEvent

from rapidrtmp.interfaces import NotFound
from rapidrtmp.relay import relays
from rapidrtmp.relay.relays import PATH, RelayExists, TooManyRelays
from rapidrtmp.rtmp.target import BadTarget, Target
from rapidrtmp.state import StateError
from tests.relay.case import URL, RelayCase, state


class RelaysTests(RelayCase):
    def stored(self) -> dict[str, object]:
        """What is in the state directory."""
        body = self.successResultOf(self.state.get(PATH))
        found: dict[str, object] = json.loads(body)["state"]
        return found

    def store(self, value: object) -> None:
        """Put something there."""
        body = json.dumps({"schema": 1, "state": {"0" * 16: value}}).encode()
        self.successResultOf(self.state.put(PATH, (body,), "", ""))

    def test_restart(self) -> None:
        """Those of the API come back with their ids; those of the settings are not stored."""
        added = self.push()
        self.successResultOf(self.relays.saved())
        self.successResultOf(self.relays.close())
        again = self.make_relays()
        self.successResultOf(again.load([("key", "push", "rtmp://static.example/a/b")]))
        static, restored = again.relays()
        self.assertEqual((restored.id, restored.key, restored.url), (added.id, "key", URL))
        self.assertEqual((static.is_static, restored.is_static), (True, False))
        self.assertEqual(restored.created_at, added.created_at)
        self.successResultOf(again.saved())
        self.assertEqual(list(self.stored()), [added.id])

    def test_static_wins(self) -> None:
        """A stored relay that the settings have by now is theirs."""
        self.push()
        self.successResultOf(self.relays.saved())
        again = self.make_relays()
        self.successResultOf(again.load([("key", "push", URL)]))
        self.assertEqual([relay.is_static for relay in again.relays()], [True])

    def test_broken_file(self) -> None:
        """A file that is not ours ends the start, and is quoted nowhere."""
        good = {"key": "key", "direction": "push", "url": URL, "createdAt": 1.0}
        for change in (
            {"key": "a b"},
            {"direction": "across"},
            {"url": "rtmp://far.example/their-key"},
            {"url": 1},
            {"createdAt": None},
        ):
            with self.subTest(change):
                self.store({**good, **change})
                failure = self.failureResultOf(self.make_relays().load(), StateError)
                self.assertNotIn("their-key", failure.getErrorMessage())
        self.store([])
        self.failureResultOf(self.make_relays().load(), StateError)

    def test_refused(self) -> None:
        """Bad targets, doubles, and too many."""
        self.push()
        with self.assertRaises(BadTarget):
            self.push("http://far.example/app/key")
        with self.assertRaises(RelayExists):
            self.push(URL.replace("far.example", "far.example:1935"))
        self.push(key="key2")
        self.relays.add("key", "pull", "rtmp://a.example/app/key")
        with self.assertRaises(RelayExists):
            self.relays.add("key", "pull", "rtmp://b.example/app/key")
        self.patch(relays, "MAX_RELAYS", 3)
        with self.assertRaises(TooManyRelays):
            self.push(key="key3")

    def test_live_stream(self) -> None:
        """One that is added to a live stream begins with the next key frame; it is removed live."""
        encoder = self.encoder()
        encoder.run(3.0)
        relay = self.push()
        encoder.run(3.0)
        self.net.run()
        self.assertEqual(state(relay), "live")
        self.assertTrue(self.net.server.media(9))
        outputs = len(self.stream.outputs)
        counted = self.relays.bytes_relayed["push"]
        self.assertGreater(counted, 0)
        self.relays.remove(relay)
        self.net.run()
        self.assertTrue(self.net.server.is_lost)
        self.assertEqual(len(self.stream.outputs), outputs - 1)
        self.assertIsNone(self.relays.find(relay.id))
        self.assertEqual(self.relays.bytes_relayed["push"], counted)
        encoder.run(3.0)

    def test_one_failing(self) -> None:
        """Of two targets one fails: the other and the stream's output have every frame."""
        bad, good = self.push(), self.push("rtmp://good.example/app/key")
        self.net.at_once = False
        encoder = self.encoder()
        encoder.run(3.0)
        attempts = list(self.net.dialled)
        self.net.answer()
        attempts[0][2].errback(OSError("no route"))
        self.net.run()
        encoder.run(3.0)
        self.net.run()
        self.assertEqual((state(bad), state(good)), ("connecting", "live"))
        self.assertEqual(self.relays.retries, {"push": 1, "pull": 0})
        self.assertEqual(self.relays.states["push", "live"], 1)
        frames = [body for _, body in self.net.server.media(9) if body[1] == 1]
        self.assertEqual(len(frames), 150)

    def test_impossible_target(self) -> None:
        """One to which nothing can connect is told of; stream and publisher notice nothing."""

        def refuse(target: Target) -> NoReturn:
            raise ValueError(f"invalid hostname: {target.host}")

        with mock.patch.object(self.relays, "_endpoint", refuse):
            relay = self.push("rtmps://media_server/app/key")
            pull = self.relays.add("other", "pull", "rtmps://media_server/app/key")
        encoder = self.encoder()
        encoder.run(6.0)
        for each in (relay, pull):
            self.assertEqual(state(each), "waiting")
            self.assertEqual(each.redial.error, "invalid hostname: media_server")
        self.assertEqual(len([s for s in self.output.samples if s.track.kind == "video"]), 150)

    def test_events_and_log(self) -> None:
        """Each change is told, with what went wrong and without the URL's secrets."""
        with capturedLogs() as logs:
            self.push()
            self.net.at_once = False
            self.encoder().run(3.0)
            self.net.fail(OSError("no route"))
        self.assertEqual(self.states(), ["connecting", "waiting"])
        key, details = self.told[-1]
        self.assertEqual((key, details["direction"], details["error"]), ("key", "push", "no route"))
        lines = [str(formatEvent(event)) for event in logs]
        self.assertIn(
            "relay push of key, rtmp://far.example/app/***: no route; again in 1 s",
            [line.replace("in 2 s", "in 1 s") for line in lines],
        )
        self.assertNotIn("their-key", "".join(lines) + repr(self.relays.relays()))

    def test_closed(self) -> None:
        """At the end every connection is closed, and nothing begins any more."""
        self.push()
        self.encoder().run(3.0)
        self.net.run()
        closed = self.relays.close()
        self.assertNoResult(closed)
        self.net.run()
        self.successResultOf(closed)
        self.failureResultOf(self.state.get(PATH), NotFound)
        self.push(key="late")
        self.manager.stop("key")
        self.clock.advance(60)
        self.encoder(key="late").run(3.0)
        self.assertEqual(len(self.net.dialled), 1)

    def test_failing_disk(self) -> None:
        """What cannot be stored is told to whoever asks."""
        self.push()
        with mock.patch.object(self.state, "put", lambda *_: fail(OSError("full"))):
            self.failureResultOf(self.relays.saved(), OSError)

"""Tests of rapidrtmp.state."""

import json
from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from rapidrtmp.interfaces import NO_CACHE, IStorage
from rapidrtmp.state import StateError, StateFile
from rapidrtmp.storage.memory import MemoryStorage


@implementer(IStorage)
class SlowStorage(MemoryStorage):
    """Ends each put only when the test says so."""

    def __init__(self) -> None:
        super().__init__(Clock())
        self.writes: list[tuple[Deferred[None], bytes]] = []
        """The writes under way."""

    def put(
        self, path: str, data: Sequence[bytes], content_type: str, cache_control: str
    ) -> Deferred[None]:
        """Begin a write."""
        deferred: Deferred[None] = Deferred()
        self.writes.append((deferred, b"".join(data)))
        return deferred

    def finish(self, error: Exception | None = None) -> dict[str, object]:
        """End the only write under way; give the state that it held."""
        [(deferred, body)] = self.writes
        self.writes = []
        if error:
            deferred.errback(error)
        else:
            deferred.callback(None)
        state = json.loads(body)["state"]
        assert isinstance(state, dict)
        return state


class LoadTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a file that is not there yet."""
        self.storage = MemoryStorage(Clock())
        self.file = StateFile(self.storage, "streams/key.json", 2)

    def write(self, body: bytes) -> None:
        """Write the file's bytes."""
        self.successResultOf(self.storage.put("streams/key.json", (body,), "", NO_CACHE))

    def test_absent(self) -> None:
        """A file that is not there is no state."""
        self.assertIsNone(self.successResultOf(self.file.load()))

    def test_round_trip(self) -> None:
        """What was saved is loaded, by another object too."""
        state: dict[str, object] = {"a": 1, "schema": 7, "b": [1.5, None, "\u00fc"], "c": {}}
        self.assertIsNone(self.successResultOf(self.file.save(state)))
        other = StateFile(self.storage, "streams/key.json", 2)
        self.assertEqual(self.successResultOf(other.load()), state)

    def test_layout(self) -> None:
        """The file is JSON with its schema version beside the state."""
        self.successResultOf(self.file.save({"a": 1}))
        body = self.successResultOf(self.storage.get("streams/key.json"))
        self.assertEqual(json.loads(body), {"schema": 2, "state": {"a": 1}})

    def test_broken(self) -> None:
        """A file that cannot be used is an error that names it, and stays as it is."""
        for body, words in [
            (b"", "is not JSON"),
            (b'{"schema":2,"state":{"a"', "is not JSON"),
            (b"\xff\xfe\xfd", "is not JSON"),
            (b'{"schema":2,"state":{"a":NaN}}', "is not JSON: NaN"),
            (b"[" * 100_000, "is not JSON"),
            (b"[]", "names no schema"),
            (b"{}", "names no schema"),
            (b'{"schema":true,"state":{}}', "names no schema"),
            (b'{"schema":"2","state":{}}', "names no schema"),
            (b'{"schema":2}', "holds no state"),
            (b'{"schema":2,"state":[]}', "holds no state"),
            (b'{"schema":3,"state":{}}', "written by a newer version"),
            (b'{"schema":1,"state":{}}', "written by another version"),
        ]:
            with self.subTest(body=body[:30]):
                self.write(body)
                message = self.failureResultOf(self.file.load(), StateError).getErrorMessage()
                self.assertIn("streams/key.json", message)
                self.assertIn(words, message)
                self.assertTrue(message.endswith("; repair it or move it away"), message)
                self.assertEqual(self.successResultOf(self.storage.get("streams/key.json")), body)

    def test_storage_fails(self) -> None:
        """A storage that fails is not taken for a file that is not there."""
        self.storage.close()
        self.failureResultOf(self.file.load(), OSError)


class SaveTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a file in a slow storage."""
        self.storage = SlowStorage()
        self.file = StateFile(self.storage, "state.json", 1)

    def test_fires_when_stored(self) -> None:
        """The Deferred fires after the write, not before."""
        saved = self.file.save({"n": 1})
        self.assertNoResult(saved)
        self.assertEqual(self.storage.finish(), {"n": 1})
        self.assertIsNone(self.successResultOf(saved))

    def test_coalesced(self) -> None:
        """A storm of saves makes two writes: the first value and the latest."""
        saves = [self.file.save({"n": n}) for n in range(1000)]
        self.assertEqual(self.storage.finish(), {"n": 0})
        self.successResultOf(saves[0])
        for saved in saves[1:]:
            self.assertNoResult(saved)
        self.assertEqual(self.storage.finish(), {"n": 999})
        for saved in saves[1:]:
            self.assertIsNone(self.successResultOf(saved))
        self.assertEqual(self.storage.writes, [])

    def test_later_save(self) -> None:
        """When all is stored, the next save writes at once again."""
        self.file.save({"n": 1})
        self.storage.finish()
        saved = self.file.save({"n": 2})
        self.assertEqual(self.storage.finish(), {"n": 2})
        self.successResultOf(saved)

    def test_saved_in_place(self) -> None:
        """A mapping that is changed while it waits is stored as it then is."""
        state = {"n": 1}
        first = self.file.save(state)
        state["n"] = 2
        second = self.file.save(state)
        state["n"] = 3
        third = self.file.save(state)
        self.assertEqual(self.storage.finish(), {"n": 1})
        self.successResultOf(first)
        self.assertEqual(self.storage.finish(), {"n": 3})
        self.successResultOf(second)
        self.successResultOf(third)

    def test_failure(self) -> None:
        """A failing write fails its own saves alone; the next ones are written."""
        first = self.file.save({"n": 1})
        second = self.file.save({"n": 2})
        self.storage.finish(OSError("disk full"))
        self.failureResultOf(first, OSError)
        self.assertNoResult(second)
        self.storage.finish(OSError("still full"))
        self.failureResultOf(second, OSError)
        third = self.file.save({"n": 3})
        self.assertEqual(self.storage.finish(), {"n": 3})
        self.successResultOf(third)

    def test_not_json(self) -> None:
        """A state that is not JSON fails its save; later ones work."""
        self.failureResultOf(self.file.save({"n": object()}), TypeError)
        self.failureResultOf(self.file.save({"n": float("nan")}), ValueError)
        saved = self.file.save({"n": 3})
        self.assertEqual(self.storage.finish(), {"n": 3})
        self.successResultOf(saved)

    def test_save_when_saved(self) -> None:
        """A save may be made from the callback of another one."""
        again: list[Deferred[None]] = []
        self.file.save({"n": 1}).addCallback(lambda _: again.append(self.file.save({"n": 2})))
        self.assertEqual(self.storage.finish(), {"n": 1})
        self.assertEqual(self.storage.finish(), {"n": 2})
        self.assertIsNone(self.successResultOf(again[0]))

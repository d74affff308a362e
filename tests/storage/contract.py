"""What every storage backend must do."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp.interfaces import NO_CACHE, IStorage, NotFound, StorageEntry
from rapidrtmp.storage.path import MAX_PART_LENGTH, MAX_PATH_LENGTH

if TYPE_CHECKING:
    Mixin = SynchronousTestCase
else:
    Mixin = object

T = TypeVar("T")

GOOD_PATHS = [
    "a",
    "index.m3u8",
    ".hidden",
    "...",
    "a..b",
    "-",
    "key/1700000000/1/init-0a1b2c3d.mp4",
    "Key_1/life/2/42.m4s",
    "p" * MAX_PART_LENGTH,
    "/".join(["d" * 127] * 8),
]

BAD_PATHS = [
    "",
    "/",
    ".",
    "..",
    "/abs",
    "a/",
    "a//b",
    "../x",
    "a/../b",
    "a/..",
    "./a",
    "a/./b",
    "a\\..\\b",
    "C:x",
    "a b",
    "a\n",
    "a\0",
    "%2e%2e/x",
    "~0123456789abcdef.tmp",
    "b\u00fccher",
    "\u0663",
    "\U0001f600",
    "\udc80",
    "p" * (MAX_PART_LENGTH + 1),
    "/".join(["d" * 100] * 11),
]

assert len(GOOD_PATHS[-1]) < MAX_PATH_LENGTH < len(BAD_PATHS[-1])


class StorageContract(Mixin):
    """Tests of `IStorage`. A backend's test case adds the methods of the first section."""

    storage: IStorage
    scheme: str
    """Of the URLs that `url_for` gives."""

    def open_storage(self) -> IStorage:
        """Make an empty storage."""
        raise NotImplementedError

    def result_of(self, deferred: Deferred[Any]) -> Any:
        """Give the result or the Failure of a Deferred, when need be by waiting."""
        raise NotImplementedError

    def now(self) -> float:
        """The time by the backend's clock."""
        raise NotImplementedError

    def setUp(self) -> None:
        """Open an empty storage."""
        self.storage = self.open_storage()
        self.addCleanup(lambda: self.wait(self.storage.close()))

    def wait(self, deferred: Deferred[T]) -> T:
        """Give the result of a Deferred that must not fail."""
        result: T | Failure = self.result_of(deferred)
        if isinstance(result, Failure):
            result.raiseException()
        return result

    def fail_of(self, deferred: Deferred[Any], error: type[Exception]) -> Any:
        """Give the error of a Deferred that must fail in this way."""
        result = self.result_of(deferred)
        assert isinstance(result, Failure), f"{result!r} instead of a failure"
        self.assertIsInstance(result.value, error)
        return result.value

    def put(self, path: str, *data: bytes) -> None:
        """Write a file that must be taken."""
        self.assertIsNone(self.wait(self.storage.put(path, data, "video/mp4", NO_CACHE)))

    def paths(self, prefix: str = "") -> list[str]:
        """List paths alone."""
        return [entry.path for entry in self.wait(self.storage.list(prefix))]

    def calls(self, path: str) -> Sequence[Callable[[], Deferred[Any]]]:
        """Every call that takes a path."""
        storage = self.storage
        return [
            lambda: storage.put(path, (b"x",), "text/plain", NO_CACHE),
            lambda: storage.get(path),
            lambda: storage.delete(path),
            lambda: storage.exists(path),
            lambda: storage.url_for(path),
        ]

    def test_interface(self) -> None:
        """It provides IStorage, with every signature."""
        self.assertTrue(verifyObject(IStorage, self.storage))

    def test_round_trip(self) -> None:
        """What was put is read back, under each path that is allowed."""
        for path in GOOD_PATHS:
            with self.subTest(path=path):
                self.put(path, path.encode())
                self.assertTrue(self.wait(self.storage.exists(path)))
                self.assertEqual(self.wait(self.storage.get(path)), path.encode())
                self.wait(self.storage.delete(path))
                self.assertFalse(self.wait(self.storage.exists(path)))

    def test_bad_paths(self) -> None:
        """A path that is not allowed fails every call with ValueError and touches nothing."""
        self.put("kept", b"1")
        for path in BAD_PATHS:
            with self.subTest(path=path):
                for call in self.calls(path):
                    self.fail_of(call(), ValueError)
                if path:
                    self.fail_of(self.storage.list(path), ValueError)
        self.assertEqual(self.paths(), ["kept"])

    def test_any_path(self) -> None:
        """Whatever the path: it is either refused, or kept and listed as it was given."""

        @settings(max_examples=60, deadline=None)
        @given(st.text(st.sampled_from("aZ9._-/\\~% \n\0\u00fc"), max_size=8))
        def check(path: str) -> None:
            written = self.result_of(self.storage.put(path, (b"x",), "text/plain", NO_CACHE))
            if isinstance(written, Failure):
                self.assertIsInstance(written.value, ValueError)
                self.assertEqual(self.paths(), [])
            else:
                self.assertEqual(self.paths(), [path])
                self.wait(self.storage.delete(path))

        check()

    def test_many_parts(self) -> None:
        """The parts of the bytes are joined in their order."""
        parts = [bytes([i % 256]) * (i % 7) for i in range(5000)]
        self.put("a", *parts)
        self.assertEqual(self.wait(self.storage.get("a")), b"".join(parts))

    def test_parts_are_taken_at_once(self) -> None:
        """What the caller does to its list after the call does not matter."""
        parts = [b"x"]
        written = self.storage.put("a", parts, "text/plain", NO_CACHE)
        parts.clear()
        self.wait(written)
        self.assertEqual(self.wait(self.storage.get("a")), b"x")

    def test_empty(self) -> None:
        """An empty file is a file, made of no parts or of an empty one."""
        for data in ((), (b"",)):
            self.put("a", *data)
            self.assertEqual(self.wait(self.storage.get("a")), b"")
            self.assertTrue(self.wait(self.storage.exists("a")))
            self.assertEqual(self.wait(self.storage.list())[0].size, 0)

    def test_range(self) -> None:
        """A range gives the bytes that are there, like a slice."""
        body = bytes(range(100))
        self.put("a", body)
        for start, end in [
            (0, None),
            (0, 0),
            (0, 1),
            (10, 20),
            (10, 10),
            (99, 100),
            (90, 1000),
            (0, 2**62),
            (100, None),
            (1000, None),
            (1000, 2000),
        ]:
            with self.subTest(start=start, end=end):
                self.assertEqual(self.wait(self.storage.get("a", start, end)), body[start:end])

    def test_bad_range(self) -> None:
        """A range that is none fails with ValueError."""
        self.put("a", b"body")
        for start, end in [(-1, None), (0, -1), (3, 2)]:
            with self.subTest(start=start, end=end):
                self.fail_of(self.storage.get("a", start, end), ValueError)

    def test_absent(self) -> None:
        """A file that is not there: NotFound for get, False for exists, nothing for delete."""
        for path in ("a", "x/y/z"):
            self.fail_of(self.storage.get(path), NotFound)
            self.assertIs(self.wait(self.storage.exists(path)), False)
            self.assertIsNone(self.wait(self.storage.delete(path)))
            self.assertEqual(self.paths(path), [])

    def test_directory_is_no_file(self) -> None:
        """What lies above a file is not there itself; deleting it removes nothing."""
        self.put("a/b/c", b"1")
        for path in ("a", "a/b", "a/b/c/d"):
            self.fail_of(self.storage.get(path), NotFound)
            self.assertIs(self.wait(self.storage.exists(path)), False)
            self.wait(self.storage.delete(path))
        self.assertEqual(self.paths(), ["a/b/c"])

    def test_delete(self) -> None:
        """Delete removes that one file, and a second time is no error."""
        for path in ("a/b", "a/c", "a/d/e"):
            self.put(path, b"1")
        self.wait(self.storage.delete("a/b"))
        self.wait(self.storage.delete("a/b"))
        self.assertEqual(self.paths(), ["a/c", "a/d/e"])
        self.put("a/b", b"2")
        self.assertEqual(self.wait(self.storage.get("a/b")), b"2")

    def test_replace(self) -> None:
        """A second put replaces the file, also by a shorter one."""
        self.put("a", b"first")
        self.put("a", b"2nd")
        self.assertEqual(self.wait(self.storage.get("a")), b"2nd")
        self.assertEqual(self.wait(self.storage.list())[0].size, 3)

    def test_replace_is_atomic(self) -> None:
        """Who reads while a file is replaced gets the old one or the new one, whole."""
        bodies = [bytes([i]) * 200_000 for i in range(20)]
        self.put("a", bodies[0])
        reads: list[Deferred[bytes]] = []
        writes: list[Deferred[None]] = []
        for body in bodies:
            writes.append(self.storage.put("a", [body[:100_000], body[100_000:]], "", ""))
            reads += [self.storage.get("a"), self.storage.get("a")]
        for read in reads:
            self.assertIn(self.wait(read), bodies)
        for write in writes:
            self.wait(write)
        self.assertIn(self.wait(self.storage.get("a")), bodies)
        self.assertEqual(self.paths(), ["a"])

    def test_list(self) -> None:
        """The listing is recursive and sorted by path, with size and time."""
        before = self.now()
        for path in ("b/z", "b/a/x", "b.x", "a", "b-1/x"):
            self.put(path, path.encode())
        after = self.now()
        entries = self.wait(self.storage.list())
        self.assertEqual([e.path for e in entries], ["a", "b-1/x", "b.x", "b/a/x", "b/z"])
        for entry in entries:
            self.assertIsInstance(entry, StorageEntry)
            self.assertEqual(entry.size, len(entry.path))
            self.assertTrue(before - 2 <= entry.modified <= after + 2, entry)

    def test_list_prefix(self) -> None:
        """A prefix is a whole file or directory, never part of a name."""
        for path in ("key/1", "key/2/3", "key2/1", "ke"):
            self.put(path, b"")
        for prefix, expected in [
            ("key", ["key/1", "key/2/3"]),
            ("key/2", ["key/2/3"]),
            ("key/1", ["key/1"]),
            ("ke", ["ke"]),
            ("k", []),
            ("key/2/3/4", []),
        ]:
            with self.subTest(prefix=prefix):
                self.assertEqual(self.paths(prefix), expected)

    def test_url(self) -> None:
        """The URL of a file names its path, whether it is there or not."""
        url = urlsplit(self.wait(self.storage.url_for("key/1/42.m4s")))
        self.assertEqual(url.scheme, self.scheme)
        self.assertTrue(url.path.endswith("/key/1/42.m4s"))

    def test_closed(self) -> None:
        """A closed storage fails each further call with OSError; closing twice is fine."""
        self.put("a", b"1")
        self.wait(self.storage.close())
        self.wait(self.storage.close())
        for call in self.calls("a")[:4]:
            self.fail_of(call(), OSError)
        self.fail_of(self.storage.list(), OSError)

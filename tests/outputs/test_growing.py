"""Segments that are sent while they are being made, as an HLS output gives them out."""

from twisted.internet.defer import maybeDeferred

from rapidrtmp.interfaces import Growth, NotFound, NotReady, Representation
from rapidrtmp.outputs.blocked import AT_ONCE
from tests.outputs.case import HLSCase
from tests.stream.fakes import Encoder


class GrowingTests(HLSCase):
    def setUp(self) -> None:
        """Start a stream whose first segment is complete, and the second has parts."""
        super().setUp()
        self.encoder_ = self.start()

    def start(self) -> Encoder:
        """Start an encoder."""
        encoder = self.encoder()
        encoder.run(2.8)
        return encoder

    def path(self, name: str = "video1", later: int = 0) -> tuple[str, ...]:
        """Name the segment under way, or one that comes later."""
        window = next(w for w in self.hls._windows.values() if w.segmenter.name == name)
        return (self.stream.life, name, f"{window.next_part[0] + later}.m4s")

    def open(self, path: tuple[str, ...]) -> tuple[Representation, Growth]:
        """Ask for the segment under way."""
        file = self.find(*path)
        assert file.growth is not None
        return file, file.growth

    def test_grows(self) -> None:
        """It is what is there, and then part by part what comes: the segment's very bytes."""
        for name in ("video1", "audio2"):
            with self.subTest(name=name):
                path = self.path(name)
                file, growth = self.open(path)
                self.assertTrue(file.body)
                seen: list[int] = []
                growth.readers[lambda seen=seen, growth=growth: seen.append(len(growth.pieces))] = (  # type: ignore[misc]  # bound at once
                    None
                )
                self.encoder_.run(0.5)
                self.assertFalse(growth.is_complete)
                self.assertEqual(seen, list(range(1, len(seen) + 1)))
                self.assertGreaterEqual(len(seen), 2)
                self.encoder_.run(1.0)
                self.assertTrue(growth.is_complete)
                whole = self.find(*path)
                self.assertIsNone(whole.growth)
                self.assertEqual(file.body + b"".join(growth.pieces), whole.body)
                self.assertEqual((file.etag, file.cache_control), (whole.etag, whole.cache_control))
                self.encoder_.run(0.5)

    def test_shared(self) -> None:
        """All who ask for it get the same one, whenever they come."""
        path = self.path()
        file, growth = self.open(path)
        self.encoder_.run(0.5)
        self.assertIs(self.find(*path), file)
        self.assertTrue(growth.pieces)

    def test_next(self) -> None:
        """The one that comes next is awaited until its first part is there."""
        self.encoder_.run(1.24)
        window = next(iter(self.hls._windows.values()))
        self.assertEqual(window.parts, [])
        path = self.path()
        held = self.hold(*path)
        self.assertEqual(self.hls.held, 1)
        self.encoder_.run(0.3)
        file = self.successResultOf(held)
        assert file.growth is not None
        self.assertIs(self.find(*path), file)

    def test_next_without_parts(self) -> None:
        """One that ends before its first part is complete comes whole."""
        self.encoder_.run(1.24)
        path = self.path()
        held = self.hold(*path)
        self.encoder_.run(0.08)
        self.encoder_.publication.close("cut")
        self.assertIsNone(self.successResultOf(held).growth)

    def test_others(self) -> None:
        """Those that are further away are not there, nor is what only looks like one."""
        for path in (
            self.path(later=1),
            self.path(later=-50),
            (self.stream.life, "video1", "0.m4s"),
            ("0" * 16, *self.path()[1:]),
            (self.stream.life, "video9", self.path()[2]),
            (self.stream.life, "video1", "x.m4s"),
        ):
            found = maybeDeferred(self.hls.representation, path, {})
            self.failureResultOf(found, NotFound)

    def test_impatient(self) -> None:
        """Who waits for what does not come is told so."""
        self.encoder_.run(1.24)
        held = self.hold(*self.path())
        self.clock.advance(7)
        self.failureResultOf(held, NotReady)

    def test_cut(self) -> None:
        """When the encoder goes away the segment is complete with what there was."""
        path = self.path()
        file, growth = self.open(path)
        self.encoder_.run(0.1)
        self.encoder_.publication.close("cut")
        self.assertTrue(growth.is_complete)
        self.assertEqual(file.body + b"".join(growth.pieces), self.find(*path).body)

    def test_ended(self) -> None:
        """After the end nothing is under way."""
        self.successResultOf(self.manager.stop("key"))
        found = maybeDeferred(self.hls.representation, self.path(), {})
        self.failureResultOf(found, NotFound)

    def test_given_up(self) -> None:
        """A server that stops without completing it breaks it off."""
        _, growth = self.open(self.path())
        told: list[bool] = []
        growth.readers[lambda: told.append(growth.is_broken)] = None
        self.successResultOf(self.hls.close())
        self.assertEqual((told, growth.is_complete), ([True], False))

    def test_lost(self) -> None:
        """One that left the list before it was complete is broken off."""
        _, growth = self.open(self.path())
        window = next(iter(self.hls._windows.values()))
        window.parts = []
        self.hls._edge.changed(window)
        self.assertTrue(growth.is_broken)

    def test_many(self) -> None:
        """A crowd of readers does not hold up the encoder: they come in groups."""
        _, growth = self.open(self.path())
        told: list[int] = []
        for number in range(3 * AT_ONCE):
            growth.readers[lambda number=number: told.append(number)] = None  # type: ignore[misc]  # bound at once
        leaver = list(growth.readers)[-1]
        window = next(iter(self.hls._windows.values()))
        sample_parts = len(window.parts)
        while len(window.parts) == sample_parts:
            self.assertEqual(told, [])
            self.encoder_.run(1 / 25)
        # the encoder lets the clock go on after each sample
        del growth.readers[leaver]
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(told[: 3 * AT_ONCE - 1], list(range(3 * AT_ONCE - 1)))

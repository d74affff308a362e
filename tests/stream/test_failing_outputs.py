"""Tests of what becomes of a stream when one of its outputs raises."""

from collections.abc import Sequence
from unittest.mock import Mock

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.interfaces import IOutputMaker
from rapidrtmp.media.timed import EventMessage
from rapidrtmp.outputs.hls import HLSOutput
from rapidrtmp.protocol.fanout import Fanout
from tests.hls.checker import parse_multivariant_playlist
from tests.stream.fakes import Encoder, FakeMaker, FakeOutput, StreamCase, request
from tests.test_readiness import make_service
from tests.web.fakes import Connection, Response

METHODS = (
    "tracks_changed",
    "segment_started",
    "sample_received",
    "metadata_received",
    "discontinuity",
)


def fail(*arguments: object) -> None:
    """Fail on purpose."""
    raise ZeroDivisionError


class FailingOutputTests(StreamCase):
    def makers(self) -> Sequence[IOutputMaker]:
        """Make three outputs for each stream; the one in the middle will fail."""
        return [self.maker, self.maker, self.maker]

    def break_at(self, method: str) -> tuple[FakeOutput, FakeOutput, FakeOutput]:
        """Go through everything that outputs are told, with one that raises at one of it."""
        self.maker = FakeMaker()
        self.manager = self.make_manager()
        encoder = self.encoder(token="good")
        first, broken, last = self.maker.outputs
        self.patch(broken, method, fail)
        encoder.run(5)
        self.stream.insert(EventMessage("urn:x", b"x"))
        encoder.publication.close("left")
        self.encoder().run(5)
        return first, broken, last

    def test_others_go_on(self) -> None:
        """Wherever one raises: it is logged and counted once, ended, and told nothing more."""
        for method in METHODS:
            with self.subTest(method=method):
                first, broken, last = self.break_at(method)
                self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
                self.assertEqual(self.stream.statistics.output_failures, 1)
                self.assertEqual(list(self.stream.outputs), [first, last])
                self.assertEqual(broken.events[-1:], ["ended"])
                self.assertEqual(first.events, last.events)
                self.assertEqual(len(first.boundaries), 6)
                self.assertEqual([len(first.metadata), len(last.metadata)], [1, 1])
                self.assertEqual([id(s) for s in first.samples], [id(s) for s in last.samples])
                self.assertEqual(len(first.samples), self.stream.statistics.frames_received)

    def test_fails_again(self) -> None:
        """One that cannot even be ended is let be; the publisher notices nothing."""
        encoder = self.encoder()
        for output in self.maker.outputs:
            self.patch(output, "ended", fail)
        self.patch(self.maker.outputs[1], "sample_received", fail)
        encoder.run(3)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertTrue(encoder.publication.is_open)
        self.assertEqual(len(self.maker.outputs[2].boundaries), 2)

    def test_all_of_them(self) -> None:
        """With no output left the publisher is taken from all the same."""
        encoder = self.encoder()
        for output in self.maker.outputs:
            self.patch(output, "sample_received", fail)
        encoder.run(3)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)
        self.assertEqual(list(self.stream.outputs), [])
        self.assertTrue(encoder.publication.is_open)

    def test_end_and_close(self) -> None:
        """It is not ended twice, and what it has accepted is put away with the rest."""
        encoder = self.encoder()
        broken = self.maker.outputs[1]
        self.patch(broken, "sample_received", fail)
        encoder.run(3)
        self.flushLoggedErrors(ZeroDivisionError)
        stream = self.stream
        self.successResultOf(self.manager.stop("key"))
        self.successResultOf(stream.close())
        self.assertEqual(broken.events.count("ended"), 1)
        self.assertEqual(broken.events[-1], "closed")

    def test_total(self) -> None:
        """The count outlives the stream."""
        encoder = self.encoder()
        self.patch(self.maker.outputs[0], "sample_received", fail)
        encoder.run(1)
        self.flushLoggedErrors(ZeroDivisionError)
        self.successResultOf(self.manager.stop("key"))
        self.assertEqual(self.manager.totals.output_failures, 1)

    def test_cancelled_meanwhile(self) -> None:
        """An output that takes another one off while a sample goes round makes nobody miss it."""
        encoder = self.encoder()
        first, _, last = self.maker.outputs
        extra = FakeOutput()
        attachment = self.stream.attach(extra)
        self.patch(first, "sample_received", lambda sample: attachment.cancel())
        encoder.run(1)
        self.assertEqual(len(last.samples), self.stream.statistics.frames_received)
        self.assertLessEqual(len(extra.samples), len(last.samples))
        self.assertNotIn(extra, self.stream.outputs)


class ViewerTests(SynchronousTestCase):
    def setUp(self) -> None:
        service, reactor = make_service(self.mktemp(), thumbnails=False, hls_low_latency=False)
        self.house = service._house
        publication = self.successResultOf(self.house.manager.publish(request()))
        self.encoder = Encoder(reactor, publication)
        self.encoder.run(9)
        [self.stream] = self.house.manager.streams()
        self.hls, self.fanout = self.stream.outputs

    def ask(self, path: str) -> Response:
        """Make a request of the server's own machine."""
        connection = Connection(self.house.site, peer="127.0.0.1", host="127.0.0.1")
        connection.request("GET", path, (), host="localhost")
        return connection.response("GET")

    def playlist(self) -> str:
        """Load the multivariant playlist, and the media playlist that it names first."""
        multivariant = parse_multivariant_playlist(self.ask("/live/key/index.m3u8").body)
        return self.ask(f"/live/key/{multivariant.variants[0].uri}").body.decode()

    def test_hls(self) -> None:
        """Viewers of a packaging that fails are told the end; what is listed can be fetched."""
        assert isinstance(self.hls, HLSOutput)
        self.assertNotIn("#EXT-X-ENDLIST", self.playlist())
        broken = Mock(wraps=self.hls._segmenter)
        broken.write = fail
        self.patch(self.hls, "_segmenter", broken)
        self.encoder.run(1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIn("#EXT-X-ENDLIST", self.playlist())
        self.assertEqual(list(self.stream.outputs), [self.fanout])

    def test_fan_out(self) -> None:
        """The packaging goes on without the fan-out."""
        assert isinstance(self.fanout, Fanout)
        before = self.playlist()
        broken = Mock(wraps=self.fanout._cache)
        broken.add = fail
        self.patch(self.fanout, "_cache", broken)
        self.encoder.run(4)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(list(self.stream.outputs), [self.hls])
        self.assertNotEqual(self.playlist(), before)
        self.assertNotIn("#EXT-X-ENDLIST", self.playlist())

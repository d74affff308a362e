"""Publications of any tracks, changing at any time, through all that hangs on a stream."""

from collections.abc import Sequence
from random import Random
from typing import Any, cast

from fuzz.seeds import AUDIO, VIDEO
from rapidrtmp.codecs.registry import REGISTRY
from rapidrtmp.flv import enhanced
from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.interfaces import IOutputMaker, NotFound, NotReady
from rapidrtmp.protocol.fanout import FanoutMaker
from rapidrtmp.protocol.server import RTMPServerFactory
from rapidrtmp.relay.relays import Relays
from rapidrtmp.rtmp.capabilities import MULTITRACK, PLAIN, Capabilities
from tests.outputs.case import INDEX, HLSCase
from tests.protocol.play_case import Client
from tests.relay.fakes import FarNet
from tests.stream.fakes import request

TARGETS = (
    PLAIN,
    Capabilities(frozenset("*"), caps_ex=MULTITRACK),
    Capabilities(frozenset(("vp08", "hvc1")), caps_ex=MULTITRACK),
)
PLAYERS: tuple[dict[str, Any], ...] = (
    {},
    {"fourCcList": ["*"], "capsEx": 2.0},
    {"videoFourCcInfoMap": {"vp08": 1.0}},
)
TRACKS = ((0,), (0, 1), (1, 3), (3,), ())


class TrackTests(HLSCase):
    def makers(self) -> list[IOutputMaker]:
        """HLS, and players."""
        return [*super().makers(), FanoutMaker()]

    def test_any(self) -> None:
        """Nothing that publishers combine makes an output fail: HLS, players and a push."""
        for seed in range(25):
            with self.subTest(seed):
                self.setUp()
                self.run_with(Random(seed))

    def run_with(self, source: Random) -> None:
        """Publish, watch, play and push what chance gives."""
        net = FarNet()
        net.capabilities = source.choice(TARGETS)
        relays = Relays(
            self.manager, self.state, self.clock, net, lambda: Demuxer(REGISTRY), lambda *_: None
        )
        self.successResultOf(relays.load())
        relays.start()
        relays.add("key", "push", "rtmp://far.example/app/name")
        factory = RTMPServerFactory(self.manager, cast(Any, self.clock), lambda: Demuxer(REGISTRY))
        publication = self.successResultOf(self.manager.publish(request()))
        demuxer = Demuxer(REGISTRY)
        plan: list[tuple[int, int, Sequence[tuple[int, bytes, bytes]]]]
        plan = [(9, number, VIDEO) for number in source.choice(TRACKS)]
        plan += [(8, number, AUDIO) for number in source.choice(TRACKS)]
        codecs = [source.choice(codecs) for _, _, codecs in plan]
        time = 0
        for step in range(60):
            time += source.choice((40, 40, 40, 400, 3000, -500))
            for index, (type_id, number, choices) in enumerate(plan):
                bodies = []
                if not step or source.random() < 0.05:
                    codecs[index] = codec, record, _ = source.choice(choices)
                    bodies.append(_head(type_id, enhanced.SEQUENCE_START, codec, number) + record)
                codec, _, frame = codecs[index]
                bodies.append(_head(type_id, enhanced.CODED_FRAMES, codec, number) + frame)
                for body in bodies:
                    samples = demuxer.receive(type_id, time & 0xFFFFFFFF, body)
                    publication.set_tracks(demuxer.tracks)
                    for sample in samples:
                        publication.write(sample)
            self.tick(source.randrange(2))
            if not source.randrange(10):
                client = Client(factory, **source.choice(PLAYERS))
                client.play()
                self.addCleanup(client.lose)
                net.run()
                self.look()
        self.assertEqual((factory.errors, publication.is_open), ({}, True))
        publication.close("left")
        self.manager.stop("key")
        net.run()

    def look(self) -> None:
        """Ask for the playlist, which may be there, may come, or cannot."""
        try:
            found = self.hls.representation(INDEX)
        except (NotFound, NotReady):
            return
        if hasattr(found, "addErrback"):
            found.addErrback(lambda failure: failure.trap(NotFound, NotReady))


def _head(type_id: int, packet_type: int, codec: int, track_id: int) -> bytes:
    """Write what stands before a record, or before a key frame without its composition time."""
    if type_id == 8:
        return enhanced.audio_header(packet_type, codec, track_id)
    return enhanced.video_header(packet_type, codec, 1, 0, track_id)

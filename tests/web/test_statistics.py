"""What is told of a stream in full, of a real one."""

import json

from rapidrtmp.interfaces import AccessRequest
from rapidrtmp.web.description import timestamp
from rapidrtmp.web.statistics import describe_statistics
from tests.outputs.case import HLSCase
from tests.stream.fakes import NOW
from tests.web.openapi import Document


class StatisticsTests(HLSCase):
    def described(self) -> dict[str, object]:
        """Describe the stream; what comes out is as documented, and tells no secret."""
        told = describe_statistics(self.stream, self.clock.seconds())
        schema = {"$ref": "#/components/schemas/Statistics"}
        self.assertEqual(Document().errors(schema, told), [])
        text = json.dumps(told, allow_nan=False)
        for secret in ("good", self.stream.life):
            self.assertNotIn(secret, text)
        return told

    def test_live(self) -> None:
        """A live stream tells of its publisher, rates, tracks, segments and viewers."""
        encoder = self.encoder()
        for _ in range(6):
            encoder.run(1)
            self.manager.tick()
        self.stream.statistics.drop("short", 3)
        told = self.described()
        self.assertEqual((told["streamKey"], told["state"]), ("key", "live"))
        self.assertEqual(
            told["publisher"],
            {
                "address": "192.0.2.1",
                "sessionId": "s1",
                "client": "test/1",
                "since": "2027-01-15T08:00:00Z",
            },
        )
        rates, received = told["rates"], told["received"]
        assert isinstance(rates, dict) and isinstance(received, dict)
        self.assertEqual((rates["frameRate"], rates["keyframeInterval"]), (25.0, 2.0))
        self.assertGreater(rates["bitrate"], 0)
        self.assertEqual(received["bytes"], received["videoBytes"] + received["audioBytes"])
        self.assertEqual((received["videoFrames"], received["keyframes"]), (150, 3))
        self.assertGreater(received["audioFrames"], 200)
        self.assertEqual(told["dropped"], {"short": 3})
        tracks = told["tracks"]
        assert isinstance(tracks, list)
        self.assertEqual([track["kind"] for track in tracks], ["video", "audio"])
        segments = told["segments"]
        assert isinstance(segments, dict)
        self.assertEqual(segments["targetDuration"], 2)
        self.assertEqual((segments["requestsHeld"], segments["bytesWaiting"]), (0, 0))
        self.assertLess(segments["age"], 2.0)
        self.assertNotIn("storageError", segments)
        self.assertEqual(told["viewers"], {"now": 0, "total": 0})

    def test_diagnosis(self) -> None:
        """What is wrong with the encoder is told, also when it has gone."""
        encoder = self.encoder(gop=8)
        self.assertEqual(self.described()["diagnosis"], [])
        for _ in range(18):
            encoder.run(1)
            self.manager.tick()
        told = self.described()["diagnosis"]
        assert isinstance(told, list)
        self.assertEqual([each["id"] for each in told], ["keyframe_interval"])
        self.assertEqual(told[0]["problem"], "key frames are 8.0 s apart")
        self.assertIn("Keyframe Interval", told[0]["fix"])
        self.assertEqual(told[0]["since"], timestamp(self.stream.diagnoses.current[0].since))
        encoder.publication.close("left")
        self.assertEqual(self.described()["diagnosis"], told)

    def test_young(self) -> None:
        """What is not known yet is left out."""
        self.publish()
        told = self.described()
        self.assertEqual(told["state"], "connecting")
        self.assertEqual(told["tracks"], [])
        self.assertNotIn("startedAt", told)
        self.assertEqual(told["rates"], {"bitrate": 0})
        segments = told["segments"]
        assert isinstance(segments, dict)
        self.assertNotIn("age", segments)

    def test_gone(self) -> None:
        """A stream without a publisher tells of none; what it counted stays."""
        encoder = self.encoder()
        encoder.run(3)
        encoder.publication.close("left")
        told = self.described()
        self.assertEqual((told["state"], told["publishers"]), ("idle", 1))
        self.assertNotIn("publisher", told)
        self.successResultOf(self.manager.stop("key"))
        self.assertEqual(self.described()["state"], "stopped")

    def test_client_name(self) -> None:
        """Whatever a client calls itself can be told."""
        request = AccessRequest("publish", "key", "live", "", "s1", {}, "\u202e<script>")
        self.successResultOf(self.manager.publish(request))
        told = self.described()
        publisher = told["publisher"]
        assert isinstance(publisher, dict)
        self.assertEqual(publisher["client"], "\u202e<script>")
        self.assertEqual(NOW, self.clock.seconds())

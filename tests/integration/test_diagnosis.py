"""What the server says of a real encoder's settings."""

from typing import Any

from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import wait_for
from tests.integration.server import Server

OF_THE_MACHINE = ("slow_publisher", "no_media")
"""Diagnoses that go by the clock on the wall."""


class DiagnosisTests(IntegrationTestCase):
    def diagnosis(self, server: Server) -> list[dict[str, Any]]:
        """Ask the API. What the machine may be at fault for, when it is busy, is left out."""
        answer = server.get(f"/api/v1/streams/{KEY}/statistics")
        found = answer.json["diagnosis"] if answer.status == 200 else []
        return [each for each in found if each["id"] not in OF_THE_MACHINE]

    def test_keyframe_interval(self) -> None:
        """Ten seconds between key frames: said in the API, the log and the metrics."""
        server = self.serve(INGEST_MAX_AHEAD="10s")
        publisher = self.publish(server, "long_gop", server.mint(KEY))
        (found,) = wait_for(lambda: self.diagnosis(server), "a diagnosis", 20)
        self.assertEqual(found["id"], "keyframe_interval")
        self.assertIn("10.0 s apart", found["problem"])
        self.assertIn("OBS → Settings → Output", found["fix"])
        line = f'rapidrtmp_stream_diagnosis{{diagnosis="keyframe_interval",stream_key="{KEY}"}} 1.0'
        self.assertIn(line, server.get("/metrics").text)
        self.assertEqual(server.log.count("key frames are"), 1)
        publisher.kill()
        server.stop()

    def test_healthy(self) -> None:
        """A real encoder with good settings, in real time, is left in peace."""
        server = self.serve()
        self.publish(server, "rate_48000", server.mint(KEY), live=True, loop=False).succeed()
        wait_for(lambda: server.stream(KEY).get("state") == "idle", "the publisher has gone")
        self.assertEqual(self.diagnosis(server), [])
        server.stop()

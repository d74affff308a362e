"""DASH of the real server: FFmpeg reads it, and segments come while they are being made."""

import re
import time
from http.client import HTTPConnection
from itertools import pairwise
from urllib.parse import urljoin

from tests.dash.checker import Manifest, Representation, check_refresh, date, parse_manifest
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import Child, tool, wait_for
from tests.integration.server import Server
from tests.isobmff.checker import parse_boxes

FIRST = f"/live/{KEY}/manifest.mpd"


def receive(server: Server, path: str) -> tuple[bytes, list[float]]:
    """Fetch a file; give it, and when each piece of it came."""
    connection = HTTPConnection("127.0.0.1", server.http_port, timeout=60)
    connection.request("GET", path)
    response = connection.getresponse()
    assert response.status == 200, response.status
    pieces, times = [], []
    while piece := response.read1():
        pieces.append(piece)
        times.append(time.monotonic())
    connection.close()
    return b"".join(pieces), times


class DASHTests(IntegrationTestCase):
    def manifest(self, server: Server, path: str) -> Manifest:
        """Fetch and judge a manifest."""
        answer = server.get(path)
        self.assertEqual(answer.status, 200, answer.text)
        return parse_manifest(answer.body)

    def open_segment(self, server: Server, path: str, name: str) -> str:
        """Wait for a segment under way; give its path."""

        def newest() -> Representation:
            return self.manifest(server, path).periods[-1].representations[name]

        number = newest().segments[-1].number
        wait_for(lambda: newest().segments[-1].number > number, "a segment begins", 10)
        return urljoin(path, newest().segments[-1].uri)

    def test_live(self) -> None:
        """FFmpeg reads every frame; a segment under way comes part by part; both count.

        At each refresh FFmpeg takes numbers for indexes where they do not start at 0, and begins
        again with the oldest segment: it is looked at what it reads, not how often.
        """
        server = self.serve(STREAM_GRACE="30s")
        publisher = self.publish(server, "rate_48000", server.mint(KEY), live=True, loop=True)
        server.wait_playlist(KEY)
        show = ["-show_entries", "packet=codec_type,dts", "-of", "csv=p=0"]
        reader = Child(
            [
                *(tool("ffprobe"), "-loglevel", "error", *show),
                *("-read_intervals", "%+9", server.url(FIRST)),
            ],
            self.temporary() / "reader.log",
        )
        self.addCleanup(reader.kill)
        first = self.manifest(server, FIRST)
        self.assertEqual(first.clock, "../time")
        assert first.location is not None
        path = urljoin(FIRST, first.location)
        before = self.manifest(server, path)

        asked = time.time()
        now = date(server.get("/live/time").text)
        self.assertTrue(asked - 0.01 <= now <= time.time() + 0.01)
        newest = before.periods[-1].representations["video1"].segments[-1]
        self.assertLess(abs(now - float(newest.start)), 20)

        def viewers() -> int:
            self.manifest(server, path)
            count: int = server.stream(KEY)["viewers"]
            return count

        wait_for(lambda: viewers() == 2, "FFmpeg and this are counted", 15)
        for name in ("video1", "audio2"):
            for _ in range(5):  # a busy machine may ask for one when it is almost complete
                segment = self.open_segment(server, path, name)
                body, times = receive(server, segment)
                if times[-1] - times[0] > 0.5:
                    break
            else:
                self.fail("each came all at once")
            types = [box.type for box in parse_boxes(body)]
            parts = types.count(b"moof")
            self.assertGreater(parts, 3)
            self.assertEqual(types, [b"styp", *[b"moof", b"mdat"] * parts])
            self.assertEqual(server.get(segment).body, body)
        after = self.manifest(server, path)
        check_refresh(before, after)

        reader.succeed(30)
        read: dict[str, set[int]] = {"video": set(), "audio": set()}
        for line in reader.output().splitlines():
            found = re.match(r"(video|audio),(\d+)", line)
            assert found is not None, f"FFmpeg says: {line}"
            read[found[1]].add(int(found[2]))
        for kind, count, frame in (("video", 60, 90_000 // 25), ("audio", 100, 1024)):
            self.assertGreater(len(read[kind]), count, kind)
            for one, other in pairwise(sorted(read[kind])):
                self.assertLess(other - one, 2 * frame, f"{kind} is missing after {one}")
        publisher.kill()
        server.stop()

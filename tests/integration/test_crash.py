"""kill -9 while files are written, and what the next start makes of what it finds."""

import os
import random
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from tests.integration import media
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import wait_for
from tests.integration.raw_publisher import RawPublisher
from tests.integration.server import Server
from tests.integration.stored import problems

SETTINGS = {"STREAM_GRACE": "60s", "HLS_MAX_SEGMENTS": "3", "HLS_SEGMENT_DURATION": "0.5s"}
OLD = 300
"""Seconds, far above the age at which the start removes files: a minute and three segments."""
LIFE = "0123456789abcdef"


class CrashTests(IntegrationTestCase):
    def start(self, former: Server | None = None) -> Server:
        """Start a server, or start it again: same ports, same directories."""
        if former is None:
            return self.serve(**SETTINGS)
        again = Server(self, SETTINGS, directory=former.directory, ports=former.ports)
        again.secrets += former.secrets
        return again

    def send(self, publisher: RawPublisher, times: int, *, first: int = 0) -> None:
        """Send a sample of six seconds over and over, as fast as it goes."""
        tags = list(media.flv_tags(media.as_flv(media.sample("plain"))))
        for number in range(first, first + times):
            publisher.send_tags(tags, shift=6000 * number)

    def assert_counted(self, server: Server) -> None:
        """The metrics tell the bytes and segments that are there."""

        def look() -> bool:
            found = sizes(server.storage)
            segments = sum(path.suffix == ".m4s" for path in found)
            stored = server.metric("rapidrtmp_bytes_stored")
            return (
                stored == sum(found.values())
                and server.metric("rapidrtmp_segments_stored") == segments
                and sizes(server.storage) == found
            )

        wait_for(look, "the metrics tell what is stored", 5.0)

    def test_any_moment(self) -> None:
        """Wherever it is hit, what is listed is there and whole, and the encoder comes back."""
        source = random.Random(7)
        server = self.start()
        token = server.mint(KEY)
        for number in range(4):
            self.crash(server, token, source.uniform(0.0, 0.4))
            wrong = [text for text in problems(server.storage) if "no playlist" not in text]
            self.assertEqual(wrong, [])
            torn = next(server.storage.glob("*/*/video1")) / f"~{number:016x}.tmp"
            torn.write_bytes(b"half of a segm")
            server = self.start(server)
            self.assertEqual(list(server.storage.rglob("*.tmp")), [])
            self.assert_counted(server)
        publisher = self.raw(server)
        publisher.publish(f"{KEY}?token={token}")
        viewer = self.watch(server)
        self.send(publisher, 1)
        publisher.close()
        viewer.wait_segments(3)
        self.assert_clean(viewer)
        server.stop()
        self.assertEqual(problems(server.storage), [])

    def crash(self, server: Server, token: str, seconds: float) -> None:
        """Kill the server some time after the first segment of a fast publisher."""
        before = set(server.storage.rglob("*.m4s"))
        publisher = self.raw(server)
        publisher.publish(f"{KEY}?token={token}")
        sending = threading.Thread(target=self.send_until_cut, args=(publisher,), daemon=True)
        sending.start()
        wait_for(lambda: set(server.storage.rglob("*.m4s")) - before, "the first segment")
        time.sleep(seconds)
        server.kill()
        sending.join(5.0)
        publisher.close()

    def send_until_cut(self, publisher: RawPublisher) -> None:
        """Send until the server is gone."""
        try:
            self.send(publisher, 1000)
        except OSError:
            pass

    def test_orphans(self) -> None:
        """Files of lives that are over go when they are old; all others stay."""
        server = self.start()
        publisher = self.raw(server)
        publisher.publish(f"{KEY}?token={server.mint(KEY)}")
        self.send(publisher, 1)
        server.wait_playlist(KEY)
        wait_for(lambda: problems(server.storage) == [], "playlists are stored")
        server.kill()
        publisher.close()
        names = [f"{LIFE}/video1.m3u8", f"{LIFE}/video1/7.m4s", f"{LIFE}/audio1/init-01234567.mp4"]
        old = [f"gone/{name}" for name in (*names, "index.m3u8")] + [f"{KEY}/{names[1]}"]
        fresh = [f"fresh/{name}" for name in (*names, "index.m3u8")]
        foreign = ["notes.txt", "gone/backup/video1.m3u8", f"gone/{LIFE}/video1/thumbnail.jpg"]
        own = set(sizes(server.storage))
        self.make(server.storage, old + foreign + fresh)
        for path in (*own, *(server.storage / name for name in old + foreign)):
            past = time.time() - OLD
            os.utime(path, (past, past))
        again = self.start(server)
        wait_for(lambda: "removed" in again.log, "the sweep", 5.0)
        kept = {server.storage / name for name in fresh + foreign}
        self.assertEqual(set(sizes(again.storage)), own | kept)
        self.assert_counted(again)
        again.stop()

    def make(self, root: Path, names: Iterable[str]) -> None:
        """Make files that look like a stream's."""
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"#EXTM3U\n{LIFE}/video1.m3u8\n")

    def test_long_run(self) -> None:
        """Ten minutes of segments leave the window: what is there is bounded, and counted."""
        server = self.start()
        token = server.mint(KEY)
        publisher = self.raw(server)
        publisher.publish(f"{KEY}?token={token}")
        viewer = self.watch(server)
        self.send(publisher, 100)
        created = "rapidrtmp_segments_created_total"
        wait_for(lambda: server.metric(created) >= 1190, "all segments", 30.0)
        self.assert_counted(server)
        time.sleep(4.0)  # what left the window stays for its length and the playlist's
        for number in (100, 101):
            self.send(publisher, 1, first=number)
            time.sleep(0.5)
        wait_for(lambda: len(list(server.storage.rglob("*.m4s"))) < 60, "old ones are deleted")
        self.assert_counted(server)
        self.assertEqual(problems(server.storage), [])
        viewer.stop()
        publisher.close()
        server.kill()
        again = self.start(server)
        self.assert_counted(again)
        again.stop()


def sizes(root: Path) -> dict[Path, int]:
    """Give the bytes of each whole file below a directory that may change meanwhile."""
    found = {}
    for path in root.rglob("*"):
        try:
            if path.is_file() and path.suffix != ".tmp":
                found[path] = path.stat().st_size
        except FileNotFoundError:
            pass
    return found

"""Many streams in little memory: playlists get shorter, then newcomers are refused."""

import contextlib
import resource
from pathlib import Path

from rapidrtmp import memory_limit
from tests.integration import media
from tests.integration.case import IntegrationTestCase
from tests.integration.process import Child, wait_for
from tests.integration.raw_publisher import Refused
from tests.integration.server import Server
from tests.integration.test_refusals import REJECTED
from tests.integration.viewer import Viewer

MIB = 1 << 20
BUDGET = 24
KEYS = [f"stream-{number}" for number in range(6)]


ROOM = 2 * BUDGET * MIB
"""Bytes that the server may take beside what it has when the first media flow."""


def memory(child: Child, what: str) -> int:
    """Give a figure of the kernel's in bytes: VmData, VmHWM."""
    status = Path(f"/proc/{child.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith(f"{what}:")]
    return int(line.split()[1]) * 1024


def limit(child: Child, room: int) -> None:
    """Let the kernel give a process so many bytes from now on, and no more (RLIMIT_DATA)."""
    most = memory(child, "VmData") + room
    resource.prlimit(child.pid, resource.RLIMIT_DATA, (most, most))


class MemoryTests(IntegrationTestCase):
    def test_budget(self) -> None:
        """Six streams whose windows would take twice the budget: viewers notice nothing.

        The kernel denies the server more than it should need; that would be in its log.
        """
        server = self.serve(MEMORY_BUDGET=f"{BUDGET}MiB", HLS_MAX_SEGMENTS="10", STREAM_GRACE="1s")
        self.assertEqual(server.metric("rapidrtmp_memory_budget_bytes"), BUDGET * MIB)
        before = server.child.resident_bytes()
        publishers = [
            self.publish(server, "heavy", server.mint(key), key=key, live=True, loop=True)
            for key in KEYS
        ]
        viewers = [self.watch(server, key) for key in KEYS[:3]]
        viewers[0].wait_segments(1)
        limit(server.child, ROOM)
        peak = [0]

        def is_trimmed() -> bool:
            peak[0] = max(peak[0], self.used(server))
            return server.metric("rapidrtmp_trimmed_streams") == len(KEYS)

        wait_for(is_trimmed, "all playlists are shorter", 30)
        for viewer in viewers:
            self.assert_goes_on(viewer, 4)
        shortest = len(viewers[0].leading.last.segments)
        self.assertLess(shortest, 8)
        self.assertLess(peak[0], 1.15 * BUDGET * MIB)  # it is looked at once a second
        self.assertLess(self.used(server), BUDGET * MIB)
        # connections, and the pieces that the allocator cannot give back, come on top
        self.assertLess(server.child.resident_bytes() - before, 1.75 * BUDGET * MIB)
        ready = server.get("/ready")
        self.assertEqual(ready.status, 200)
        self.assertIn("playlists are shorter", ready.json["checks"]["memory"])
        self.check_refusal(server)
        for viewer in viewers:
            self.assert_goes_on(viewer, 2)
        # no more, at any moment, than a container has in which a server takes this budget by itself
        container = int(memory_limit.BASE + BUDGET * MIB / memory_limit.PART)
        self.assertEqual(memory_limit.media_budget(container), BUDGET * MIB)
        self.assertLess(memory(server.child, "VmHWM"), container)
        for publisher in publishers[2:]:
            self.assertTrue(publisher.running(), "a live stream was cut")
            publisher.kill()
        wait_for(lambda: self.length(viewers[0]) >= shortest + 2, "longer playlists", 30)
        self.assertTrue(publishers[0].running())
        self.assert_clean(*viewers)
        self.assertEqual(server.log.count("playlists get shorter"), 1)
        for publisher in publishers[:2]:
            publisher.kill()
        server.stop()

    def test_limit(self) -> None:
        """The limit of `test_budget` is one: who keeps more is denied memory."""
        server = self.serve(MEMORY_BUDGET="4GiB")
        publisher = self.raw(server)
        publisher.publish(f"{KEYS[0]}?token={server.mint(KEYS[0])}")
        tags = list(media.flv_tags(media.as_flv(media.sample("heavy"))))
        publisher.send_tags(tags)
        server.wait_playlist(KEYS[0])
        limit(server.child, ROOM)

        def is_denied() -> bool:
            return not server.child.running() or "MemoryError" in server.log

        with contextlib.suppress(OSError):
            for number in range(1, 100):
                publisher.send_tags((t for t in tags if not t.is_config), shift=4000 * number)
                if is_denied():
                    break
        wait_for(is_denied, "memory is denied", 5)

    def used(self, server: Server) -> int:
        """Bytes of media, as the server counts them."""
        lines = server.get("/metrics").text.splitlines()
        kinds = [line for line in lines if line.startswith("rapidrtmp_media_memory_bytes{")]
        return sum(int(float(line.split()[1])) for line in kinds)

    def length(self, viewer: Viewer) -> int:
        """How many segments a viewer's playlist has now."""
        return len(viewer.leading.last.segments)

    def check_refusal(self, server: Server) -> None:
        """One of the next streams finds no room, and is told so."""
        refused = None
        for number in range(20):  # each of them counts before it sends anything
            publisher = self.raw(server)
            key = f"late-{number}"
            try:
                publisher.publish(f"{key}?token={server.mint(key)}")
            except Refused as error:
                refused = error
                break
        assert refused is not None, "everybody was let in"
        self.assertEqual(refused.code, REJECTED)
        self.assertIn("MEMORY_BUDGET", refused.description)
        told = 'action="publish",reason="memory"'
        self.assertEqual(server.metric("rapidrtmp_access_refusals_total", told), 1)

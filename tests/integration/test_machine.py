"""What can happen to the machine: disk, clock and descriptors, beside a live stream."""

import errno
import os
import resource
import socket
import time
from email.utils import parsedate_to_datetime
from itertools import pairwise

from twisted.trial.unittest import SkipTest

from tests.integration import machine
from tests.integration.case import KEY
from tests.integration.process import wait_for
from tests.integration.raw_player import RawPlayer
from tests.integration.stored import problems
from tests.integration.test_faults import FaultsTestCase

HOUR = 3600
MIB = 1 << 20
BUSY = 0.7
"""Of a CPU: more than a stream and its viewer take, less than a loop that never waits."""


class ClockTests(FaultsTestCase):
    def test_steps(self) -> None:
        """C14: the clock is put an hour forward, then two back: nobody notices.

        Deadlines come when they should, and a stream that waits for its encoder goes on waiting.
        """
        clock = machine.SteppedClock(self.temporary())
        server = self.serve_canary(RTMP_HANDSHAKE_TIMEOUT="3s", **clock.environment)
        self.publisher("waiting").close()
        wait_for(lambda: server.stream("waiting").get("state") == "idle", "it waits")
        for step in (HOUR, -HOUR):
            clock.step(step)

            def is_set(step: int = step) -> bool:
                date = parsedate_to_datetime(server.get("/health").headers["date"])
                return abs(date.timestamp() - time.time() - step) < HOUR / 2

            wait_for(is_set, "the server's clock is set")
            self.assertGreater(self.seconds_to_end(self.connect()), 2)
            self.assert_goes_on(self.viewer)
            self.assertEqual(server.stream("waiting").get("state"), "idle")
            self.assertEqual(server.get("/ready").status, 200)
        wait_for(lambda: "the machine's clock was set" in server.log, "the log says so")
        self.assert_unharmed()


class DiskTests(FaultsTestCase):
    def checks(self) -> tuple[int, str]:
        """Give the status of /ready and what it says of storage."""
        answer = self.server.get("/ready")
        return answer.status, answer.json["checks"]["storage"]

    def live_through(self, words: str) -> None:
        """A disk that fails now: live goes on, /ready names it, nothing runs hot."""
        wait_for(lambda: words in self.checks()[1], f"/ready says {words}", 20)
        self.assertEqual(self.checks()[0], 200)
        used = machine.load(self.server.child, 2.0, lambda _: self.assert_goes_on(self.viewer))
        self.assertLess(used, BUSY)

    def recover(self) -> None:
        """The disk is sound again: so is all that is stored."""
        wait_for(lambda: self.checks()[1] == "ok", "/ready is content again", 30)
        newest = f"{self.viewer.leading.last.segments[-1].sequence}.m4s"
        wait_for(lambda: list(self.server.storage.rglob(newest)), "a newer one is stored", 30)
        self.assertEqual(problems(self.server.storage), [])

    def test_tmpfs_full_and_read_only(self) -> None:
        """C5, C6: a disk without room, then one that can only be read; both pass."""
        try:
            disk = machine.Tmpfs(self, self.temporary() / "disk", 16 * MIB)
        except machine.MountRefused as error:
            raise SkipTest(f"{error}; test_injected_errors has what it can do without") from None
        self.serve_canary(STORAGE_DIR=str(disk.path / "streams"), MIN_FREE_DISK="0")
        self.server.storage = disk.path / "streams"
        disk.fill()
        self.live_through(os.strerror(errno.ENOSPC))
        disk.empty()
        self.recover()
        disk.set_read_only(True)
        self.live_through(os.strerror(errno.EROFS))
        disk.set_read_only(False)
        self.recover()
        self.assertEqual(self.server.log.count("storage fails"), 2)
        self.assert_unharmed()

    def test_injected_errors(self) -> None:
        """C5, C7, C21: no room, broken sectors now and then, and calls of 2 s in every thread."""
        storage = machine.FaultyStorage(self.temporary())
        self.serve_canary(**storage.environment)
        storage.fail("ENOSPC")
        self.live_through(os.strerror(errno.ENOSPC))
        storage.fail("some EIO")
        self.assert_goes_on(self.viewer)
        storage.fail("slow 2")
        before = self.server.metric("rapidrtmp_reactor_lag_recent_seconds")
        self.assert_goes_on(self.viewer, 3)
        self.assertEqual(self.server.get("/health").status, 200)
        storage.fail("")
        self.recover()
        self.assertLess(self.server.metric("rapidrtmp_reactor_lag_recent_seconds"), before + 1)
        self.assert_unharmed()


class DescriptorTests(FaultsTestCase):
    def test_exhausted(self) -> None:
        """C15: no descriptor is left: who comes is turned away, who is there stays.

        Nothing runs hot meanwhile, and all is well when there are some again.
        """
        server = self.serve_canary()
        token = server.mint("next")
        player = RawPlayer(server.rtmp_port, KEY, 60.0)
        self.addCleanup(player.close)
        before = resource.prlimit(server.child.pid, resource.RLIMIT_NOFILE)
        limit = machine.descriptors(server.child) + 6
        # the viewer comes anew for each file, and may be turned away, too
        self.viewer.outage.set()
        resource.prlimit(server.child.pid, resource.RLIMIT_NOFILE, (limit, before[1]))
        crowd = [self.connect() for _ in range(40)]
        count = len(player.tags)
        used = machine.load(
            server.child, 3.0, lambda _: player.read(lambda: len(player.tags) > count + 200)
        )
        self.assertLess(used, BUSY)
        self.assertGreater(sum(map(self.is_closed, crowd)), 25)
        for connection in crowd:
            connection.close()
        resource.prlimit(server.child.pid, resource.RLIMIT_NOFILE, before)
        self.raw(server).publish(f"next?token={token}")
        self.viewer.outage.clear()
        wait_for(lambda: server.get("/ready").json["ready"], "/ready is content again", 20)
        pictures = [tag.timestamp for tag in player.tags if tag.is_picture]
        self.assertEqual({b - a for a, b in pairwise(pictures)}, {40})
        self.assertEqual(server.log.count("files are open: connections are refused"), 1)
        self.assertNotIn("storage fails", server.log)
        self.assert_unharmed()

    def is_closed(self, connection: socket.socket) -> bool:
        """Tell whether the server has closed a connection."""
        connection.setblocking(False)
        try:
            return connection.recv(1) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

"""What the kernel says of processes, as the benchmarks read it."""

import os
import time

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.process import (
    TICK,
    cpu_seconds,
    free_ports,
    memory,
    read_machine_busy,
    read_stat,
    tree,
    user_share,
)

STAT = (
    "4242 (a) S 7 ) R 17 4242 17 0 -1 4194304 120 0 0 0 31 12 5 3 20 0 1 0 8850 8192 230 "
    "18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0"
)
MACHINE = "cpu  100 20 30 4000 50 6 7 8 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"


class ProcessTests(SynchronousTestCase):
    def test_read_stat(self) -> None:
        """A name with brackets in it changes nothing."""
        self.assertEqual(read_stat(STAT), (17, 31, 12, 5, 3))

    def test_read_machine(self) -> None:
        """Idle time and waiting for disks do not count; stolen time does."""
        self.assertEqual(read_machine_busy(MACHINE), (100 + 20 + 30 + 6 + 7 + 8) / TICK)
        self.assertEqual(read_machine_busy(""), 0.0)

    def test_own(self) -> None:
        """Our own CPU time is what the process says itself, to the ms."""
        own = [os.getpid()]
        before, clock = cpu_seconds(own), time.process_time()
        while time.process_time() < clock + 0.02:
            pass
        after, later = cpu_seconds(own), time.process_time()
        self.assertLess(abs(after - before - (later - clock)), 0.005)
        self.assertIn(own[0], tree(own[0]))
        self.assertGreater(memory(own), 1_000_000)

    def test_gone(self) -> None:
        """A process that is gone has used nothing."""
        self.assertEqual((cpu_seconds([4_000_000]), memory([4_000_000])), (0.0, 0))

    def test_share(self) -> None:
        """User time's share, also of nothing."""
        self.assertEqual(user_share((10, 10), (13, 11)), 0.75)
        self.assertEqual(user_share((1, 1), (1, 1)), 0.0)

    def test_ports(self) -> None:
        """Free ports are all different."""
        self.assertEqual(len(set(free_ports(3))), 3)

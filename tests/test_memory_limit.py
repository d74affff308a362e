"""Tests of rapidrtmp.memory_limit."""

import os
from pathlib import Path
from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

import rapidrtmp.memory_limit
from rapidrtmp.memory_limit import LEAST, media_budget, memory_limit

MIB = 1 << 20
PHYSICAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class LimitTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Make a place for /proc and /sys."""
        self.root = Path(self.mktemp())

    def write(self, path: str, text: str) -> None:
        """Write a file of the kernel."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def check(self, expected: int) -> None:
        """Look."""
        self.assertEqual(memory_limit(self.root), min(PHYSICAL, expected))

    def test_machine(self) -> None:
        """Without a cgroup, or a limit in it, it is the machine's memory."""
        self.check(PHYSICAL)
        self.write("proc/self/cgroup", "0::/service\n")
        self.check(PHYSICAL)
        self.write("sys/fs/cgroup/service/memory.max", "max\n")
        self.check(PHYSICAL)

    def test_version_2(self) -> None:
        """The least limit of all groups around it holds."""
        self.write("proc/self/cgroup", "0::/a.slice/b.service\n")
        self.write("sys/fs/cgroup/a.slice/b.service/memory.max", f"{200 * MIB}\n")
        self.check(200 * MIB)
        self.write("sys/fs/cgroup/a.slice/memory.max", f"{100 * MIB}\n")
        self.check(100 * MIB)

    def test_high(self) -> None:
        """Where processes are slowed down before they are killed, that is the limit."""
        self.write("proc/self/cgroup", "0::/service\n")
        self.write("sys/fs/cgroup/service/memory.max", f"{200 * MIB}\n")
        self.write("sys/fs/cgroup/service/memory.high", f"{150 * MIB}\n")
        self.check(150 * MIB)
        self.write("sys/fs/cgroup/service/memory.high", "max\n")
        self.check(200 * MIB)

    def test_unknown(self) -> None:
        """A system that tells nothing has no limit that is known."""
        self.patch(rapidrtmp.memory_limit, "os", SimpleNamespace())
        self.assertIsNone(memory_limit(self.root))

    def test_container(self) -> None:
        """In a container its own group is the root, whatever the path says."""
        self.write("proc/self/cgroup", "0::/../../docker/0123\n0::/\n")
        self.write("sys/fs/cgroup/memory.max", f"{128 * MIB}\n")
        self.check(128 * MIB)

    def test_version_1(self) -> None:
        """Version 1 has a hierarchy for memory; no limit is a number near 2**63."""
        self.write("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/0123\n0::/\n")
        self.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
        self.check(PHYSICAL)
        path = "sys/fs/cgroup/memory/docker/0123/memory.limit_in_bytes"
        self.write(path, f"{64 * MIB}\n")
        self.check(64 * MIB)

    def test_broken(self) -> None:
        """What cannot be read limits nothing."""
        self.write("proc/self/cgroup", "\n::\nnonsense\n0::/x\n")
        self.write("sys/fs/cgroup/x/memory.max", "-1\n")
        self.check(PHYSICAL)

    def test_budget(self) -> None:
        """Media gets a part of what the program leaves, and never next to nothing."""
        self.assertEqual(media_budget(96 * MIB + 1000 * MIB), 500 * MIB)
        self.assertEqual(media_budget(96 * MIB), LEAST)
        self.assertEqual(media_budget(10 * MIB), LEAST)
        self.assertEqual(media_budget(None), 512 * MIB)

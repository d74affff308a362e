"""What happens to the server in a soak: crowds, floods, faults of disk, processes and CPU."""

import os
import random
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.integration import machine
from tests.integration.case import IntegrationTestCase
from tests.integration.process import wait_for
from tests.integration.raw_publisher import RawPublisher, Refused
from tests.integration.server import Server
from tests.soak.actors import GREETING, Crowd
from tests.soak.gauges import Gauges, Lag
from tests.soak.stalls import Stalls
from tests.soak.verdict import LONG, judged_lag, too_late, unjudged

CROWD = 10_000
"""Connections that say nothing, or stop in the middle of the handshake."""
FLOOD = 5.0
"""Seconds of refused publishes."""
PAUSE = 5.0
"""Seconds from one fault to the next, at most. Each kind comes once in about 20 s."""
LAG = 0.25
"""Seconds within which 99 of 100 measurements of the reactor's lag are, under load and under a
flood, on two cores that the crowd itself has to share."""
CROWD_LAG = 1.0
"""The same while ten thousand connections come within seconds, and are shed within seconds: of so
few measurements, 99 of 100 are all of them."""
TRIES = 4
"""Times that a long run makes the crowd and the flood come, until they can be judged well."""
LAST = 60.0
"""Seconds before the end of the load in which neither comes again."""
CHILD = "rapidrtmp.outputs.thumbnail_child"


class FaultsCase(IntegrationTestCase):
    """A server, the load on it, and what is done to both."""

    server: Server
    storage: machine.FaultyStorage
    crowd: Crowd
    stalls: Stalls
    lag: Lag
    gauges: Gauges
    report: dict[str, Any]

    def run_faults(
        self, ends: float, source: random.Random, *, may_try_again: bool = False
    ) -> None:
        """Let something happen every few seconds, all of it in turn.

        Args:
            ends: the monotonic time until which.
            source: of what is random.
            may_try_again: whether there is time for another crowd and another flood, where other
                work made it hard to tell what they did to the server.
        """
        kinds: list[Callable[[random.Random], None]] = [
            self.storage_fails,
            self.hang_up_signal,
            self.kill_thumbnailer,
            self.stand_still,
        ]
        left: list[Callable[[random.Random], None]] = []
        tries = dict.fromkeys(("crowd", "flood"), 1)
        while time.monotonic() < ends:
            left = left or source.sample(kinds, len(kinds))
            act = left.pop()
            act(source)
            self.crowd.count(f"faults: {act.__name__.replace('_', ' ')}")
            time.sleep(min(source.uniform(1.0, PAUSE), max(0.0, ends - time.monotonic())))
            for name, measure in (("crowd", self.idle_crowd), ("flood", self.refused_flood)):
                is_rough = may_try_again and "reactor lag" in self.report[name]
                if is_rough and tries[name] < TRIES and time.monotonic() < ends - LAST:
                    tries[name] += 1
                    with self.lag.excused(), self.gauges.excused():
                        measure()

    def storage_fails(self, source: random.Random) -> None:
        """The disk is full, breaks now and then, or is slow, for some seconds."""
        self.storage.fail(source.choice(("ENOSPC", "EROFS", "some EIO", "slow 0.5")))
        time.sleep(source.uniform(1.0, 3.0))
        self.storage.fail("")

    def hang_up_signal(self, source: random.Random) -> None:
        """SIGHUP: settings are read again."""
        self.server.child.signal(signal.SIGHUP)

    def kill_thumbnailer(self, source: random.Random) -> None:
        """The process that makes thumbnails is killed, or frozen until it is killed."""
        found = subprocess.run(
            ["pgrep", "-P", str(self.server.child.pid), "-f", CHILD], capture_output=True, text=True
        )
        for pid in found.stdout.split():
            os.kill(int(pid), source.choice((signal.SIGKILL, signal.SIGSTOP)))

    def stand_still(self, source: random.Random) -> None:
        """The whole process gets no CPU for a second. That it is late then does not count."""
        with self.lag.excused():
            self.server.child.signal(signal.SIGSTOP)
            time.sleep(1.0)
            self.server.child.signal(signal.SIGCONT)
            time.sleep(0.5)

    def idle_crowd(self) -> None:
        """Ten thousand connections, silent or half-shaken: little each, and shed in time."""
        server = self.server
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = min(CROWD, limit - 2000)
        memory = server.child.resident_bytes()
        open_before = server.metric("rapidrtmp_connections", 'protocol="rtmp"')
        lag = Lag(server)
        begun = time.monotonic()
        connections = []
        most = memory
        for number in range(wanted):
            address = f"127.1.{number // 200 % 250}.{number % 200 + 1}"
            each = socket.create_connection(("127.0.0.1", server.rtmp_port), 30.0, (address, 0))
            if number % 2:
                each.sendall(GREETING[: 1 + number % 1500])
            connections.append(each)
            if number % 500 == 0:
                most = max(most, server.child.resident_bytes())
        opened = time.monotonic() - begun
        most = max(most, server.child.resident_bytes())

        def is_shed() -> bool:
            left = server.metric("rapidrtmp_connections", 'protocol="rtmp"')
            return left < open_before + 200

        wait_for(is_shed, "the crowd is shed", 60)
        shed = time.monotonic() - begun
        for each in connections:
            each.close()
        self.report["crowd"] = {
            "connections": wanted,
            "seconds to open": round(opened, 1),
            "KiB of memory each": round((most - memory) / wanted / 1024, 2),
            "seconds until all are shed": round(shed, 1),
            **self.judge_lag(lag, CROWD_LAG),
        }
        self.assertLess(most - memory, wanted * 32 * 1024)
        self.assertLess(shed - opened, 30)

    def refused_flood(self) -> None:
        """Publishes that are refused, as fast as they go: live streams are not delayed."""
        lag = Lag(self.server)
        over = time.monotonic() + FLOOD
        counts = [0, 0]

        def flood(number: int) -> None:
            source = random.Random(number)
            while time.monotonic() < over:
                address = f"127.2.{source.randrange(250)}.{source.randrange(1, 250)}"
                try:
                    publisher = RawPublisher(self.server.rtmp_port, timeout=20, address=address)
                    publisher.publish("steady-1?token=wrong")
                except Refused:
                    counts[0] += 1
                except OSError:
                    counts[1] += 1
                publisher.close()

        threads = [threading.Thread(target=flood, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.report["flood"] = {
            "refused publishes": counts[0],
            "closed without a word": counts[1],
            "seconds": FLOOD,
            **self.judge_lag(lag, LAG),
        }
        self.assertGreater(counts[0], 20)

    def judge_lag(self, lag: Lag, bound: float) -> dict[str, float | str]:
        """The reactor's lag is bounded; give what to tell."""
        told = judged_lag(*lag.read(), self.stalls.spans, bound)
        if not unjudged(told, LONG):
            self.assertEqual(too_late(told), [], told)
        return told

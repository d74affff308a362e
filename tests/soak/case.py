"""A soak: load for a chosen time, faults in it, and what must hold at the end."""

import json
import os
import random
import re
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.integration import machine, media
from tests.integration.case import IntegrationTestCase
from tests.integration.process import tool, wait_for
from tests.integration.raw_publisher import RawPublisher, Refused
from tests.integration.scenarios import SECONDS, recording
from tests.integration.server import Server
from tests.integration.stored import problems
from tests.integration.viewer import Rendition, Viewer
from tests.soak import actors
from tests.soak.actors import BAD, GOOD, GREETING, Crowd, Steady
from tests.soak.gauges import MIB, Gauges, Lag, Moment, lags, look, slope, tenths, typical
from tests.soak.verdict import NOT_JUDGED, growths, second_half, unjudged

SETTINGS = {
    # a viewer of ours may be late where the machine is busy, while the storage fails
    "HLS_MAX_SEGMENTS": "20",
    "STREAM_GRACE": "5s",
    "RTMP_HANDSHAKE_TIMEOUT": "5s",
    "RTMP_IDLE_TIMEOUT": "4s",
    "RTMP_MAX_CONNECTIONS": "20000",
    "RTMP_MAX_CONNECTIONS_PER_IP": "1000",
    "HTTP_MAX_CONNECTIONS_PER_IP": "1000",
    "MAX_TOKEN_REQUESTS_PER_IP": "1000",
}
CROWD = 10_000
"""Connections that say nothing, or stop in the middle of the handshake."""
FLOOD = 5.0
"""Seconds of refused publishes."""
PAUSE = 5.0
"""Seconds from one fault to the next, at most. Each kind comes once in about 20 s."""
LAG = 0.25
"""Seconds within which 99 of 100 measurements of the reactor's lag are, under load and under a
flood, on two cores that the crowd itself has to share."""
LATE = 3.0
"""Seconds by which encoders may be late where what viewers saw can be judged: after five seconds
without pictures a stream goes on without."""
WINDOW = 15.0
"""Seconds between two looks of a viewer that has seen all: playlists list twenty."""
BUSY = 2.0
"""Times as long as alone that things may take where the lag can be judged."""
CROWD_LAG = 1.0
"""The same while ten thousand connections come within seconds, and are shed within seconds: of so
few measurements, 99 of 100 are all of them."""
CHILD = "rapidrtmp.outputs.thumbnail_child"

EXPECTED = re.compile(
    r"outputs\.uploads: storage (fails at|does not delete)|outputs\.uploads: .* (lost|given up)"
    r"|outputs\.retention: .*could not (end or remove stored files|remove \d+ of)"
    r"|outputs\.thumbnail_worker: thumbnails: the process is lost"
    r"|protocol\.connection_log: RTMP rtmp-\d+ [\d.]+( \S+)?: closed, "
    r"(handshake_timeout|publish_timeout|publisher_idle|protocol|message_too_large|chunk_size"
    r"|too_many_chunk_streams|amf|no_media|wrong_protocol|bad_version|flood)"
    r"|stream\.diagnosis: |stream\.stream: .* no (video|audio) for .*, going on without"
    r"|descriptors: at most \d+ files can be open"
)
"""Warnings and errors of the log that the faults explain."""


class TimedViewer(Viewer):
    """A viewer that knows how long it did not look, as the machine was busy."""

    longest = 0.0
    """Seconds, between two looks at the same playlist."""

    def _refresh(self, rendition: Rendition) -> None:
        now = time.monotonic()
        looked = self.__dict__.setdefault("_looked", {})
        self.longest = max(self.longest, now - looked.get(rendition.path, now))
        looked[rendition.path] = now
        super()._refresh(rendition)


class SoakCase(IntegrationTestCase):
    """Runs a soak. Everything that it found is in `report` at the end."""

    report: dict[str, Any]

    def soak(self, seconds: float, seed: int | None = None) -> None:
        """Let load come and go, with faults, and judge what is left.

        Args:
            seconds: of load.
            seed: what all that is random comes from; None for another one each time.
        """
        seed = random.randrange(1 << 32) if seed is None else seed
        print(f"seed {seed}", flush=True)
        self.report = {"seed": seed, "seconds of load": seconds}
        self.addCleanup(self.tell)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.storage = machine.FaultyStorage(self.temporary())
        self.settings = {**SETTINGS, **self.storage.environment}
        self.server = server = self.serve(**self.settings)
        self.crowd = crowd = Crowd(server, recording("plain"), seed)
        self.addCleanup(crowd.stop.set)
        first = look(server.child)
        steady = [Steady(crowd, f"steady-{number}") for number in (1, 2)]
        viewers = [TimedViewer(server.http_port, each.key) for each in steady]
        for viewer in viewers:
            self.addCleanup(viewer.stop)
        for each in steady:
            server.wait_live(each.key)
            each.play()
        for act in (*GOOD, *BAD):
            crowd.add(act)
        ends = time.monotonic() + seconds
        self.idle_crowd()
        self.refused_flood()
        self.lag = Lag(server)
        gauges = Gauges(server)
        self.addCleanup(gauges.stop)
        self.run_faults(ends, crowd.random)
        crowd.end()
        gauges.stop()
        self.judge_gauges(gauges, seconds)
        self.judge_steady(steady, viewers)
        self.judge_counters(steady)
        self.judge_storage()
        self.judge_rest(first)
        self.recover()
        self.judge_log()
        self.assertEqual(crowd.problems, [], "\n".join(crowd.problems))
        missing = unjudged(self.report, seconds)
        self.assertEqual(
            missing,
            [],
            "a run as long as this one has to judge everything: nothing else failed, but this "
            "machine had too much other work to tell\n" + "\n".join(missing),
        )

    # Faults.

    def run_faults(self, ends: float, source: random.Random) -> None:
        """Let something happen every few seconds, all of it in turn, until some monotonic time."""
        kinds: list[Callable[[random.Random], None]] = [
            self.storage_fails,
            self.hang_up_signal,
            self.kill_thumbnailer,
            self.stand_still,
        ]
        left: list[Callable[[random.Random], None]] = []
        while time.monotonic() < ends:
            left = left or source.sample(kinds, len(kinds))
            act = left.pop()
            act(source)
            self.crowd.count(f"faults: {act.__name__.replace('_', ' ')}")
            time.sleep(min(source.uniform(1.0, PAUSE), max(0.0, ends - time.monotonic())))

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
        before = lags(self.server)
        self.server.child.signal(signal.SIGSTOP)
        time.sleep(1.0)
        self.server.child.signal(signal.SIGCONT)
        time.sleep(0.5)
        self.lag.excuse(before, lags(self.server))

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

    # What must hold.

    def judge_lag(self, lag: Lag, bound: float) -> dict[str, float | str]:
        """The reactor's lag is bounded, where others leave the CPU to it; give what to tell."""
        found, factor = lag.read()
        told: dict[str, float | str] = {
            "reactor lag p99 (s)": found,
            "times as long as alone": round(factor, 1),
        }
        if factor > BUSY:
            told["reactor lag"] = f"{NOT_JUDGED}: the server waits for the CPU longer than it runs"
        else:
            self.assertLessEqual(found, bound, told)
        return told

    def judge_gauges(self, gauges: Gauges, seconds: float) -> None:
        """Memory, threads and descriptors stay flat, and the lag is bounded."""
        first, last = tenths(gauges.moments)
        cpu = gauges.moments[-1].cpu - gauges.moments[0].cpu
        self.report["memory"] = {
            "first tenth (MiB)": round(typical(first, "memory") / MIB, 1),
            "last tenth (MiB)": round(typical(last, "memory") / MIB, 1),
            "slope (MiB/h)": round(slope(gauges.moments) / MIB, 1),
            "slope of the second half (MiB/h)": round(slope(second_half(gauges.moments)) / MIB, 1),
        }
        for what in ("threads", "descriptors"):
            self.report[what] = {
                "first tenth": typical(first, what),
                "last tenth": typical(last, what),
            }
        self.report.update(self.judge_lag(self.lag, LAG))
        span = gauges.moments[-1].at - gauges.moments[0].at
        self.report["CPU of the server"] = f"{cpu / span:.0%}"
        self.assertEqual(growths(gauges.moments, seconds), [], self.report)

    def judge_steady(self, steady: list[Steady], viewers: list[TimedViewer]) -> None:
        """Who stayed all the time lost nothing: published = played + dropped, by name."""
        for each, viewer in zip(steady, viewers, strict=True):
            labels = f'stream_key="{each.key}"'
            each.close()
            name = "rapidrtmp_frames_received_total"
            received = {
                9: self.server.metric(name, f'{labels},type="video"'),
                8: self.server.metric(name, f'{labels},type="audio"'),
            }
            short = self.server.metric("rapidrtmp_frames_dropped_total", f'reason="short",{labels}')
            viewer.wait_ended(30)
            each.leave()
            played = each.played
            self.assertEqual(received, {kind: len(sent) for kind, sent in each.sent.items()})
            self.assertEqual(short, each.shorts)
            for kind, sent in each.sent.items():
                self.assertGreater(len(played[kind]), len(sent) // 2)
                self.assertEqual(played[kind], sent[-len(played[kind]) :], each.key)
            segments = sum(len(rendition.segments) for rendition in viewer.renditions)
            if each.late > LATE or viewer.longest > WINDOW:
                self.report["sequences"] = (
                    f"{NOT_JUDGED}: frames were sent {each.late:.0f} s late, and the viewer did "
                    f"not look for {viewer.longest:.0f} s"
                )
            else:
                self.assert_clean(viewer)
                for rendition in viewer.renditions:
                    numbers = sorted(rendition.segments)
                    self.assertEqual(numbers, list(range(numbers[0], numbers[-1] + 1)), "a hole")
            self.report[f"stream {each.key}"] = {
                "frames sent": sum(map(len, each.sent.values())),
                "frames received": int(sum(received.values())),
                "messages dropped as short": int(short),
                "frames a player got": sum(map(len, played.values())),
                "segments a viewer judged": segments,
            }

    def judge_counters(self, steady: list[Steady]) -> None:
        """The server received what was sent, but for what was under way when a cable was cut."""
        happened = self.crowd.happened
        mine = sum(len(sent) for each in steady for sent in each.sent.values())
        name = "rapidrtmp_frame_size_bytes_count"
        received = sum(self.server.metric(name, f'type="{kind}"') for kind in ("audio", "video"))
        sent = mine + happened[actors.SENT]
        self.report["all frames"] = {
            "sent": sent,
            "received": int(received),
            "of encoders that were cut off": happened[actors.CUT_OFF],
        }
        self.assertLessEqual(received, sent)
        self.assertGreaterEqual(received, sent - happened[actors.CUT_OFF])

    def judge_storage(self) -> None:
        """What is stored is whole, and FFmpeg decodes it without a word."""
        wait_for(
            lambda: self.server.metric("rapidrtmp_upload_queue_files") == 0, "all is stored", 30
        )
        self.assertEqual(problems(self.server.storage), [])
        decoded = 0
        for track in sorted(self.server.storage.glob("*/*/*")):
            segments = sorted(track.glob("*.m4s"), key=lambda path: int(path.stem))
            inits = sorted(track.glob("init-*.mp4"))
            if len(inits) != 1 or not segments:
                continue
            whole = self.temporary() / "whole.mp4"
            whole.write_bytes(b"".join(path.read_bytes() for path in (*inits, *segments)))
            errors = subprocess.run(
                [tool("ffmpeg"), "-v", "error", "-i", str(whole), "-f", "null", "-"],
                capture_output=True,
                text=True,
            )
            self.assertEqual((errors.returncode, errors.stderr), (0, ""), track)
            decoded += len(segments)
        self.report["stored segments that FFmpeg decoded"] = decoded
        self.assertGreater(decoded, 10)

    def judge_rest(self, first: Moment) -> None:
        """When all have left, nothing of them is left."""
        server = self.server

        def is_quiet() -> bool:
            return not any(
                server.metric(name)
                for name in (
                    "rapidrtmp_active_streams",
                    "rapidrtmp_active_viewers",
                    "rapidrtmp_playlist_requests_held",
                    "rapidrtmp_upload_queue_files",
                    "rapidrtmp_hook_calls_waiting",
                )
            ) and not server.metric("rapidrtmp_connections", 'protocol="rtmp"')

        wait_for(is_quiet, "all have left", 40)
        wait_for(
            lambda: machine.descriptors(server.child) <= first.descriptors + 12,
            "all descriptors are given back",
            40,
        )
        rest = look(server.child)
        self.report["at rest"] = {
            "descriptors": [first.descriptors, rest.descriptors],
            "threads": [first.threads, rest.threads],
            "memory (MiB)": [round(first.memory / MIB, 1), round(rest.memory / MIB, 1)],
        }
        self.assertTrue(server.get("/ready").json["ready"])

    def recover(self) -> None:
        """After kill -9 in mid-stream: how long until viewers have a new segment."""
        tags = list(media.flv_tags(media.as_flv(media.sample("plain"))))
        name = self.crowd.name("again")
        publisher = self.raw(self.server)
        publisher.publish(name)
        publisher.send_tags(tags)
        viewer = self.watch(self.server, "again")
        viewer.wait_segments(4)
        viewer.outage.set()
        newest = max(viewer.leading.segments)
        begun = time.monotonic()
        self.server.kill()
        again = Server(
            self, self.settings, directory=self.server.directory, ports=self.server.ports
        )
        again.secrets += self.server.secrets
        ready = time.monotonic() - begun
        publisher = self.raw(again)
        publisher.publish(name)
        publisher.send_tags(tags)
        wait_for(lambda: max(viewer.leading.segments) > newest, "a segment after the restart", 20)
        playing = time.monotonic() - begun
        viewer.outage.clear()
        reached = viewer.segments()
        publisher.send_tags(tags, shift=1000 * SECONDS)
        viewer.wait_segments(reached + 4)
        self.assert_clean(viewer)
        self.report["kill -9"] = {
            "seconds to /ready": round(ready, 2),
            "seconds to the next segment at a viewer": round(playing, 2),
        }
        publisher.close()
        again.stop(30)

    def judge_log(self) -> None:
        """No traceback, and no warning that no fault explains."""
        lines = [
            line
            for line in self.server.log.splitlines()
            if re.match(r"\S+ (warn |error|critical) ", line) and not EXPECTED.search(line)
        ]
        self.report["log"] = {
            "lines": len(self.server.log.splitlines()),
            "warnings and errors that nothing explains": len(lines),
        }
        self.assertEqual(lines, [])

    def tell(self) -> None:
        """Print the report, and write it where SOAK_REPORT says."""
        self.report["what happened"] = dict(sorted(self.crowd.happened.items()))
        text = markdown(self.report)
        print(text, flush=True)
        if path := os.environ.get("SOAK_REPORT"):
            Path(path).with_suffix(".md").write_text(text)
            Path(path).with_suffix(".json").write_text(json.dumps(self.report, indent=1))


def markdown(report: Mapping[str, Any]) -> str:
    """Write a report as tables."""
    lines = ["| | |", "|---|---|"]
    for name, value in report.items():
        if isinstance(value, dict):
            lines += [f"| {name}: {inner} | {shown} |" for inner, shown in value.items()]
        else:
            lines.append(f"| {name} | {value} |")
    return "\n".join(lines) + "\n"

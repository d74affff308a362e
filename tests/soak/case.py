"""A soak: load for a chosen time, faults in it, and what must hold at the end."""

import json
import os
import random
import re
import resource
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.integration import machine, media
from tests.integration.process import tool, wait_for
from tests.integration.scenarios import SECONDS, recording
from tests.integration.server import Server
from tests.integration.stored import problems
from tests.integration.viewer import Rendition, Viewer
from tests.soak import actors
from tests.soak.actors import BAD, GOOD, Crowd, Steady
from tests.soak.faults import LAG, FaultsCase
from tests.soak.gauges import MIB, Gauges, Lag, Moment, look, slope, tenths, typical
from tests.soak.stalls import Stalls, total
from tests.soak.verdict import LONG, NOT_JUDGED, growths, second_half, unjudged

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
WARM_UP = 60.0
"""Seconds of load in a long run before its first look at memory, threads and descriptors: until
playlists are full, and each kind of actor and fault has been there."""
WINDOW = 15.0
"""Seconds between two looks of a viewer that has seen all: playlists list twenty."""
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


class SoakCase(FaultsCase):
    """Runs a soak. Everything that it found is in `report` at the end."""

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
        self.stalls = Stalls(self)
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
        is_long = seconds >= LONG
        if is_long:
            self.run_faults(time.monotonic() + WARM_UP, crowd.random)
        self.gauges = gauges = Gauges(server)
        self.addCleanup(gauges.stop)
        self.run_faults(ends, crowd.random, may_try_again=is_long)
        crowd.end()
        gauges.stop()
        spans = self.stalls.spans
        self.report["the machine stood still (s)"] = round(total(spans), 1)
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

    # What must hold.

    def judge_gauges(self, gauges: Gauges, seconds: float) -> None:
        """Memory, threads and descriptors stay flat, and the lag is bounded."""
        first, last = tenths(gauges.moments)
        cpu = gauges.moments[-1].cpu - gauges.moments[0].cpu
        self.report["memory"] = {
            "first tenth (MiB)": round(typical(first, "memory") / MIB, 1),
            "last tenth (MiB)": round(typical(last, "memory") / MIB, 1),
            "each minute (MiB)": " ".join(
                f"{moment.memory / MIB:.0f}" for moment in gauges.moments[::60]
            ),
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
            is_interrupted = re.search(rf"{each.key}: no (video|audio) for ", self.server.log)
            if is_interrupted or viewer.longest > WINDOW:
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
                "seconds that frames were sent late, at most": round(each.late, 1),
                "seconds between two looks of the viewer, at most": round(viewer.longest, 1),
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

"""Hours of a stream in no time: from RTMP messages to segments, by a fake clock."""

import gc
import random
import re
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rapidrtmp.codecs.registry import REGISTRY
from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.interfaces import IOutputMaker, Representation
from rapidrtmp.outputs.hls import HLSOutput
from rapidrtmp.outputs.hls_maker import HLSMaker, HLSSettings
from rapidrtmp.outputs.uploads import Uploads
from rapidrtmp.protocol.ingest import Ingest
from rapidrtmp.protocol.pacing import Pacing
from rapidrtmp.storage.memory import MemoryStorage
from rapidrtmp.stream.events import Events
from tests.codecs.builders import SPS, avcc, pps, prefixed
from tests.stream.fakes import StreamCase

VIDEO_TYPE, AUDIO_TYPE = 9, 8
GOP = 61
B_FRAMES = 2
FRAME = 1001 / 30
"""ms from picture to picture."""
SOUND_FRAME = 1024 / 44.1
"""ms"""
JITTER = 4
"""ms by which sound is stamped off its time, besides the rounding."""
STEP = 2
"""Seconds between two looks of the viewer."""
SEGMENT = re.compile(r"#EXTINF:([0-9.]+),\n(?:#.*\n)*([^#\n]+)")


def compositions() -> list[int]:
    """Give, in frames, how much later than it is decoded each picture of a GOP is shown."""
    offsets = [1]
    while len(offsets) < GOP:
        size = min(B_FRAMES + 1, GOP - len(offsets))
        offsets += [size] + [0] * (size - 1)
    return offsets


def fragments(body: bytes) -> Iterator[tuple[int, list[int]]]:
    """Read each fragment's decoding time and its samples' durations, in ticks.

    A quick reader of what our own writer writes, which tests.isobmff.checker judges elsewhere.
    """
    at = 0
    while (head := body.find(b"tfhd", at)) >= 0:
        (flags,) = struct.unpack_from(">I", body, head + 4)
        assert flags & 0x3 == 0, hex(flags)
        common = struct.unpack_from(">I", body, head + 12)[0] if flags & 0x8 else None
        (start,) = struct.unpack_from(">Q", body, body.index(b"tfdt", head) + 8)
        at = body.index(b"trun", head)
        flags, count = struct.unpack_from(">II", body, at + 4)
        if flags & 0x100:
            fields = sum(1 for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit)
            first = at + 16 + (4 if flags & 0x4 else 0)
            durations = list(struct.unpack_from(f">{count * fields}I", body, first)[::fields])
        else:
            assert common is not None
            durations = [common] * count
        yield start, durations


@dataclass(slots=True)
class Seen:
    """What the viewer saw of one rendition."""

    timescale: int
    frame: float
    """ms that a sample really lasts."""
    sequence: int = -1
    samples: int = 0
    end: int = 0
    """Ticks."""
    off: dict[int, float] = field(default_factory=dict)
    """ms by which a segment's first sample is off its true time, by sequence number, until it is
    compared with the other rendition's."""


class VirtualTimeCase(StreamCase):
    """A stream of H.264 with B-frames at 30000/1001 frames/s, and AAC at 44.1 kHz.

    Times are rounded to ms, those of sound jitter, and 2^32 ms are passed half-way.
    """

    def makers(self) -> Sequence[IOutputMaker]:
        """Make HLS outputs on a storage in memory."""
        self.storage = MemoryStorage(self.clock)
        uploads = Uploads(self.storage, self.clock, 1_000_000, lambda: 0.0)
        events = Events(self.clock)
        return [HLSMaker(self.storage, self.clock, HLSSettings(), uploads, events)]

    def simulate(self, hours: float) -> None:
        """Let it be live for so long, with a viewer who looks at every segment."""
        self.drift = 0.0
        self.segments = 0
        self.seen = {"video1": Seen(90_000, FRAME), "audio2": Seen(44_100, SOUND_FRAME)}
        blocks: list[int] = []
        ingest = Ingest(self.publish(), Demuxer(REGISTRY), Pacing(0.0), 10.0, 10.0)
        messages = self.messages(ingest, -int(hours * 1_800_000) % (1 << 32))
        rounds = int(hours * 3600 / STEP)
        for number in range(rounds):
            next(messages)
            ingest.tick(STEP)
            self.manager.tick()
            self.look()
            if number % (rounds // 10) == 0:
                gc.collect()
                blocks.append(sys.getallocatedblocks())
        stream = self.stream
        self.assertEqual((stream.timeline.jumps, stream.timeline.held), (0, 0))
        self.assertEqual(ingest.demuxer.dropped, {})
        self.assertLess(self.drift, 20.0)
        self.assertGreater(self.segments, hours * 3600 / 2.1)
        self.assertLess(blocks[-1], blocks[2] + 500, "memory is not flat")

    def messages(self, ingest: Ingest, start: int) -> Iterator[None]:
        """Send, as time passes; yields each time that STEP seconds have."""
        noise = random.Random(4)
        config = avcc([SPS(level=31).nal_unit()], [pps()])
        ingest.receive(VIDEO_TYPE, start, b"\x17\x00\x00\x00\x00" + config)
        ingest.receive(AUDIO_TYPE, start, b"\xaf\x00\x12\x10")
        key, other = prefixed(b"\x65\x88\x80"), prefixed(b"\x41\x9a\x80")
        offsets = compositions()
        sounds = 0
        number = 0
        due = 1000.0 * STEP
        while True:
            now = number * FRAME
            while sounds * SOUND_FRAME <= now:
                stamp = round(sounds * SOUND_FRAME) + (
                    noise.randint(-JITTER, JITTER) if sounds else 0
                )
                ingest.receive(AUDIO_TYPE, (start + stamp) % (1 << 32), b"\xaf\x01sound")
                sounds += 1
            offset = offsets[number % GOP]
            composition = round(now + offset * FRAME) - round(now)
            is_key = number % GOP == 0
            head = (b"\x17\x01" if is_key else b"\x27\x01") + composition.to_bytes(3, "big")
            stamp = (start + round(now)) % (1 << 32)
            ingest.receive(VIDEO_TYPE, stamp, head + (key if is_key else other))
            self.clock.advance(FRAME / 1000)
            number += 1
            if now >= due:
                due += 1000.0 * STEP
                yield

    def look(self) -> None:
        """Judge what is new in the playlists of whole segments."""
        [output] = self.stream.http_outputs
        assert isinstance(output, HLSOutput)
        life = self.stream.life
        for name, seen in self.seen.items():
            found = output.representation((life, f"{name}.m3u8"), {"ll": ["0"]})
            if not isinstance(found, Representation):
                self.assertLess(seen.samples, 1)
                found.addErrback(lambda _: None)
                found.cancel()
                continue
            text = found.body.decode()
            self.assertNotIn("DISCONTINUITY\n", text)
            for told, uri in SEGMENT.findall(text):
                sequence = int(uri.rpartition("/")[2].removesuffix(".m4s"))
                if sequence > seen.sequence:
                    segment = output.representation((life, name, uri.rpartition("/")[2]))
                    assert isinstance(segment, Representation)
                    self.judge(seen, sequence, float(told), segment.body)
        self.compare()

    def judge(self, seen: Seen, sequence: int, told: float, body: bytes) -> None:
        """The segment follows the one before, and lasts as long as its samples."""
        self.assertEqual(sequence, seen.sequence + 1 if seen.samples else sequence)
        seen.sequence = sequence
        found = list(fragments(body))
        first = found[0][0]
        seen.off[sequence] = 1000 * first / seen.timescale - seen.samples * seen.frame
        for start, durations in found:
            self.assertEqual(start, seen.end if seen.samples else start)
            seen.end = start + sum(durations)
            seen.samples += len(durations)
        self.assertLess(abs(told - (seen.end - first) / seen.timescale), 0.000_001)

    def compare(self) -> None:
        """Tell by how much picture and sound are off each other."""
        video, audio = (seen.off for seen in self.seen.values())
        for sequence in video.keys() & audio.keys():
            self.drift = max(self.drift, abs(video.pop(sequence) - audio.pop(sequence)))
            self.segments += 1

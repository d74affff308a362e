"""What is fuzzed: each target takes arbitrary bytes and checks what must hold for any.

Imports hardly more than pure rooms, so that all of what runs can be instrumented.
"""

import itertools
from collections.abc import Callable, Iterator

from fuzz.broken import check
from fuzz.doors import DOORS
from rapidrtmp.amf import amf0, amf3
from rapidrtmp.amf.errors import AMFError
from rapidrtmp.amf.reader import Limits as AMFLimits
from rapidrtmp.codecs.registry import REGISTRY
from rapidrtmp.flv.demuxer import Demuxer
from rapidrtmp.flv.losses import MAX_NAMES, MAX_TRACKS
from rapidrtmp.flv.muxer import Muxer
from rapidrtmp.judge.finding import MAX_KEPT, MAX_WORDS, Report
from rapidrtmp.judge.fragment import MAX_SAMPLES, read_media
from rapidrtmp.judge.movie import read_movie
from rapidrtmp.judge.multivariant import read_multivariant
from rapidrtmp.judge.playlist import Resource, Segment
from rapidrtmp.judge.rendition import RenditionJudge
from rapidrtmp.media.codec import AudioConfig, CodecConfig, ConfigError, VideoConfig
from rapidrtmp.rtmp import command
from rapidrtmp.rtmp.chunk import ChunkDecoder
from rapidrtmp.rtmp.client import ClientSession, ClientState
from rapidrtmp.rtmp.errors import ProtocolError
from rapidrtmp.rtmp.events import (
    ConnectRequested,
    PlayRequested,
    PublishRequested,
    Unpublished,
)
from rapidrtmp.rtmp.limits import Limits
from rapidrtmp.rtmp.netconnection import State
from rapidrtmp.rtmp.session import ServerSession
from rapidrtmp.rtmp.target import Target
from rapidrtmp.rtmp.url import BadName, resolve

VIDEO_PARSERS = [*sorted(REGISTRY.video.items()), *sorted(REGISTRY.video_frames.items())]
AUDIO_PARSERS = sorted(REGISTRY.audio.items())
FRAME_PARSERS = sorted(REGISTRY.audio_frames.items())
TARGET = Target.parse("rtmp://host/live/key")

MAX_OUTPUT = 256 * 1024
"""Bytes that a session may answer to one input of the fuzzer's."""
MAX_PIECES = 64
"""Reads that one input may be cut into."""


def pieces(octets: bytes, cut: int) -> Iterator[bytes]:
    """Cut `octets` into reads whose sizes depend on `cut`, 0 for one read."""
    size = cut * cut or len(octets) or 1
    for number, start in enumerate(range(0, len(octets), size)):
        if number == MAX_PIECES:
            yield octets[start:]
            return
        yield octets[start : start + size]


def server(octets: bytes) -> None:
    """A whole client of the server: first byte how it is cut, then what it sends."""
    session = ServerSession(random=bytes)
    demuxer = Demuxer(REGISTRY)

    def on_media(type_id: int, timestamp: int, payload: bytes) -> None:
        check(session.state is State.PUBLISHING, "media of somebody who does not publish")
        demuxer.receive(type_id, timestamp, payload)

    session.on_media = on_media
    sent = began = ended = 0
    now = 0.0
    try:
        for piece in pieces(octets[1:], octets[0] if octets else 0):
            events = session.receive_data(piece, now)
            while events:
                for event in events:
                    began += isinstance(event, PublishRequested)
                    ended += isinstance(event, Unpublished)
                last = events[-1]
                events = []
                if isinstance(last, ConnectRequested | PublishRequested | PlayRequested):
                    events = session.accept(last, now)
            now += 0.1
            sent += sum(map(len, session.data_to_send()))
    except ProtocolError as error:
        check(session.state is State.CLOSED, "open behind a violation")
        check(error.reason.replace("_", "").isalpha(), error.reason)
        check(not session.receive_data(octets, now), "events behind a violation")
    check(began - ended in (0, 1), "publishes and their ends do not match")
    check(sent + sum(map(len, session.data_to_send())) < MAX_OUTPUT, "too much was answered")


def client(octets: bytes) -> None:
    """A whole server that our client connects to: first byte the cut and the direction."""
    first = octets[0] if octets else 0
    session = ClientSession(TARGET, bool(first & 1), random=bytes)
    demuxer = Demuxer(REGISTRY)

    def on_media(type_id: int, timestamp: int, payload: bytes) -> None:
        demuxer.receive(type_id, timestamp, payload)

    session.on_media = on_media
    sent = 0
    try:
        for piece in pieces(octets[1:], first >> 1):
            session.receive_data(piece, 0.0)
            sent += sum(map(len, session.data_to_send()))
    except ProtocolError:
        check(session.state is ClientState.CLOSED, "open behind a violation")
    check(sent < MAX_OUTPUT, "too much was answered")


def chunk(octets: bytes) -> None:
    """The chunk stream alone: however it is cut, the same messages come out."""
    outcomes = []
    for cut in (0, 1, octets[0] if octets else 0):
        messages: list[tuple[int, int, int, bytes]] = []
        decoder = ChunkDecoder(Limits(), lambda *message: messages.append(message))  # noqa: B023
        decoder.chunk_size = 1 + (octets[1] if len(octets) > 1 else 0)
        reason = ""
        try:
            for piece in pieces(octets[2:], cut):
                decoder.receive(piece)
        except ProtocolError as error:
            reason = error.reason
        check(decoder.kept <= len(octets), "bytes out of nothing")
        outcomes.append((messages, reason))
    check(outcomes[0] == outcomes[1] == outcomes[2], "the cut makes a difference")


def demuxer(octets: bytes) -> None:
    """A publisher's messages: kind and time, length, body, and so on."""
    demuxer = Demuxer(REGISTRY)
    muxer: Muxer | None = None
    position = 0
    time = 0
    for _ in range(200):
        head = octets[position : position + 4]
        if len(head) < 4:
            break
        position += 4
        length = int.from_bytes(head[2:4], "big") & 0x7FF
        body = octets[position : position + length]
        position += length
        time = (time + (head[1] << 24 if head[0] & 0x80 else head[1])) & 0xFFFFFFFF
        before = demuxer.tracks
        samples = demuxer.receive((8, 9, 18, 15)[head[0] & 3], time, body)
        if demuxer.tracks is not before:
            check(demuxer.tracks != before, "other tracks that are the same")
            for track in demuxer.tracks:
                check_config(track.config)
            muxer = Muxer(demuxer.tracks, demuxer.metadata)
        for sample in samples:
            check(sample.track in demuxer.tracks, "a sample of no track")
            check(len(sample.payload) > 0, "an empty sample")
            check(sample.is_random_access >= sample.is_sync, "sync, but no access")
            if sample.track.codec in ("h264", "h265"):
                check_nal_units(bytes(sample.payload))
            assert muxer is not None
            muxer.message(sample)
    check(len(demuxer.tracks) <= 2 * MAX_TRACKS, "too many tracks")
    check(len(demuxer.unsupported) <= 2 * MAX_NAMES, "too many names")


def check_nal_units(payload: bytes) -> None:
    """The lengths in front of the NAL units fill the sample."""
    position = 0
    while position < len(payload):
        size = int.from_bytes(payload[position : position + 4], "big")
        check(size > 0, "an empty NAL unit")
        position += 4 + size
    check(position == len(payload), "a NAL unit that runs past its sample")


def check_config(config: CodecConfig) -> None:
    """A configuration that was taken can be told to players."""
    check(config.rfc6381().isprintable(), "a codec string that cannot be printed")
    if config.has_sample_entry:
        entry = config.sample_entry()
        check(int.from_bytes(entry[:4], "big") == len(entry), "a box of another length")
    check(config.timescale > 0, "no timescale")


def records(octets: bytes) -> None:
    """A configuration record of each codec, or a first frame, then a frame."""
    if len(octets) < 2:
        return
    length = int.from_bytes(octets[:2], "big") & 0x3FF
    record, frame = octets[2 : 2 + length], octets[2 + length :]
    for _, parse_video in VIDEO_PARSERS:
        try:
            video = VideoConfig(parse_video(record))
        except ConfigError:
            continue
        for is_key in (True, False):
            unit = video.access_unit(frame, is_key)
            check(unit.is_random_access >= unit.is_sync, "sync, but no access")
            if unit.config.is_complete:
                check_config(unit.config)
                check(0 < unit.config.width <= 16384, "an absurd width")
                check(0 < unit.config.height <= 16384, "an absurd height")
    for _, parse_audio in itertools.chain(AUDIO_PARSERS, FRAME_PARSERS):
        try:
            audio = AudioConfig(parse_audio(record))
        except ConfigError:
            continue
        check_config(audio)
        check(0 < audio.sample_rate <= 768000, "an absurd rate")
        check(0 < audio.channels <= 255, "absurd channels")
        check(audio.frame_samples(frame) >= 0, "a frame of negative length")


def amf(octets: bytes) -> None:
    """AMF0, AMF3 and a command: what is written of what was read can be read again."""
    limits = AMFLimits()
    for module in (amf0, amf3):
        try:
            values = module.decode(octets, limits)
        except AMFError:
            continue
        try:
            again = module.encode(*values)
        except AMFError:
            # octets of AMF3 within AMF0, and members without a name, have no form
            continue
        check(module.encode(*module.decode(again, AMFLimits(64, 10**6))) == again, "other values")
    try:
        command.decode(octets, limits)
    except AMFError:
        pass


def url(octets: bytes) -> None:
    """App, tcUrl and name, with a line feed between: a valid name or BadName."""
    app, tc_url, name, *_ = [*octets.decode("utf-8", "replace").split("\n"), "", "", ""]
    try:
        found = resolve(app, tc_url, name)
    except BadName as error:
        check(len(octets) < 8 or octets.decode("utf-8", "replace") not in str(error), "a quotation")
        return
    check(found.key.replace("-", "").replace("_", "").isalnum() or not found.key.strip("-_"), "key")
    check(found.key.isascii() and len(found.key) <= 128, "a key that is none")
    check(any(found.key in text for text in (name, app, tc_url)), "a key that nobody sent")


def check_report(report: Report) -> None:
    """What was found is bounded, and can be printed."""
    for name in report.counts:
        kept = [found for found in report.findings if found.rule.name == name]
        check(len(kept) <= MAX_KEPT, "too many are kept")
    for found in report.findings:
        check(found.words.isprintable(), "words that cannot be printed")
        check(len(found.words) <= MAX_WORDS, "too many words")


def judge_playlist(octets: bytes) -> None:
    """Playlists of one rendition, and multivariant ones, with a null byte between."""
    report = Report()
    judge = RenditionJudge("a", report)
    for number, playlist in enumerate(octets.split(b"\0")[:8]):
        read_multivariant(playlist, "m", report)
        found = judge.receive_playlist(playlist, float(number), requested=(number, 0), prompt=True)
        check(found is None or found.skipped is None, "a delta update that was not made whole")
        judge.judge_delta(playlist, octets)
    judge.finish()
    check_report(report)


def judge_media(octets: bytes) -> None:
    """Two bytes of length, an initialization section, and a segment."""
    length = int.from_bytes(octets[:2], "big")
    init, body = octets[2 : 2 + length], octets[2 + length :]
    report = Report()
    tracks = read_movie(init, "init", report)
    if tracks:
        media = read_media(body, tracks, "segment", report)
        for run in media.runs.values() if media is not None else ():
            check(0 < run.count <= MAX_SAMPLES, "samples out of nothing")
    judge = RenditionJudge("a", report)
    place = Resource("init")
    judge.receive_map(place, init)
    for number in range(2):
        segment = Segment(
            number, Resource("a"), 2.0, place, 0, False, False, False, 1.0 * number, 1
        )
        judge.receive_segment(segment, body)
    judge.finish()
    check_report(report)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        *(server, client, chunk, demuxer, records, amf, url),
        *(judge_playlist, judge_media, *DOORS.values()),
    )
}
"""By name."""

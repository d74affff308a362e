"""Samples for tests that look at times alone."""

from rapidrtmp.media.track import Sample, Track
from tests.isobmff.fakes import AUDIO, VIDEO, picture


def video(ms: float, *, key: bool = False, offset_ms: int = 0, track: Track = VIDEO) -> Sample:
    """Make a video frame at a time in ms."""
    payload = picture(is_sync=key)
    return Sample(track, round(ms * 90), offset_ms * 90, key, key, payload)


def audio(ms: float, *, track: Track = AUDIO) -> Sample:
    """Make an audio frame at a time in ms."""
    return Sample(track, round(ms * track.timescale / 1000), 0, True, True, b"aac")


def milliseconds(sample: Sample) -> float:
    """Return a sample's decoding time in ms."""
    return sample.dts * 1000 / sample.track.timescale

"""The Media Presentation Description of a live stream (ISO/IEC 23009-1 section 5)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import cast
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from rapidrtmp.hls.playlist import program_date_time
from rapidrtmp.media.codec import AudioConfig, VideoConfig
from rapidrtmp.media.track import Track

AVAILABILITY_START = "1970-01-01T00:00:00Z"
"""Where presentation time starts for every life of every stream: it is unix time."""
DELAY = 3
"""Target durations that a player stays behind the live edge without low latency."""
REFRESH = 0.5
"""Seconds between two looks at a low-latency manifest, at least."""
PARTS_BEHIND = 3
"""Parts that a low-latency player stays behind the live edge, besides twice `REFRESH`."""
FASTEST = 0.04
"""By how much a player may change its speed to keep its latency: nobody hears that."""

_NAMESPACE = "urn:mpeg:dash:schema:mpd:2011"
_LIVE_PROFILE = "urn:mpeg:dash:profile:isoff-live:2011"
_HTTP_ISO = "urn:mpeg:dash:utc:http-iso:2014"
_ROLE = "urn:mpeg:dash:role:2011"
_CHANNELS = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"
_CONTINUITY = "urn:mpeg:dash:period-continuity:2015"
_CICP = "urn:mpeg:mpegB:cicp:"
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_UNDETERMINED = "und"
_GAP = 0.001
"""Seconds between two Periods above which the first one's end is told."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One Media Segment of a SegmentTimeline, in ticks of the track."""

    time: int
    """Its earliest presentation time."""
    duration: int
    is_independent: bool = True
    """Starts with a sync sample."""


@dataclass(frozen=True, slots=True)
class Representation:
    """One track in one Period."""

    track: Track
    id: str
    """Names the track in URLs, too."""
    init_uri: str
    """Relative to the life."""
    bandwidth: int
    """bit/s."""
    frame_rate: float | None
    time_offset: int
    """Presentation time on the track's timeline at the Period's start, in ticks."""
    start_number: int
    """Media Sequence Number of the first entry; the others are numbered on."""
    entries: Sequence[Entry]
    """At least one."""


@dataclass(frozen=True, slots=True)
class Period:
    """What plays without a break: a continuity of the stream, or the part of one between gaps."""

    id: str
    start: float
    """Unix time."""
    representations: Sequence[Representation]
    """At least one, the leading track's first."""
    continues: str = ""
    """`id` of the Period whose continuity goes on here; empty for none."""

    @property
    def end(self) -> float:
        """Unix time at which what is listed ends."""
        return self.start + max(
            (each.entries[-1].time + each.entries[-1].duration - each.time_offset)
            / each.track.timescale
            for each in self.representations
        )


def manifest(
    periods: Sequence[Period],
    *,
    base: str,
    location: str,
    clock: str,
    published: float,
    target_duration: int,
    depth: float,
    part_target: float,
    ended: bool,
) -> bytes:
    """Return the manifest.

    Args:
        periods: at least one, in order.
        base: what leads from the manifest to the life of the stream, with a '/' at its end.
        location: where the next version is to be had, relative to the manifest.
        clock: where the time of day is to be had, relative to the manifest.
        published: unix time of the newest change.
        target_duration: seconds that a segment lasts at most, rounded.
        depth: seconds before the live edge from which on segments are listed.
        part_target: seconds in which a segment under way grows; 0 for whole segments only.
        ended: nothing will follow.

    Raises:
        ValueError: there is no Period.
    """
    if not periods:
        raise ValueError("a manifest needs a Period")
    root = Element(
        "MPD",
        {
            "xmlns": _NAMESPACE,
            "profiles": _LIVE_PROFILE,
            "type": "dynamic",
            "availabilityStartTime": AVAILABILITY_START,
            "publishTime": program_date_time(published),
            "minBufferTime": _seconds(target_duration),
        },
    )
    if ended:
        # Still dynamic: of a static one players would expect everything since 1970.
        root.set("mediaPresentationDuration", _seconds(periods[-1].end))
    else:
        delay = PARTS_BEHIND * part_target + 2 * REFRESH if part_target else DELAY * target_duration
        root.set("minimumUpdatePeriod", _seconds(REFRESH if part_target else target_duration))
        root.set("timeShiftBufferDepth", _seconds(depth))
        root.set("suggestedPresentationDelay", _seconds(delay))
        SubElement(root, "Location").text = location
        if part_target:
            service = SubElement(root, "ServiceDescription", {"id": "0"})
            latency = {"target": delay, "min": delay / 2, "max": DELAY * target_duration + delay}
            SubElement(
                service, "Latency", {name: str(round(1000 * s)) for name, s in latency.items()}
            )
            SubElement(
                service, "PlaybackRate", {"min": f"{1 - FASTEST:g}", "max": f"{1 + FASTEST:g}"}
            )
    for period, following in zip(periods, (*periods[1:], None), strict=True):
        element = SubElement(root, "Period", {"id": period.id, "start": _seconds(period.start)})
        if following is not None and following.start - period.end > _GAP:
            element.set("duration", _seconds(period.end - period.start))
        is_over = ended and following is None
        for number, members in enumerate(_sets(period.representations)):
            adaptation_set = _adaptation_set(element, number, members, period.continues)
            for member in members:
                _representation(adaptation_set, member, base, part_target, is_over)
    SubElement(root, "UTCTiming", {"schemeIdUri": _HTTP_ISO, "value": clock})
    indent(root)
    text: bytes = tostring(root, "utf-8", xml_declaration=True)
    return text + b"\n"


def _sets(representations: Sequence[Representation]) -> list[list[Representation]]:
    """Sort into Adaptation Sets, between whose members players switch by themselves.

    Video of one codec is the same picture in several sizes. Audio tracks may be anything.
    """
    sets: dict[str, list[Representation]] = {}
    for each in representations:
        name = each.track.codec if each.track.kind == "video" else each.id
        sets.setdefault(name, []).append(each)
    return list(sets.values())


def _adaptation_set(
    period: Element, number: int, members: Sequence[Representation], continues: str
) -> Element:
    track = members[0].track
    element = SubElement(
        period,
        "AdaptationSet",
        {"id": str(number), "contentType": track.kind, "mimeType": f"{track.kind}/mp4"},
    )
    if track.language != _UNDETERMINED and _LANGUAGE.fullmatch(track.language):
        element.set("lang", track.language)
    if _is_aligned(members):
        element.set("segmentAlignment", "true")
    if all(entry.is_independent for member in members for entry in member.entries):
        element.set("startWithSAP", "1")
    if track.kind == "video":
        color = cast(VideoConfig, track.config).color
        if color.video_range != "SDR":
            _described(element, "SupplementalProperty", _CICP + "ColourPrimaries", color.primaries)
            _described(
                element, "SupplementalProperty", _CICP + "TransferCharacteristics", color.transfer
            )
            _described(element, "SupplementalProperty", _CICP + "MatrixCoefficients", color.matrix)
    if continues:
        _described(element, "SupplementalProperty", _CONTINUITY, continues)
    _described(element, "Role", _ROLE, "main" if track.track_id <= 2 else "alternate")
    label = "".join(letter for letter in track.label if letter.isprintable()).strip()
    if label:
        SubElement(element, "Label").text = label
    return element


def _is_aligned(members: Sequence[Representation]) -> bool:
    """Tell whether segments of the same number start at the same time."""
    first, *others = (
        {each.start_number + index: entry.time for index, entry in enumerate(each.entries)}
        for each in members
    )
    return all(
        first[number] == times[number] for times in others for number in first.keys() & times.keys()
    )


def _representation(
    adaptation_set: Element, each: Representation, base: str, part_target: float, is_over: bool
) -> None:
    config = each.track.config
    attributes = {"id": each.id, "bandwidth": str(each.bandwidth), "codecs": config.rfc6381()}
    if each.track.kind == "video":
        picture = cast(VideoConfig, config)
        attributes |= {"width": str(picture.width), "height": str(picture.height)}
        if each.frame_rate:
            attributes["frameRate"] = _rate(each.frame_rate)
        element = SubElement(adaptation_set, "Representation", attributes)
    else:
        sound = cast(AudioConfig, config)
        attributes["audioSamplingRate"] = str(sound.sample_rate)
        element = SubElement(adaptation_set, "Representation", attributes)
        _described(element, "AudioChannelConfiguration", _CHANNELS, sound.channels)
    template = {
        "timescale": str(each.track.timescale),
        "presentationTimeOffset": str(each.time_offset),
        "initialization": base + each.init_uri,
        "media": f"{base}{each.id}/$Number$.m4s",
        "startNumber": str(each.start_number),
    }
    if is_over:
        template["endNumber"] = str(each.start_number + len(each.entries) - 1)
    longest = max(entry.duration for entry in each.entries) / each.track.timescale
    if part_target and longest > part_target and not is_over:
        template["availabilityTimeOffset"] = f"{longest - part_target:.3f}"
        template["availabilityTimeComplete"] = "false"
    timeline = SubElement(SubElement(element, "SegmentTemplate", template), "SegmentTimeline")
    _timeline(timeline, each.entries)


def _timeline(timeline: Element, entries: Sequence[Entry]) -> None:
    """List entries, those of equal length that follow one another as one."""
    element: Element | None = None
    repeats = duration = 0
    end = -1
    for entry in entries:
        if element is not None and (entry.time, entry.duration) == (end, duration):
            repeats += 1
            element.set("r", str(repeats))
        else:
            duration = entry.duration
            repeats = 0
            element = SubElement(timeline, "S", {"t": str(entry.time), "d": str(duration)})
        end = entry.time + duration


def _described(parent: Element, name: str, scheme: str, value: object) -> None:
    """Add an element of the type DescriptorType."""
    attributes: Mapping[str, str] = {"schemeIdUri": scheme, "value": str(value)}
    SubElement(parent, name, dict(attributes))


def _rate(frames: float) -> str:
    """Return frames/s as FrameRateType: a number, or two with a '/'."""
    whole = round(frames)
    if whole and abs(frames - whole) < 0.01:
        return str(whole)
    rate = Fraction(frames).limit_denominator(1001)
    return f"{rate.numerator}/{rate.denominator}"


def _seconds(seconds: float) -> str:
    """Return a duration as XML Schema has it."""
    return f"PT{seconds:.6f}".rstrip("0").rstrip(".") + "S"

"""A judge of live DASH manifests: its own reading of ISO/IEC 23009-1, shared with no writer.

Knows what this server may write and nothing else: an element or attribute that is not expected
is an error, as is one that is missing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from xml.etree.ElementTree import Element, fromstring

NAMESPACE = "{urn:mpeg:dash:schema:mpd:2011}"
DURATION = re.compile(r"PT([0-9]+(?:\.[0-9]+)?)S")
FRAME_RATE = re.compile(r"[0-9]*[0-9](/[0-9]*[0-9])?")
OVERLAP = Fraction(1, 10)
"""Seconds by which what is listed of a Period may reach into the next one of a continuity."""
UNSIGNED = re.compile(r"[0-9]+")


class ManifestError(AssertionError):
    """The manifest breaks a rule."""


def require(condition: object, message: str) -> None:
    """Raise ManifestError with `message` unless `condition` holds."""
    if not condition:
        raise ManifestError(message)


@dataclass(frozen=True)
class Segment:
    """One Media Segment that a manifest lists. Times in seconds."""

    number: int
    uri: str
    media_time: Fraction
    """On the track's own timeline."""
    duration: Fraction
    start: Fraction
    """Presentation time, relative to availabilityStartTime."""


@dataclass(frozen=True)
class Representation:
    """One track in one Period."""

    id: str
    kind: str
    codecs: str
    bandwidth: int
    attributes: Mapping[str, str]
    channels: int | None
    init_uri: str
    timescale: int
    time_offset: int
    availability_offset: float
    segments: Sequence[Segment]

    @property
    def by_number(self) -> dict[int, Segment]:
        """The segments by their numbers."""
        return {segment.number: segment for segment in self.segments}


@dataclass(frozen=True)
class AdaptationSet:
    """Representations that players switch between."""

    kind: str
    attributes: Mapping[str, str]
    properties: Mapping[str, str]
    label: str
    role: str
    representations: Sequence[Representation]


@dataclass(frozen=True)
class Period:
    """One Period."""

    id: str
    start: Fraction
    duration: Fraction | None
    sets: Sequence[AdaptationSet]

    @property
    def representations(self) -> dict[str, Representation]:
        """All of them, by id."""
        return {each.id: each for one in self.sets for each in one.representations}

    @property
    def end(self) -> Fraction:
        """Where the last listed segment ends."""
        ends = [each.segments[-1] for each in self.representations.values()]
        return max(last.start + last.duration for last in ends)


@dataclass(frozen=True)
class Manifest:
    """A whole manifest."""

    attributes: Mapping[str, str]
    periods: Sequence[Period]
    location: str | None
    clock: str
    latency: Mapping[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return "mediaPresentationDuration" in self.attributes

    def seconds(self, name: str) -> float:
        """Return an attribute that is a duration."""
        return float(seconds(self.attributes[name]))


def seconds(text: str) -> Fraction:
    """Read an xs:duration of seconds alone."""
    found = DURATION.fullmatch(text)
    require(found, f"{text!r} is no duration")
    assert found is not None
    return Fraction(found.group(1))


def date(text: str) -> float:
    """Read an xs:dateTime in UTC; return unix time."""
    require(text.endswith("Z"), f"{text!r} is not in UTC")
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()


def unsigned(text: str) -> int:
    """Read an xs:unsignedInt or unsignedLong."""
    require(UNSIGNED.fullmatch(text), f"{text!r} is no unsigned number")
    return int(text)


def attributes(element: Element, needed: str, allowed: str = "") -> dict[str, str]:
    """Return the attributes, which must be the needed and may be the allowed ones."""
    names = set(element.attrib)
    require(set(needed.split()) <= names, f"{element.tag}: {needed} are not all in {names}")
    others = names - set(needed.split()) - set(allowed.split())
    require(not others, f"{element.tag}: unexpected {others}")
    return dict(element.attrib)


def children(element: Element, *names: str) -> dict[str, list[Element]]:
    """Return the children by name; they must come in this order and have no other name."""
    order = [child.tag.removeprefix(NAMESPACE) for child in element]
    require(all(child.tag.startswith(NAMESPACE) for child in element), "a foreign element")
    require(set(order) <= set(names), f"{element.tag}: unexpected {set(order) - set(names)}")
    require(order == sorted(order, key=names.index), f"{element.tag}: wrong order {order}")
    return {name: [child for child in element if child.tag == NAMESPACE + name] for name in names}


def one(found: Mapping[str, list[Element]], name: str) -> Element:
    """Return the only child of a name."""
    require(len(found[name]) == 1, f"{len(found[name])} {name} elements, not one")
    return found[name][0]


def descriptor(element: Element) -> tuple[str, str]:
    """Read a DescriptorType."""
    given = attributes(element, "schemeIdUri value")
    children(element)
    return given["schemeIdUri"], given["value"]


def parse_manifest(body: bytes) -> Manifest:
    """Read and judge a manifest.

    Raises:
        ManifestError: it breaks a rule.
    """
    require(body.startswith(b"<?xml version="), "no XML declaration")
    root = fromstring(body)
    require(root.tag == NAMESPACE + "MPD", root.tag)
    given = attributes(
        root,
        "profiles type availabilityStartTime publishTime minBufferTime",
        "mediaPresentationDuration minimumUpdatePeriod timeShiftBufferDepth"
        " suggestedPresentationDelay",
    )
    require(given["type"] == "dynamic", "not dynamic")
    require("urn:mpeg:dash:profile:isoff-live:2011" in given["profiles"], "not the live profile")
    require(date(given["availabilityStartTime"]) == 0, "does not start with unix time")
    date(given["publishTime"])
    seconds(given["minBufferTime"])
    is_over = "mediaPresentationDuration" in given
    for name in ("minimumUpdatePeriod", "timeShiftBufferDepth", "suggestedPresentationDelay"):
        require((name in given) != is_over, f"{name} in a manifest that is over: {is_over}")
    found = children(root, "Location", "ServiceDescription", "Period", "UTCTiming")
    scheme, clock = descriptor(one(found, "UTCTiming"))
    require(scheme == "urn:mpeg:dash:utc:http-iso:2014", scheme)
    periods = [_period(element) for element in found["Period"]]
    require(periods, "no Period")
    require(len({period.id for period in periods}) == len(periods), "two Periods of one id")
    for before, after in pairwise(periods):
        end = after.start if before.duration is None else before.start + before.duration
        require(end <= after.start, f"Period {after.id} starts before the end of {before.id}")
        # tracks are cut at their own nearest sample; players leave out what is too much
        goes_on = before.id.split(".")[0] == after.id.split(".")[0]
        over = OVERLAP if goes_on else Fraction(1, 1000)
        require(before.end <= end + over, f"Period {before.id} is longer than it is")
        require(after.start - end == 0 or before.duration is not None, "an unexplained hole")
    require(periods[-1].duration is None, "the last Period has an end")
    if is_over:
        total = seconds(given["mediaPresentationDuration"])
        require(abs(total - periods[-1].end) < Fraction(1, 1000), "the end is elsewhere")
    latency = {}
    for service in found["ServiceDescription"]:
        inner = children(service, "Latency", "PlaybackRate")
        latency = attributes(one(inner, "Latency"), "target min max")
        order = [unsigned(latency[name]) for name in ("min", "target", "max")]
        require(order == sorted(order), f"latencies {order}")
        rate = attributes(one(inner, "PlaybackRate"), "min max")
        require(float(rate["min"]) <= 1 <= float(rate["max"]), "a rate that excludes 1")
    location = one(found, "Location").text if found["Location"] else None
    return Manifest(given, periods, location, clock, latency)


def _period(element: Element) -> Period:
    given = attributes(element, "id start", "duration")
    found = children(element, "AdaptationSet")
    start = seconds(given["start"])
    sets = [_set(each, start) for each in found["AdaptationSet"]]
    require(sets, "a Period without media")
    numbers = [each.attributes["id"] for each in sets]
    require(len(set(numbers)) == len(numbers), "two AdaptationSets of one id")
    names = [each.id for one in sets for each in one.representations]
    require(len(set(names)) == len(names), "two Representations of one id")
    duration = seconds(given["duration"]) if "duration" in given else None
    return Period(given["id"], start, duration, sets)


def _set(element: Element, period_start: Fraction) -> AdaptationSet:
    given = attributes(element, "id contentType mimeType", "lang segmentAlignment startWithSAP")
    kind = given["contentType"]
    require(given["mimeType"] == f"{kind}/mp4", given["mimeType"])
    found = children(element, "SupplementalProperty", "Role", "Label", "Representation")
    properties = dict(descriptor(each) for each in found["SupplementalProperty"])
    scheme, role = descriptor(one(found, "Role"))
    require(scheme == "urn:mpeg:dash:role:2011", scheme)
    label = (one(found, "Label").text or "") if found["Label"] else ""
    representations = [
        _representation(each, kind, period_start) for each in found["Representation"]
    ]
    require(representations, "an AdaptationSet without Representations")
    return AdaptationSet(kind, given, properties, label, role, representations)


def _representation(element: Element, kind: str, period_start: Fraction) -> Representation:
    if kind == "video":
        given = attributes(element, "id bandwidth codecs width height", "frameRate")
        if "frameRate" in given:
            require(FRAME_RATE.fullmatch(given["frameRate"]), given["frameRate"])
        found = children(element, "SegmentTemplate")
        channels = None
    else:
        given = attributes(element, "id bandwidth codecs audioSamplingRate")
        found = children(element, "AudioChannelConfiguration", "SegmentTemplate")
        scheme, count = descriptor(one(found, "AudioChannelConfiguration"))
        require(scheme.startswith("urn:mpeg:dash:23003:3:audio_channel"), scheme)
        channels = unsigned(count)
    template = one(found, "SegmentTemplate")
    told = attributes(
        template,
        "timescale presentationTimeOffset initialization media startNumber",
        "availabilityTimeOffset availabilityTimeComplete endNumber",
    )
    offset = float(told.get("availabilityTimeOffset", 0))
    complete = told.get("availabilityTimeComplete", "true")
    require((complete == "false") == (offset > 0), "segments are early, or they are not")
    scale, time_offset = unsigned(told["timescale"]), unsigned(told["presentationTimeOffset"])
    name = given["id"]
    segments: list[Segment] = []
    number = unsigned(told["startNumber"])
    timeline = one(children(template, "SegmentTimeline"), "SegmentTimeline")
    end: int | None = None
    for entry in children(timeline, "S")["S"]:
        s = attributes(entry, "t d", "r")
        time, duration = unsigned(s["t"]), unsigned(s["d"])
        require(duration > 0, "a segment without duration")
        require(end is None or time == end, f"{name}: a hole of {time - (end or 0)} ticks")
        for _ in range(1 + unsigned(s.get("r", "0"))):
            uri = told["media"].replace("$RepresentationID$", name)
            segments.append(
                Segment(
                    number,
                    uri.replace("$Number$", str(number)),
                    Fraction(time, scale),
                    Fraction(duration, scale),
                    period_start + Fraction(time - time_offset, scale),
                )
            )
            require("$" not in segments[-1].uri, uri)
            number += 1
            time += duration
        end = time
    require(segments, "a Representation without segments")
    last = segments[-1].number
    require(told.get("endNumber", str(last)) == str(last), "another end")
    bandwidth = unsigned(given["bandwidth"])
    require(bandwidth > 0, "no bandwidth")
    return Representation(
        name,
        kind,
        given["codecs"],
        bandwidth,
        given,
        channels,
        told["initialization"],
        scale,
        time_offset,
        offset,
        segments,
    )


def check_refresh(before: Manifest, after: Manifest) -> None:
    """Judge a later version: what both list must be the same.

    A segment that was under way may have become shorter or longer than was expected.
    """
    require(date(before.attributes["publishTime"]) <= date(after.attributes["publishTime"]), "age")
    known = {period.id: period for period in before.periods}
    for period in after.periods:
        old = known.get(period.id)
        if old is None:
            continue
        require(old.start == period.start, f"Period {period.id} moved")
        for name, representation in period.representations.items():
            was = old.representations.get(name)
            require(was is not None, f"{name} came into a Period that was listed")
            assert was is not None
            same = ("init_uri", "timescale", "time_offset", "codecs")
            for attribute in same:
                require(getattr(was, attribute) == getattr(representation, attribute), attribute)
            numbers = was.by_number
            newest = was.segments[-1].number
            for segment in representation.segments:
                if segment.number in numbers:
                    previous = numbers[segment.number]
                    require(previous.start == segment.start, f"{name} {segment.number} moved")
                    if segment.number != newest:
                        require(previous.duration == segment.duration, "another duration")
            require(representation.segments[0].number >= was.segments[0].number, "back in time")

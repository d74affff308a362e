"""All renditions of a stream together: what they must have in common (RFC 8216bis 6.2.4)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import inf

from rapidrtmp.judge.finding import Report
from rapidrtmp.judge.movie import MovieTrack
from rapidrtmp.judge.multivariant import Multivariant, Variant
from rapidrtmp.judge.playlist import MediaPlaylist, RenditionReport
from rapidrtmp.judge.rendition import RenditionJudge

PEAK = 1.25
"""Of BANDWIDTH, that a segment of a live stream may have (Apple)."""
RATE_TOLERANCE = 0.05
TIMELINE_TOLERANCE = 0.1
"""Seconds that dates of renditions may be apart for the same timestamp."""
_MAX_REPORTS = 50
_UNSPECIFIED = 2
_RANGES = {16: "PQ", 18: "HLG"}
"""By TransferCharacteristics (H.273)."""


@dataclass(slots=True)
class _Told:
    """A rendition report that is not confirmed yet."""

    report: RenditionReport
    where: str
    served_at: float


@dataclass(slots=True)
class _Member:
    """One rendition."""

    judge: RenditionJudge
    told: list[_Told] = field(default_factory=list)


class PresentationJudge:
    """Judges the renditions of one multivariant playlist, or a single media playlist."""

    def __init__(
        self,
        multivariant: Multivariant | None,
        judges: Mapping[str, RenditionJudge],
        report: Report,
    ) -> None:
        """Make a judge.

        Args:
            multivariant: None for a media playlist on its own.
            judges: by the absolute URL of their playlists.
            report: gets what is wrong.
        """
        self._multivariant = multivariant
        self._members = {url: _Member(judge) for url, judge in judges.items()}
        self._report = report

    # while it is followed

    def judge_reports(
        self,
        url: str,
        playlist: MediaPlaylist,
        resolve: Callable[[str], str],
        asked_at: float,
        served_at: float,
    ) -> None:
        """Judge the rendition reports of a playlist, and those about it that wait for it.

        Args:
            url: whose playlist it is.
            playlist: the one that came.
            resolve: makes a URI of the playlist absolute, without delivery directives.
            asked_at: when it was asked for.
            served_at: when it came.
        """
        self._confirm(self._members[url], playlist, asked_at)
        if not playlist.is_low_latency or playlist.is_ended or len(self._members) < 2:
            return
        reported: set[str] = set()
        for report in playlist.reports:
            where = playlist.where(report.line)
            target = resolve(report.uri)
            member = self._members.get(target)
            if member is None or target == url:
                words = f"{report.uri[:80]} is not another rendition"
                self._report.add("rendition-report-unknown", where, words)
                continue
            reported.add(target)
            report = _filled(report, playlist)
            self._judge_report(report, member, where)
            if len(member.told) < _MAX_REPORTS:
                member.told.append(_Told(report, where, served_at))
        missing = self._members.keys() - reported - {url}
        for target in sorted(missing):
            name = self._members[target].judge.name
            self._report.add("rendition-report-missing", playlist.name, f"none of {name}")

    def _judge_report(self, report: RenditionReport, member: _Member, where: str) -> None:
        """What was served before cannot be newer than what is reported, by more than a moment."""
        known = member.judge.playlist
        if known is not None and (report.last_msn or 0) + 1 < known.last[0]:
            words = f"{report.uri[:80]}: LAST-MSN={report.last_msn}, {known.last[0]} was served"
            self._report.add("rendition-report-wrong", where, words)

    def _confirm(self, member: _Member, playlist: MediaPlaylist, asked_at: float) -> None:
        """What was reported before a playlist was asked for has to be in it."""
        waiting = []
        for told in member.told:
            if told.served_at > asked_at:
                waiting.append(told)
                continue
            msn, part = told.report.last_msn or 0, told.report.last_part or 0
            newest, index = playlist.last
            parts = {segment.sequence: len(segment.parts) for segment in playlist.segments}
            ahead = msn > newest or (msn == newest and index >= 0 and part > index)
            # of a complete segment, the parts are known while they are listed
            ahead = ahead or (0 < parts.get(msn, 0) <= part)
            if ahead and not playlist.is_ended:
                words = f"LAST-MSN={msn}, LAST-PART={part}: then {playlist.last} was served"
                self._report.add("rendition-report-wrong", told.where, words)
        member.told = waiting

    # at the end

    def finish(self) -> None:
        """Compare what was seen of the renditions."""
        for member in self._members.values():
            member.judge.finish()
        judges = [member.judge for member in self._members.values() if member.judge.playlist]
        self._compare_headers(judges)
        self._compare_timelines(judges)
        if self._multivariant is not None:
            for variant in self._multivariant.variants:
                if not variant.is_iframes:
                    self._judge_variant(self._multivariant, variant)

    def _compare_headers(self, judges: list[RenditionJudge]) -> None:
        for judge in judges[1:]:
            first, other = judges[0].playlist, judge.playlist
            assert first is not None and other is not None, "those without are left out"
            for what in ("target_duration", "type", "is_ended", "server_control", "part_target"):
                ours, theirs = getattr(first, what), getattr(other, what)
                # the end may have come between the two; sound may have a PART-TARGET of its own
                if what in ("is_ended", "part_target"):
                    ours, theirs = ours is None, theirs is None
                if ours != theirs:
                    words = f"{what}: {ours!r} in {first.name}, {theirs!r} in {other.name}"
                    self._report.add("renditions-differ", judge.name, words)
            dated = [
                any(segment.date is not None for segment in playlist.segments)
                for playlist in (first, other)
            ]
            if dated[0] != dated[1]:
                words = f"only one of {first.name} and {other.name} has dates"
                self._report.add("renditions-differ", judge.name, words)

    def _compare_timelines(self, judges: list[RenditionJudge]) -> None:
        for judge in judges[1:]:
            first = judges[0]
            for number in first.timeline.keys() & judge.timeline.keys():
                apart = judge.timeline[number] - first.timeline[number]
                if abs(apart) > TIMELINE_TOLERANCE:
                    words = f"dates are {apart:+.3f} s off those of {first.name}, by timestamps"
                    self._report.add("timestamps-renditions", judge.name, words)
                    break
            self._compare_discontinuities(first, judge)

    def _compare_discontinuities(self, first: RenditionJudge, judge: RenditionJudge) -> None:
        """Discontinuities of the same moment have the same number."""
        near = max(first.playlist.target_duration if first.playlist is not None else 0, 1) / 2
        own, others = _discontinuities(judge), _discontinuities(first)
        for number, date in own.items():
            # An encoder that sends faster than real time has several in a moment, of which the
            # other playlist may not have the newest yet.
            if abs(date - others.get(number, inf)) < near:
                continue
            for ours, other in others.items():
                if abs(date - other) < near <= abs(own.get(ours, inf) - other):
                    words = f"discontinuity {number} is number {ours} in {first.name}"
                    self._report.add("discontinuity-renditions", judge.name, words)
                    return

    def _judge_variant(self, multivariant: Multivariant, variant: Variant) -> None:
        where = f"{multivariant.name}:{variant.line}"
        own = self._member(variant.uri)
        others = [
            member
            for media in multivariant.media
            if media.type == "AUDIO" and media.group == variant.audio and media.uri
            if (member := self._member(media.uri)) is not None and member is not own
        ]
        if own is None:
            return
        tracks = [*own.judge.all_tracks]
        for member in others:
            tracks += member.judge.all_tracks
        complete = bool(own.judge.all_tracks) and all(member.judge.all_tracks for member in others)
        if variant.codecs and complete:
            self._judge_codecs(variant, tracks, where)
        videos = [track for track in own.judge.tracks.values() if track.kind == "vide"]
        if variant.resolution is not None and videos:
            size = (videos[0].width, videos[0].height)
            if size != variant.resolution:
                words = f"RESOLUTION={variant.resolution}, sample entry {size}"
                self._report.add("resolution-wrong", where, words)
        transfers = {track.transfer for track in videos} - {None, _UNSPECIFIED}
        ranges = {_RANGES.get(transfer or 0, "SDR") for transfer in transfers}
        if ranges and variant.video_range not in ranges:
            words = f"VIDEO-RANGE={variant.video_range}, the colour box says {min(ranges)}"
            self._report.add("video-range-wrong", where, words)
        self._judge_rates(variant, own, others, bool(videos), where)

    def _judge_codecs(self, variant: Variant, tracks: list[MovieTrack], where: str) -> None:
        left = set(variant.codecs)
        for track in tracks:
            if track.strings is None:
                continue
            fitting = {codec for codec in variant.codecs if track.strings.fits(codec)}
            if not fitting:
                words = f"{track.strings.exact} is in the media, CODECS={','.join(variant.codecs)}"
                self._report.add("codecs-wrong", where, words)
            left -= fitting
        for codec in sorted(left):
            self._report.add("codecs-wrong", where, f"{codec} is in no sample entry")

    def _judge_rates(
        self,
        variant: Variant,
        own: _Member,
        others: list[_Member],
        has_video: bool,
        where: str,
    ) -> None:
        peak = own.judge.rates.peak
        peak += max((member.judge.rates.peak for member in others), default=0.0)
        if peak > PEAK * variant.bandwidth > 0:
            words = f"BANDWIDTH={variant.bandwidth}, a segment has {peak:.0f} bit/s"
            self._report.add("bandwidth-low", where, words)
        rates = own.judge.rates
        if variant.frame_rate and has_video and rates.seconds > 2 and len(own.judge.tracks) == 1:
            measured = rates.samples / rates.seconds
            if abs(measured - variant.frame_rate) > RATE_TOLERANCE * variant.frame_rate:
                words = f"FRAME-RATE={variant.frame_rate}, measured {measured:.3f}"
                self._report.add("frame-rate-wrong", where, words)

    def _member(self, uri: str) -> _Member | None:
        """The rendition that the multivariant playlist calls so."""
        return next((member for member in self._members.values() if member.judge.name == uri), None)


def _filled(report: RenditionReport, playlist: MediaPlaylist) -> RenditionReport:
    """What a report leaves out is the same as in the playlist that it stands in (4.4.5.4)."""
    msn, part = playlist.last
    if part < 0 and playlist.segments:
        part = len(playlist.segments[-1].parts) - 1
    return replace(
        report,
        last_msn=msn if report.last_msn is None else report.last_msn,
        last_part=part if report.last_part is None else report.last_part,
    )


def _discontinuities(judge: RenditionJudge) -> dict[int, float]:
    """The date at which each continuity starts, as far as the playlist shows its start."""
    found: dict[int, float] = {}
    for segment in judge.playlist.segments if judge.playlist is not None else ():
        if segment.is_discontinuity and segment.date is not None:
            found[segment.discontinuity] = segment.date
    return found

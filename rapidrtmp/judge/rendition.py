"""One rendition over time: its playlists, and its media against them."""

import hashlib
from dataclasses import dataclass

from rapidrtmp.judge.arrivals import ArrivalJudge
from rapidrtmp.judge.finding import Report
from rapidrtmp.judge.fragment import Media, Run, is_fragmented, is_other_format, read_media
from rapidrtmp.judge.movie import MovieTrack, read_movie
from rapidrtmp.judge.playlist import MediaPlaylist, Part, Resource, Segment, merged
from rapidrtmp.judge.playlist_parser import MediaPlaylistParser
from rapidrtmp.judge.playlist_rules import judge_playlist
from rapidrtmp.judge.reload_rules import judge_reload

DURATION_TOLERANCE = 0.005
"""Seconds by which EXTINF may miss the duration of the samples: playlists round to 1 ms, and
encoders' clocks of 1 ms do."""
MAX_MOVIES = 16
"""Initialization sections that are remembered."""
MAX_CONTINUITIES = 10_000
"""Discontinuities whose dates are remembered."""
DATE_TOLERANCE = 0.1
"""Seconds by which dates and timestamps may go apart in a continuity."""


@dataclass(slots=True)
class Rates:
    """What is measured of a rendition."""

    peak: float = 0.0
    """bit/s of a segment of half a target duration or more."""
    bits: int = 0
    seconds: float = 0.0
    samples: int = 0


@dataclass(slots=True)
class _Parts:
    """The parts of one segment as they were fetched."""

    digest: "hashlib._Hash"
    size: int = 0
    count: int = 0


class RenditionJudge:
    """Judges what is fetched of one rendition. Does no I/O; times are handed in."""

    def __init__(self, name: str, report: Report) -> None:
        """Make a judge of the rendition that is called `name` in the report."""
        self.name = name
        self.playlist: MediaPlaylist | None = None
        """The newest one, whole."""
        self.tracks: dict[int, MovieTrack] = {}
        """Those of the newest segment."""
        self.all_tracks: list[MovieTrack] = []
        """Every configuration that was seen, at most `MAX_MOVIES`."""
        self.arrivals = ArrivalJudge(name, report)
        self.rates = Rates()
        self.judged = 0
        """Segments."""
        self.timeline: dict[int, float] = {}
        """Unix time minus presentation time, in seconds, by Discontinuity Sequence Number."""
        self._report = report
        self._movies: dict[Resource, dict[int, MovieTrack] | None] = {}
        self._parts: dict[int, _Parts] = {}
        self._previous: tuple[Segment, Media] | None = None
        # What is wrong with the duration of the previous segment, until the next one tells why.
        self._doubt: tuple[str, str] | None = None

    # playlists

    def receive_playlist(
        self,
        octets: bytes,
        now: float,
        *,
        requested: tuple[int, int | None] | None = None,
        prompt: bool = False,
    ) -> MediaPlaylist | None:
        """Judge a playlist, also against the one before.

        Args:
            octets: the body.
            now: unix time at which it came.
            requested: _HLS_msn and _HLS_part, where it was asked for so.
            prompt: it comes as soon as there is news, so that arrivals of parts count.

        Returns:
            The playlist, made whole; None where it cannot be read.
        """
        read = MediaPlaylistParser(self.name, self._report).parse(octets)
        before = self.playlist
        if read is None:
            return None
        is_delta = read.skipped is not None
        playlist: MediaPlaylist | None = read
        if is_delta:
            playlist = self._made_whole(read)
            if playlist is None:
                return None
        assert playlist is not None
        judge_playlist(playlist, self._report)
        if before is not None:
            judge_reload(before, playlist, self._report, is_delta=is_delta)
        if requested is not None:
            self._judge_answer(playlist, *requested)
        self.arrivals.receive(before, playlist, now, prompt=prompt)
        self.playlist = playlist
        return playlist

    def _made_whole(self, delta: MediaPlaylist) -> MediaPlaylist | None:
        before = self.playlist
        whole = None if before is None else merged(before, delta)
        if whole is None:
            words = f"skips {delta.skipped} segments from {delta.media_sequence}, not all known"
            self._report.add("delta-update", self.name, words)
            return None
        assert before is not None
        if before.can_skip_until is None:
            words = "a delta update without CAN-SKIP-UNTIL"
            self._report.add("delta-update", self.name, words)
            return whole
        left = sum(segment.duration for segment in whole.segments[delta.skipped or 0 :])
        left += sum(part.duration for part in whole.open_parts)
        if delta.skipped and left < before.can_skip_until - DURATION_TOLERANCE:
            words = f"segments {left:.3f} s before the end are skipped: {before.can_skip_until} s"
            self._report.add("delta-update", self.name, words)
        return whole

    def judge_delta(self, full: bytes, delta: bytes) -> bool:
        """Judge a delta update against the full playlist of about the same moment.

        Returns:
            Whether they could be compared: both end with the same segment and parts.
        """
        scratch = Report()  # each is judged elsewhere
        whole = MediaPlaylistParser(self.name, scratch).parse(full)
        update = MediaPlaylistParser(self.name, scratch).parse(delta)
        if whole is None or update is None or whole.open_parts != update.open_parts:
            return False
        ends = [playlist.segments[-1].resource for playlist in (whole, update) if playlist.segments]
        if len(ends) < 2 or ends[0] != ends[1]:
            return False
        if update.skipped is None:
            skippable = sum(segment.duration for segment in whole.segments[1:])
            if whole.can_skip_until is not None and skippable > whole.can_skip_until + 1.0:
                words = f"{skippable:.1f} s listed, nothing skipped"
                self._report.add("delta-missing", self.name, words)
            return True
        made = merged(whole, update)
        differs = ""
        if made is None:
            differs = f"skips {update.skipped} segments from {update.media_sequence}"
        else:
            for what in ("segments", "open_parts", "hints", "is_ended", "media_sequence"):
                ours, theirs = getattr(whole, what), getattr(made, what)
                if what == "hints":
                    ours, theirs = ([hint[:2] for hint in hints] for hints in (ours, theirs))
                if ours != theirs:
                    differs = f"{what.replace('_', ' ')}: other than the full playlist's"
        if differs:
            self._report.add("delta-update", self.name, differs)
        return True

    def _judge_answer(self, playlist: MediaPlaylist, msn: int, part: int | None) -> None:
        """A blocked reload is answered with what was asked for, or the end."""
        complete = playlist.next_sequence > msn
        if part is not None and playlist.next_sequence == msn:
            complete = len(playlist.open_parts) > part
        elif part is not None and playlist.next_sequence == msn + 1 and playlist.segments:
            # a part that the segment has not got is the first one of the next
            count = len(playlist.segments[-1].parts)
            complete = not 0 < count <= part or bool(playlist.open_parts)
        if not complete and not playlist.is_ended:
            words = f"_HLS_msn={msn}, _HLS_part={part}: the newest is {playlist.last}"
            self._report.add("blocking-reload", self.name, words)

    # media

    def knows_map(self, resource: Resource) -> bool:
        """Tell whether an initialization section was received."""
        return resource in self._movies

    def receive_map(self, resource: Resource, octets: bytes) -> None:
        """Judge an initialization section."""
        where = f"{self.name} {resource.uri[-80:]}"
        if len(self._movies) >= MAX_MOVIES:
            del self._movies[next(iter(self._movies))]
        movie = self._movies[resource] = read_movie(octets, where, self._report)
        if movie and len(self.all_tracks) < MAX_MOVIES:
            self.all_tracks += movie.values()

    def receive_part(
        self, sequence: int, index: int, part: Part, map_: Resource | None, octets: bytes
    ) -> None:
        """Judge a part. To be called in order; a part that is left out costs its segment's sum."""
        where = f"{self.name} part {sequence}.{index}"
        parts = self._parts.setdefault(sequence, _Parts(hashlib.sha256()))
        if parts.count == index:
            parts.digest.update(octets)
            parts.size += len(octets)
            parts.count += 1
        for old in [number for number in self._parts if number < sequence - 8]:
            del self._parts[old]
        tracks = self._movies.get(map_) if map_ is not None else None
        if not tracks or not is_fragmented(octets):
            return
        # what is wrong with its boxes is told of the segment, once
        media = read_media(octets, tracks, where, Report())
        run = media.leading if media is not None else None
        if run is None:
            self._report.add("segment-structure", where, "no samples that could be read")
            return
        if abs(run.seconds - part.duration) > DURATION_TOLERANCE:
            words = f"DURATION={part.duration}, samples last {run.seconds:.6f} s"
            self._report.add("part-duration", where, words)
        if part.is_independent and not run.has_sync:
            self._report.add("part-independent", where, "INDEPENDENT=YES, and no sync sample")
        elif run.has_sync and not part.is_independent:
            words = "a sync sample, without INDEPENDENT=YES"
            self._report.add("part-independent-missing", where, words)

    def receive_segment(self, segment: Segment, octets: bytes) -> None:
        """Judge a segment. To be called in order; what is left out ends the continuity."""
        where = f"{self.name} segment {segment.sequence}"
        self.judged += 1
        self._judge_bytes(segment, octets, where)
        self._measure(segment, octets)
        if segment.is_encrypted or not is_fragmented(octets):
            self._forget()
            if segment.is_encrypted:
                return
            if segment.map is not None:
                self._report.add("map-media", where, "EXT-X-MAP, and no boxes in the segment")
            elif not is_other_format(octets):
                words = f"begins with {octets[:8].hex() or 'nothing'}"
                self._report.add("segment-format", where, words)
            return
        if segment.map is None:
            self._report.add("map-missing", where, "fragmented MP4 without EXT-X-MAP")
            return
        tracks = self._movies.get(segment.map)
        if not tracks:
            self._forget()
            return
        media = read_media(octets, tracks, where, self._report)
        self.tracks = tracks
        if media is None:
            self._forget()
            return
        self._judge_continuity(segment, media, where)
        run = media.leading
        assert run is not None, "a segment that could be read has a sample"
        self._judge_duration(segment, media, run, where)
        playlist = self.playlist
        if playlist is not None and playlist.has_independent_segments and not run.first_is_sync:
            words = "EXT-X-INDEPENDENT-SEGMENTS, and the first sample is no sync sample"
            self._report.add("independent-segments", where, words)
        self.rates.samples += run.count
        self._judge_date(segment, run, where)
        self._previous = (segment, media)

    def finish(self) -> None:
        """Judge what nothing follows."""
        self._settle_doubt()

    def _forget(self) -> None:
        self._settle_doubt()
        self._previous = None

    def _settle_doubt(self) -> None:
        if self._doubt is not None:
            self._report.add("extinf-media", *self._doubt)
            self._doubt = None

    def _judge_bytes(self, segment: Segment, octets: bytes, where: str) -> None:
        parts = self._parts.pop(segment.sequence, None)
        # in the playlist that lists the segment, all its parts are listed as well
        if parts is None or parts.count != len(segment.parts):
            return
        if hashlib.sha256(octets).digest() != parts.digest.digest():
            words = f"{parts.count} parts of {parts.size} bytes, the segment has {len(octets)}"
            self._report.add("part-bytes", where, words)

    def _measure(self, segment: Segment, octets: bytes) -> None:
        rates = self.rates
        rates.bits += 8 * len(octets)
        rates.seconds += segment.duration
        target = self.playlist.target_duration if self.playlist is not None else 0
        if segment.duration >= max(target / 2, 0.1):
            rates.peak = max(rates.peak, 8 * len(octets) / segment.duration)

    def _judge_continuity(self, segment: Segment, media: Media, where: str) -> None:
        last: int | None = None
        if self._previous is not None:
            before, old = self._previous
            goes_on = before.sequence + 1 == segment.sequence and not segment.is_discontinuity
            if not goes_on:
                self._settle_doubt()
            else:
                last = old.sequences[-1]
                self._judge_join(before, old, segment, media, where)
        for sequence in media.sequences:
            if last is not None and sequence <= last:
                self._report.add("mfhd-sequence", where, f"{sequence} behind {last}")
                break
            last = sequence
        ends = [run.end / run.track.timescale for run in media.runs.values()]
        if len(ends) > 1 and max(ends) - min(ends) > 1.0:
            words = f"tracks end {max(ends) - min(ends):.3f} s apart"
            self._report.add("fragment-ends", where, words)

    def _judge_join(
        self, before: Segment, old: Media, segment: Segment, media: Media, where: str
    ) -> None:
        """Judge a segment against the one before it in the same continuity."""
        leading = media.leading
        for track_id, run in media.runs.items():
            former = old.runs.get(track_id)
            if former is None or _differ(former.track, run.track):
                words = f"track {track_id} is another, without EXT-X-DISCONTINUITY"
                self._report.add("discontinuity-missing", where, words)
                self._settle_doubt()
                return
            if run.start == former.end:
                continue
            timescale = run.track.timescale
            listed = (run.start - former.start) / timescale - before.duration
            words = (
                f"tfdt {run.start}, the samples before end at {former.end} "
                f"({(run.start - former.end) / timescale:+.3f} s)"
            )
            is_hole = run.start > former.end and abs(listed) <= DURATION_TOLERANCE
            self._report.add("media-hole" if is_hole else "tfdt-continuity", where, words)
            if is_hole and run is leading:
                self._doubt = None
        self._settle_doubt()

    def _judge_duration(self, segment: Segment, media: Media, run: Run, where: str) -> None:
        if abs(run.seconds - segment.duration) > DURATION_TOLERANCE:
            words = f"EXTINF {segment.duration}, samples last {run.seconds:.6f} s"
            self._doubt = (where, words)

    def _judge_date(self, segment: Segment, run: Run, where: str) -> None:
        """In a continuity, dates and timestamps go on together (6.2.4)."""
        if segment.date is None or len(self.timeline) >= MAX_CONTINUITIES:
            return
        mapped = segment.date - (run.start + run.first_offset) / run.track.timescale
        apart = mapped - self.timeline.setdefault(segment.discontinuity, mapped)
        if abs(apart) > DATE_TOLERANCE:
            words = f"the date is {apart:+.3f} s off the timestamps of this continuity"
            self._report.add("date-media", where, words)


def _differ(one: MovieTrack, other: MovieTrack) -> bool:
    return (one.configuration, one.timescale, one.kind) != (
        other.configuration,
        other.timescale,
        other.kind,
    )

"""What the API says of a stream in full, as JSON values: rates, tracks, counters, segments."""

from typing import Any, cast

from rapidrtmp.media.codec import AudioConfig, VideoConfig
from rapidrtmp.media.track import Track
from rapidrtmp.outputs.hls import HLSOutput
from rapidrtmp.stream.publication import Publication
from rapidrtmp.stream.stream import Stream
from rapidrtmp.web.description import rounded, timestamp


def describe_statistics(stream: Stream, now: float) -> dict[str, Any]:
    """Return the API's StreamStatistics. Nothing in it is secret.

    Args:
        stream: the stream.
        now: unix time.
    """
    statistics = stream.statistics
    return {
        "streamKey": stream.key,
        "state": stream.state.value,
        **_known(
            startedAt=timestamp(stream.started_at),
            publisher=_publisher(stream.publication),
        ),
        "publishers": statistics.publishers,
        "rates": {
            "bitrate": statistics.bitrate,
            **_known(
                frameRate=rounded(statistics.frame_rate),
                keyframeInterval=rounded(statistics.keyframe_interval),
            ),
        },
        "received": {
            "bytes": statistics.bytes_received,
            "videoBytes": statistics.video_sizes.sum,
            "audioBytes": statistics.audio_sizes.sum,
            "videoFrames": statistics.video_frames,
            "audioFrames": statistics.audio_frames,
            "keyframes": statistics.keyframes_received,
            **_known(lastFrameAt=timestamp(statistics.last_frame_at)),
        },
        "dropped": dict(sorted(statistics.dropped.items())),
        "jumps": statistics.jumps,
        "diagnosis": describe_diagnosis(stream),
        "tracks": [_track(track) for track in stream.tracks],
        "viewers": {"now": stream.viewers, "total": stream.viewer_count.total},
        "segments": {
            "sequence": stream.segmentation.sequence,
            **_known(targetDuration=stream.segmentation.target_duration),
            **_hls(stream, now),
        },
    }


def describe_diagnosis(stream: Stream) -> list[dict[str, Any]]:
    """Return what is wrong with a stream's encoder: the API's Diagnosis, the gravest first."""
    return [
        {
            "id": found.id,
            "since": timestamp(found.since),
            "problem": found.problem,
            "fix": found.fix,
        }
        for found in stream.diagnoses.current
    ]


def _publisher(publication: Publication | None) -> dict[str, Any] | None:
    if publication is None:
        return None
    request = publication.request
    return {
        "address": request.peer,
        "sessionId": request.session_id,
        "client": request.client,
        "since": timestamp(publication.since),
    }


def _track(track: Track) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": track.track_id,
        "kind": track.kind,
        "codec": track.codec,
        "rfc6381": track.config.rfc6381(),
        "timescale": track.timescale,
        "language": track.language,
    }
    if track.kind == "video":
        video = cast(VideoConfig, track.config)
        return {**told, "width": video.width, "height": video.height}
    audio = cast(AudioConfig, track.config)
    return {**told, "sampleRate": audio.sample_rate, "channels": audio.channels}


def _hls(stream: Stream, now: float) -> dict[str, Any]:
    """Return what the HLS output says; nothing when the stream has none."""
    for output in stream.outputs:
        if isinstance(output, HLSOutput):
            newest = output.last_segment_at
            return {
                "requestsHeld": output.held,
                "bytesWaiting": output.bytes_waiting,
                **_known(
                    age=None if newest is None else rounded(max(0.0, now - newest)),
                    lag=rounded(output.segment_lag),
                    storageError=output.storage_error,
                ),
            }
    return {}


def _known(**fields: object) -> dict[str, object]:
    """Leave out what is not known; a zero is."""
    return {name: value for name, value in fields.items() if value is not None}

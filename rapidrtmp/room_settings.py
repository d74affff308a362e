"""What each room wants to know, out of the settings: none of them knows the table."""

from rapidrtmp.amf.reader import Limits as AMFLimits
from rapidrtmp.config import Settings
from rapidrtmp.media.segmentation import Segmentation
from rapidrtmp.outputs.hls_maker import HLSSettings
from rapidrtmp.outputs.thumbnail import ThumbnailSettings
from rapidrtmp.outputs.thumbnail_worker import is_available
from rapidrtmp.protocol.fanout import PlaySettings
from rapidrtmp.protocol.server import ServerSettings
from rapidrtmp.rtmp.limits import Limits
from rapidrtmp.stream.manager import StreamSettings


def longest_window(settings: Settings) -> float:
    """Return how many seconds a playlist can play at most."""
    return settings.hls_max_segments * max(
        Segmentation.LONGEST_FIRST, settings.hls_segment_duration
    )


def stream_settings(settings: Settings) -> StreamSettings:
    """Return what the stream manager wants."""
    return StreamSettings(
        segment_duration=settings.hls_segment_duration,
        part_duration=settings.hls_part_duration if settings.hls_low_latency else 0.0,
        grace=settings.stream_grace,
        stop_cooldown=settings.stop_cooldown,
        max_streams=settings.max_concurrent_streams,
        max_viewers=settings.max_viewers_per_stream,
        max_bitrate=settings.max_ingest_bitrate,
        endlist_on_shutdown=settings.endlist_on_shutdown,
    )


def rtmp_limits(settings: Settings) -> Limits:
    """Return what an RTMP session wants."""
    return Limits(
        min_chunk_size=settings.rtmp_min_chunk_size,
        message=settings.rtmp_max_message_size,
        partial_bytes=max(Limits().partial_bytes, 2 * settings.rtmp_max_message_size),
        amf=AMFLimits(depth=settings.amf_max_depth, values=settings.amf_max_values),
    )


def server_settings(settings: Settings) -> ServerSettings:
    """Return what the RTMP server wants."""
    return ServerSettings(
        handshake_timeout=settings.rtmp_handshake_timeout,
        publish_timeout=settings.rtmp_publish_timeout,
        first_media_timeout=settings.rtmp_first_media_timeout,
        idle_timeout=settings.rtmp_idle_timeout,
        max_ahead=settings.ingest_max_ahead,
        max_connections=settings.rtmp_max_connections,
        max_ungranted=settings.rtmp_max_connections_per_ip,
        max_refusals=settings.max_refusals_per_ip,
    )


def play_settings(settings: Settings) -> PlaySettings:
    """Return what the players of RTMP and FLV want."""
    return PlaySettings(
        queue_bytes=settings.play_queue_bytes,
        queue_seconds=settings.play_queue_seconds,
        gop_cache_bytes=settings.gop_cache_bytes,
        latency=settings.play_latency,
    )


def hls_settings(settings: Settings) -> HLSSettings:
    """Return what the HLS outputs want."""
    return HLSSettings(
        settings.hls_max_segments,
        dvr_window=settings.dvr_window,
        max_blocked=max(HLSSettings().max_blocked, 4 * settings.max_viewers_per_stream),
        # It tells the life, which keeps protected media from strangers.
        stores_multivariant=not (settings.playback_auth or settings.webhook_on_play),
        image_width=settings.thumbnail_width if settings.thumbnails and is_available() else 0,
    )


def thumbnail_settings(settings: Settings, is_private: bool) -> ThumbnailSettings:
    """Return what the thumbnails of all streams have in common.

    Args:
        settings: those in force.
        is_private: whether viewers need leave.
    """
    return ThumbnailSettings(settings.thumbnail_width, settings.hls_max_segments, is_private)


def webhook_urls(settings: Settings) -> dict[str, str]:
    """Return where to send what, by the methods of `IHook`."""
    return {
        "on_publish": settings.webhook_on_publish,
        "on_unpublish": settings.webhook_on_unpublish,
        "on_play": settings.webhook_on_play,
        "on_segment": settings.webhook_on_segment,
    }

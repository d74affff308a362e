"""The metrics of thumbnails. Where PyAV is not installed there are none."""

from rapidrtmp.observability.row import Row, labelled, single

THUMBNAILS = (
    Row(
        "rapidrtmp_thumbnails_total",
        "counter",
        single(lambda s: s.sources.thumbnails.made if s.sources.thumbnails is not None else None),
        "Thumbnails that were made",
    ),
    Row(
        "rapidrtmp_thumbnail_failures_total",
        "counter",
        labelled(
            lambda s: s.sources.thumbnails.failures if s.sources.thumbnails is not None else None
        ),
        "Thumbnails that were asked for and could not be made",
        ("reason",),
    ),
    Row(
        "rapidrtmp_thumbnail_duration_seconds",
        "histogram",
        single(
            lambda s: s.sources.thumbnails.seconds if s.sources.thumbnails is not None else None
        ),
        "Time from a key frame's way to the process that decodes it to its thumbnail",
    ),
)

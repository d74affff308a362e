"""Tells twistd of the service: ``twistd rapidrtmp``."""

# ServiceMaker carries no annotations yet.
# mypy: allow-untyped-calls

from twisted.application.service import ServiceMaker

rapidrtmp = ServiceMaker(
    "RapidRTMP",
    "rapidrtmp.tap",
    "A live-streaming server: RTMP in, HLS out.",
    "rapidrtmp",
)

"""RapidRTMP: a live-streaming server. RTMP goes in, CMAF HLS comes out."""

__version__ = "0.1.0"

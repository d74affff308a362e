"""The table of all metrics: the exposition and the reference page are made from it.

Labels are bounded: stream keys by the streams that are not over, everything else by words that
stand in the code. Nothing that a client sends becomes a label before it was let in.
"""

from rapidrtmp.observability.listener_rows import LISTENERS
from rapidrtmp.observability.relay_rows import RELAYS
from rapidrtmp.observability.server_rows import (
    CONNECTIONS,
    HOOKS,
    HTTP,
    PLAYERS,
    PROCESS,
    RTMP,
    STORAGE,
)
from rapidrtmp.observability.stream_rows import HLS, INGEST, STREAMS, VIEWERS
from rapidrtmp.observability.thumbnail_rows import THUMBNAILS

GROUPS = (
    ("Streams", STREAMS),
    ("Ingest", INGEST),
    ("Viewers", VIEWERS),
    ("HLS", HLS),
    ("Thumbnails", THUMBNAILS),
    ("Storage", STORAGE),
    ("RTMP", RTMP),
    ("Players of RTMP and FLV", PLAYERS),
    ("Connections and access", CONNECTIONS),
    ("TLS and load balancers", LISTENERS),
    ("HTTP", HTTP),
    ("Hooks and events", HOOKS),
    ("Relays", RELAYS),
    ("Server", PROCESS),
)
TABLE = tuple(row for _, rows in GROUPS for row in rows)

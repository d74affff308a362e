"""The metrics of relays: streams to other servers, and from them."""

from rapidrtmp.observability.row import Row, labelled, single

RELAYS = (
    Row(
        "rapidrtmp_relays",
        "gauge",
        lambda s: s.sources.relays.states.items() if s.sources.relays is not None else (),
        "Relays, by what they do",
        ("direction", "state"),
    ),
    Row(
        "rapidrtmp_relay_retries_total",
        "counter",
        labelled(lambda s: s.sources.relays.retries if s.sources.relays is not None else None),
        "Connections of relays that failed or were lost",
        ("direction",),
    ),
    Row(
        "rapidrtmp_relay_bytes_total",
        "counter",
        labelled(
            lambda s: s.sources.relays.bytes_relayed if s.sources.relays is not None else None
        ),
        "Bytes of media that relays sent (push) or received (pull)",
        ("direction",),
    ),
    Row(
        "rapidrtmp_relay_frames_dropped_total",
        "counter",
        single(
            lambda s: s.sources.relays.samples_dropped if s.sources.relays is not None else None
        ),
        "Frames that pushes left out because the target took them too slowly",
    ),
)

"""What a scrape shows."""

from dataclasses import replace
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse
from twisted.internet.defer import Deferred, succeed

from rapidrtmp.histogram import Histogram
from rapidrtmp.interfaces import AccessDenied
from rapidrtmp.observability.disk import DiskSpace, Usage
from rapidrtmp.observability.metrics import StreamCollector
from rapidrtmp.observability.metrics_reference import markdown
from rapidrtmp.observability.table import TABLE
from rapidrtmp.stream.memory import MemoryBudget
from rapidrtmp.web.counters import DURATIONS
from tests.isobmff.fakes import VP8
from tests.observability.fakes import (
    FakeFeed,
    FakeHooks,
    FakeRTMP,
    FakeSending,
    FakeSite,
    FakeStorage,
    FakeTokens,
    FakeUploads,
    MetricsCase,
    SegmentingOutput,
)
from tests.stream.fakes import NOW, request

CONTRACT: list[tuple[str, str, tuple[str, ...]]] = [
    ("rapidrtmp_active_streams", "gauge", ()),
    ("rapidrtmp_total_streams", "untyped", ()),
    ("rapidrtmp_streams_started_total", "counter", ()),
    ("rapidrtmp_streams_stopped_total", "counter", ()),
    ("rapidrtmp_stream_duration_seconds", "histogram", ()),
    ("rapidrtmp_frames_received_total", "counter", ("stream_key", "type")),
    ("rapidrtmp_frames_dropped_total", "counter", ("stream_key", "reason")),
    ("rapidrtmp_frame_size_bytes", "histogram", ("type",)),
    ("rapidrtmp_keyframes_total", "counter", ()),
    ("rapidrtmp_segments_created_total", "counter", ()),
    ("rapidrtmp_segment_duration_seconds", "histogram", ()),
    ("rapidrtmp_segment_size_bytes", "histogram", ()),
    ("rapidrtmp_active_viewers", "gauge", ()),
    ("rapidrtmp_total_viewers", "untyped", ()),
    ("rapidrtmp_viewer_sessions_total", "counter", ()),
    ("rapidrtmp_http_requests_total", "counter", ("method", "path", "status")),
    ("rapidrtmp_http_request_duration_seconds", "histogram", ("method", "path")),
    ("rapidrtmp_rtmp_connections_total", "counter", ()),
    ("rapidrtmp_rtmp_disconnects_total", "counter", ()),
    ("rapidrtmp_rtmp_errors_total", "counter", ()),
    ("rapidrtmp_rtmp_bytes_received_total", "counter", ()),
    ("rapidrtmp_bytes_stored", "gauge", ()),
    ("rapidrtmp_segments_stored", "gauge", ()),
]
"""Names, types and labels that dashboards of others rely on."""

DOUBLES = [str(1024.0 * 2**k) for k in range(10)]

BUCKETS: dict[str, list[str]] = {
    "rapidrtmp_stream_duration_seconds": [str(10.0 * 2**k) for k in range(10)],
    "rapidrtmp_frame_size_bytes": DOUBLES,
    "rapidrtmp_segment_duration_seconds": ["1.0", "2.0", "3.0", "4.0", "5.0", "10.0"],
    "rapidrtmp_segment_size_bytes": [str(10240.0 * 2**k) for k in range(10)],
    "rapidrtmp_http_request_duration_seconds": (
        "0.005 0.01 0.025 0.05 0.1 0.25 0.5 1.0 2.5 5.0 10.0".split()
    ),
}


class ContractTests(MetricsCase):
    def setUp(self) -> None:
        """Let everything happen once, so that every metric has a series."""
        super().setUp()
        encoder = self.encoder()
        encoder.run(1)
        self.publish("other")
        self.refused("third", "wrong")
        self.stream.statistics.drop("short", 3)
        site = FakeSite()
        site.counters.count(b"GET", "/health", 200, 0.1, 5)
        self.sources = replace(self.sources, site=site)
        self.registry = self.make_registry()
        self.families = list(parse(generate_latest(self.registry).decode()))

    def test_contract(self) -> None:
        """The names, types and labels of the contract are all there, exactly."""
        text = generate_latest(self.registry).decode()
        for name, kind, labels in CONTRACT:
            self.assertIn(f"# TYPE {name} {kind}\n", text)
            samples = [
                sample
                for family in self.families
                for sample in family.samples
                if sample.name in (name, f"{name}_count")
            ]
            self.assertTrue(samples, name)
            for sample in samples:
                self.assertEqual(set(sample.labels), set(labels), name)

    def test_buckets(self) -> None:
        """Histograms have the bounds of the contract."""
        for family in self.families:
            if family.name in BUCKETS:
                bounds = {
                    sample.labels["le"]: None
                    for sample in family.samples
                    if sample.name == f"{family.name}_bucket"
                }
                self.assertEqual(list(bounds), [*BUCKETS[family.name], "+Inf"], family.name)

    def test_forty(self) -> None:
        """There are more than 40 metrics of our own, and those of the process."""
        ours = {family.name for family in self.families if family.name.startswith("rapidrtmp_")}
        self.assertGreater(len(ours), 40)
        self.assertEqual(len(ours), len(TABLE))
        text = generate_latest(self.registry).decode()
        for name in ("process_cpu_seconds_total", "process_open_fds", "python_info"):
            self.assertIn(f"# TYPE {name} ", text)
        self.assertNotIn("_created ", text)

    def test_openmetrics(self) -> None:
        """The OpenMetrics form is valid to a strict parser, and tells the same."""
        text = generate_openmetrics(self.registry, version="1.0.0").decode()
        families = {family.name: family for family in parse_openmetrics(text)}
        self.assertEqual(families["rapidrtmp_frames_received"].type, "counter")
        self.assertEqual(families["rapidrtmp_total_streams"].type, "unknown")
        self.assertIn('rapidrtmp_frames_received_total{stream_key="key",type="video"} 25.0', text)

    def test_table(self) -> None:
        """Every row is a well-formed metric with words of its own."""
        self.assertEqual(len({row.name for row in TABLE}), len(TABLE))
        self.assertEqual(len({row.help for row in TABLE}), len(TABLE))
        for row in TABLE:
            self.assertRegex(row.name, r"^rapidrtmp_[a-z_]+$")
            self.assertIs(row.kind == "counter", row.name.endswith("_total"), row.name)
            self.assertNotIn("|", row.help)
            self.assertFalse(row.help.endswith("."), row.name)

    def test_reference(self) -> None:
        """The reference page is what the table says, and names all that is scraped.

        ``make docs`` writes it anew.
        """
        page = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
        self.assertEqual(page.read_text(encoding="utf-8"), markdown())
        for family in self.families:
            if family.name.startswith("rapidrtmp_"):
                ending = "_total" if family.type == "counter" else ""
                self.assertIn(f"`{family.name}{ending}`", markdown())


class StreamTests(MetricsCase):
    def test_diagnosis(self) -> None:
        """What is wrong with an encoder is shown while it is there."""
        encoder = self.encoder(gop=8.0)
        for _ in range(18):
            encoder.run(1)
            self.manager.tick()
        labels = {"stream_key": "key", "diagnosis": "keyframe_interval"}
        self.assertEqual(self.value("rapidrtmp_stream_diagnosis", **labels), 1)
        encoder.publication.close("left")
        self.assertIsNone(self.value("rapidrtmp_stream_diagnosis", **labels))

    def test_stream(self) -> None:
        """A live stream's own figures are shown under its key."""
        encoder = self.encoder(gop=1.0)
        for _ in range(3):
            encoder.run(1)
            self.manager.tick()
        statistics = self.stream.statistics
        statistics.drop("short", 2)
        output = self.output
        assert isinstance(output, SegmentingOutput)
        output.held, output.last_segment_at, output.segment_lag = 4, self.clock.seconds() - 1.5, 0.2
        output.dvr_seconds, output.dvr_bytes = 3600.5, 10**9
        for name, value in [
            ("rapidrtmp_stream_live", 1),
            ("rapidrtmp_stream_bytes_received_total", statistics.bytes_received),
            ("rapidrtmp_stream_bitrate_bits_per_second", statistics.bitrate),
            ("rapidrtmp_stream_frame_rate", 25),
            ("rapidrtmp_stream_keyframe_interval_seconds", 1),
            ("rapidrtmp_stream_timestamp_jumps_total", 0),
            ("rapidrtmp_stream_publications_total", 1),
            ("rapidrtmp_stream_viewers", 0),
            ("rapidrtmp_stream_segment_age_seconds", 1.5),
            ("rapidrtmp_stream_segment_lag_seconds", 0.2),
            ("rapidrtmp_stream_dvr_seconds", 3600.5),
            ("rapidrtmp_stream_dvr_bytes", 10**9),
        ]:
            found = self.value(name, stream_key="key")
            assert found is not None, name
            self.assertAlmostEqual(found, value, 3, name)
        self.assertGreater(statistics.bitrate, 0)
        self.assertEqual(self.value("rapidrtmp_playlist_requests_held"), 4)
        frames = "rapidrtmp_frames_received_total"
        self.assertEqual(self.value(frames, stream_key="key", type="video"), 75)
        self.assertGreater(self.value(frames, stream_key="key", type="audio") or 0, 100)
        dropped = "rapidrtmp_frames_dropped_total"
        self.assertEqual(self.value(dropped, stream_key="key", reason="short"), 2)

    def test_totals(self) -> None:
        """Totals grow on with live streams, and do not fall when a stream ends."""
        names = [
            "rapidrtmp_total_streams",
            "rapidrtmp_streams_started_total",
            "rapidrtmp_publications_total",
            "rapidrtmp_keyframes_total",
            "rapidrtmp_media_bytes_received_total",
            "rapidrtmp_total_viewers",
            "rapidrtmp_viewer_sessions_total",
        ]
        sizes = [("rapidrtmp_frame_size_bytes_count", kind) for kind in ("video", "audio")]
        encoder = self.encoder(gop=1.0)
        encoder.run(2)
        self.stream.viewer_count.total += 3
        before = [self.value(name) for name in names]
        sizes_before = [self.value(name, type=kind) for name, kind in sizes]
        self.assertEqual(before[:4], [1, 1, 1, 2])
        self.assertEqual(before[-2:], [3, 3])
        self.assertEqual(sizes_before[0], 50)
        self.assertEqual(self.value("rapidrtmp_streams_stopped_total"), 0)
        self.successResultOf(self.manager.stop("key"))
        self.assertEqual([self.value(name) for name in names], before)
        self.assertEqual([self.value(name, type=kind) for name, kind in sizes], sizes_before)
        self.assertEqual(self.value("rapidrtmp_streams_stopped_total"), 1)
        self.assertEqual(self.value("rapidrtmp_stream_duration_seconds_count"), 1)
        self.encoder("again").run(1)
        self.assertEqual(self.value("rapidrtmp_total_streams"), 2)
        self.assertEqual(self.value("rapidrtmp_frame_size_bytes_count", type="video"), 75)

    def test_states(self) -> None:
        """Streams are counted by state; the live ones are the active ones."""
        encoder = self.encoder()
        states = "rapidrtmp_streams"
        self.assertEqual(self.value(states, state="connecting"), 1)
        self.assertEqual(self.value("rapidrtmp_active_streams"), 0)
        encoder.run(1)
        self.assertEqual(self.value(states, state="live"), 1)
        self.assertEqual(self.value("rapidrtmp_active_streams"), 1)
        encoder.publication.close("gone")
        self.assertEqual(self.value(states, state="idle"), 1)
        self.assertEqual(self.value(states, state="live"), 0)
        self.assertIsNone(self.value(states, state="stopped"))

    def test_idle(self) -> None:
        """A stream without its publisher has counters, but no rates and no age of segments."""
        encoder = self.encoder()
        for _ in range(3):
            encoder.run(1)
            self.manager.tick()
        encoder.publication.close("gone")
        self.assertEqual(self.value("rapidrtmp_stream_live", stream_key="key"), 0)
        series = self.series(stream_key="key")
        self.assertIn("rapidrtmp_stream_bytes_received_total", series)
        for name in ("bitrate_bits_per_second", "frame_rate", "segment_age_seconds"):
            self.assertNotIn(f"rapidrtmp_stream_{name}", series)

    def test_not_packaged(self) -> None:
        """Of a stream that no segments come of, no age of segments grows."""
        self.encoder(tracks=(VP8,)).run(3)
        self.assertEqual(self.value("rapidrtmp_stream_live", stream_key="key"), 1)
        self.assertNotIn("rapidrtmp_stream_segment_age_seconds", self.series(stream_key="key"))

    def test_series_go_away(self) -> None:
        """A stream that is over leaves no series behind."""
        self.encoder().run(1)
        self.encoder("other").run(1)
        self.assertGreater(len(self.series(stream_key="key")), 8)
        self.successResultOf(self.manager.stop("key"))
        self.assertEqual(self.series(stream_key="key"), set())
        self.assertGreater(len(self.series(stream_key="other")), 8)

    def test_cardinality(self) -> None:
        """Thousands of keys that nobody was let in with make no series (B35)."""
        self.refused("k", "wrong")
        before = len(generate_latest(self.registry).splitlines())
        for n in range(1000):
            self.refused(f"key{n}", "wrong")
            self.refused(f"bad key {n}")
            self.failureResultOf(
                self.manager.subscribe(request(f"key{n}", "wrong", action="play")), AccessDenied
            )
        after = len(generate_latest(self.registry).splitlines())
        self.assertLessEqual(after - before, 2)  # another reason, another action
        refusals = "rapidrtmp_access_refusals_total"
        self.assertEqual(self.value(refusals, action="publish", reason="denied"), 1001)
        self.assertEqual(self.value(refusals, action="publish", reason="bad_name"), 1000)
        self.assertEqual(self.value(refusals, action="play", reason="denied"), 1000)


class ServerTests(MetricsCase):
    def test_server(self) -> None:
        """Everything besides streams is shown as it was counted."""
        site = FakeSite(connections=3, sending=[FakeSending(1000), FakeSending(24)])
        site.counters.count(b"GET", "/health", 200, 0.02, 5)
        site.counters.connections_total, site.counters.refused_connections = 9, 2
        errors = {"violation": 2, "too_many_connections": 3, "too_many_refusals": 4}
        storage = FakeStorage(7000, 6, errors={"put": 2, "get": 0})
        storage.durations["put"].observe(0.5)
        uploads = FakeUploads(
            500, 2, NOW - 3, files_stored=90, failures=5, failing_since=NOW - 8, files_lost=1
        )
        uploads.lag.observe(0.5)
        calls = {("on_publish", "ok"): 2, ("on_segment", "failed"): 1}

        def now(_: object, path: Path) -> Deferred[Usage]:
            return succeed(Usage(100, 40))

        disk = DiskSpace(Path("x"), self.clock, now)
        disk.start()
        self.addCleanup(disk.stop)
        memory = MemoryBudget(1000, lambda: [{"window": 20}, {"window": 10}], lambda: [])
        memory.trimmed = 4
        self.sources = replace(
            self.sources,
            rtmp=FakeRTMP({object()}, 4, 3, 12345, errors),
            site=site,
            storage=storage,
            uploads=uploads,
            tokens=FakeTokens(11),
            hooks=FakeHooks(calls, 6, 1),
            feed=FakeFeed(2),
            disk=disk,
            memory=memory,
            started=NOW - 100,
        )
        self.sources.lag.histogram.observe(0.02)
        self.registry = self.make_registry()
        self.manager.draining = True
        cases: list[tuple[str, dict[str, str], float]] = [
            ("connections", {"protocol": "rtmp"}, 1),
            ("connections", {"protocol": "http"}, 3),
            ("connections_refused_total", {"protocol": "rtmp"}, 7),
            ("connections_refused_total", {"protocol": "http"}, 2),
            ("rtmp_connections_total", {}, 4),
            ("rtmp_disconnects_total", {}, 3),
            ("rtmp_errors_total", {}, 9),
            ("rtmp_errors_by_reason_total", {"reason": "violation"}, 2),
            ("rtmp_bytes_received_total", {}, 12345),
            ("http_requests_total", {"method": "GET", "path": "/health", "status": "2xx"}, 1),
            ("http_request_duration_seconds_sum", {"method": "GET", "path": "/health"}, 0.02),
            ("http_connections_total", {}, 9),
            ("http_bytes_sent_total", {}, 5),
            ("subscriber_queue_bytes", {"protocol": "http"}, 1024),
            ("bytes_stored", {}, 7000),
            ("segments_stored", {}, 6),
            ("storage_errors_total", {"operation": "put"}, 2),
            ("storage_operation_duration_seconds_sum", {"operation": "put"}, 0.5),
            ("storage_operation_duration_seconds_count", {"operation": "get"}, 0),
            ("upload_queue_bytes", {}, 500),
            ("upload_queue_files", {}, 2),
            ("upload_queue_age_seconds", {}, 3),
            ("upload_files_total", {}, 90),
            ("upload_lag_seconds_count", {}, 1),
            ("upload_failures_total", {}, 5),
            ("upload_files_lost_total", {}, 1),
            ("storage_outage_seconds", {}, 8),
            ("disk_free_bytes", {}, 40),
            ("disk_size_bytes", {}, 100),
            ("publish_tokens", {}, 11),
            ("hook_calls_total", {"hook": "on_publish", "outcome": "ok"}, 2),
            ("hook_calls_waiting", {}, 6),
            ("hook_calls_dropped_total", {}, 1),
            ("event_feed_clients", {}, 2),
            ("uptime_seconds", {}, 100),
            ("memory_budget_bytes", {}, 1000),
            ("media_memory_bytes", {"kind": "window"}, 30),
            ("media_memory_bytes", {"kind": "past"}, 0),
            ("segments_trimmed_total", {}, 4),
            ("trimmed_streams", {}, 0),
            ("draining", {}, 1),
            ("reactor_lag_seconds_count", {}, 1),
            ("reactor_lag_recent_seconds", {}, 0),
            ("streams_limit", {}, 100),
            ("viewers_per_stream_limit", {}, 1000),
        ]
        for name, labels, value in cases:
            self.assertEqual(self.value(f"rapidrtmp_{name}", **labels), value, name)

    def test_absent(self) -> None:
        """What this server does not have shows no value, and harms nothing."""
        text = generate_latest(self.registry).decode()
        for name in (
            "memory_budget_bytes",
            "disk_free_bytes",
            "hook_calls_waiting",
            "event_feed_clients",
        ):
            self.assertIn(f"# TYPE rapidrtmp_{name} gauge\n", text)
            self.assertIsNone(self.value(f"rapidrtmp_{name}"))

    def test_histogram(self) -> None:
        """Buckets are cumulative and end with the count."""
        durations = Histogram(DURATIONS)
        for seconds in (0.001, 0.3, 0.4, 60):
            durations.observe(seconds)
        site = FakeSite()
        site.counters.durations["GET", "/a"] = durations
        self.sources = replace(self.sources, site=site)
        self.registry = self.make_registry()
        name = "rapidrtmp_http_request_duration_seconds"
        labels = {"method": "GET", "path": "/a"}
        counts = [
            self.value(f"{name}_bucket", **labels, le=bound)
            for bound in ("0.005", "0.25", "0.5", "10.0", "+Inf")
        ]
        self.assertEqual(counts, [1, 1, 3, 3, 4])
        self.assertEqual(self.value(f"{name}_count", **labels), 4)
        self.assertAlmostEqual(self.value(f"{name}_sum", **labels) or 0, 60.701)

    def test_names_are_known(self) -> None:
        """A second collector of the same names is refused by the registry."""
        with self.assertRaises(ValueError):
            self.registry.register(StreamCollector(self.sources, self.clock.seconds))

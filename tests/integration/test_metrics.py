"""Metrics of a real server while somebody publishes and somebody watches."""

from prometheus_client.parser import text_string_to_metric_families as parse

from rapidrtmp.observability.table import TABLE
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import wait_for
from tests.integration.server import Server

LABEL = f'{{stream_key="{KEY}"}}'


class MetricsTests(IntegrationTestCase):
    def series(self, server: Server) -> dict[str, float]:
        """Scrape; return each series, as it is written, with its value."""
        lines = server.get("/metrics").text.splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def test_live(self) -> None:
        """What flows is counted at every station, and a stream's series end with it."""
        server = self.serve()
        self.publish(server, "plain", server.mint(KEY), live=True, loop=True)
        viewer = self.watch(server)
        wait_for(lambda: viewer.segments() > 2, "three segments", 40)
        rate = "rapidrtmp_stream_frame_rate"
        wait_for(lambda: server.metric(rate, f'stream_key="{KEY}"'), "a frame rate")
        families = {family.name for family in parse(server.get("/metrics").text)}
        for row in TABLE:
            name = row.name.removesuffix("_total") if row.kind == "counter" else row.name
            self.assertIn(name, families)
        found = self.series(server)
        for name in (
            "rapidrtmp_active_streams",
            "rapidrtmp_total_streams",
            "rapidrtmp_publications_total",
            "rapidrtmp_keyframes_total",
            f'rapidrtmp_frames_received_total{{stream_key="{KEY}",type="video"}}',
            f'rapidrtmp_frames_received_total{{stream_key="{KEY}",type="audio"}}',
            'rapidrtmp_frame_size_bytes_count{type="video"}',
            f"rapidrtmp_stream_bitrate_bits_per_second{LABEL}",
            f"rapidrtmp_stream_frame_rate{LABEL}",
            f"rapidrtmp_stream_keyframe_interval_seconds{LABEL}",
            f"rapidrtmp_stream_segment_age_seconds{LABEL}",
            "rapidrtmp_segments_created_total",
            "rapidrtmp_segment_duration_seconds_count",
            "rapidrtmp_segment_size_bytes_sum",
            "rapidrtmp_active_viewers",
            "rapidrtmp_total_viewers",
            f"rapidrtmp_stream_viewers{LABEL}",
            "rapidrtmp_bytes_stored",
            "rapidrtmp_segments_stored",
            "rapidrtmp_upload_files_total",
            'rapidrtmp_storage_operation_duration_seconds_count{operation="put"}',
            "rapidrtmp_disk_free_bytes",
            "rapidrtmp_rtmp_connections_total",
            "rapidrtmp_rtmp_bytes_received_total",
            'rapidrtmp_connections{protocol="rtmp"}',
            'rapidrtmp_connections{protocol="http"}',
            "rapidrtmp_publish_tokens",
            "rapidrtmp_http_bytes_sent_total",
            "rapidrtmp_reactor_lag_seconds_count",
            "process_resident_memory_bytes",
        ):
            self.assertGreater(found.get(name, 0), 0, name)
        routes = {
            name.split('path="')[1].split('"')[0]
            for name in found
            if name.startswith("rapidrtmp_http_requests_total")
        }
        self.assertLessEqual(
            {
                "/api/v1/publish",
                "/live/:streamKey/index.m3u8",
                "/live/:streamKey/:life/:playlist",
                "/live/:streamKey/:life/:track/:segment",
                "/metrics",
            },
            routes,
        )
        for route in routes:
            self.assertNotIn(KEY, route)
        server.post(f"/api/v1/streams/{KEY}/stop")
        found = self.series(server)
        self.assertEqual([name for name in found if KEY in name], [])
        self.assertEqual(found["rapidrtmp_streams_stopped_total"], 1)
        self.assertEqual(found["rapidrtmp_stream_duration_seconds_count"], 1)

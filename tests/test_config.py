"""Tests for `rapidrtmp.config`, `rapidrtmp.config.kinds` and `rapidrtmp.config.reference`."""

import dataclasses
import re
import socket
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp import config
from rapidrtmp.config import TABLE, SettingError, Settings, load, reference
from rapidrtmp.config.kinds import (
    endpoint_descriptions,
    parse_duration,
    show_duration,
    show_size,
)
from rapidrtmp.observability.levels import LogLevels

DURATIONS = [
    ("0", 0.0),
    ("0s", 0.0),
    ("2s", 2.0),
    ("+2s", 2.0),
    ("500ms", 0.5),
    ("300ms", 0.3),
    ("1h30m", 5400.0),
    ("1.5h", 5400.0),
    ("1h0.5m10ms", 3630.01),
    (".5s", 0.5),
    ("1.s", 1.0),
    ("1us", 1e-6),
    ("1\u00b5s", 1e-6),
    ("1\u03bcs", 1e-6),
    ("1500ns", 1.5e-6),
    ("30m1h", 5400.0),
]
NOT_DURATIONS = [
    "", "+", "2", "2 s", "s", ".s", "-2s", "2S", "1h30", "2d", "1e3s", "1..5s", "\u0662s", "++2s",
    "inf", "nan", "2s\n", "9" * 19 + "s",
]  # fmt: skip

# The settings of the contract with its defaults, as it writes them.
CONTRACT = {
    "HTTP_ADDR": ":8080",
    "RTMP_ADDR": ":1935",
    "RTMP_INGEST_ADDR": "rtmp://localhost:1935",
    "STORAGE_TYPE": "local",
    "STORAGE_DIR": "./data/streams",
    "GCS_PROJECT_ID": "",
    "GCS_BUCKET_NAME": "",
    "GCS_BASE_DIR": "streams",
    "HLS_SEGMENT_DURATION": "2s",
    "HLS_MAX_SEGMENTS": "10",
    "DEFAULT_TOKEN_EXPIRATION": "1h",
    "MAX_TOKEN_EXPIRATION": "24h",
    "MAX_CONCURRENT_STREAMS": "100",
    "MAX_VIEWERS_PER_STREAM": "1000",
}

TLS = {"TLS_CERT": "/a.pem", "TLS_KEY": "/a.key"}
GCS = {"STORAGE_TYPE": "gcs", "GCS_BUCKET_NAME": "b", "GCS_PROJECT_ID": "p"}

ACCEPTED: list[tuple[str, str, Any]] = [
    ("HTTP_ADDR", ":0", ":0"),
    ("HTTP_ADDR", "127.0.0.1:8080", "127.0.0.1:8080"),
    ("HTTP_ADDR", "[::1]:8080", "[::1]:8080"),
    ("HTTP_ADDR", "[fe80::1%lo]:8080", "[fe80::1%lo]:8080"),
    ("HTTP_ADDR", "localhost:8080", "localhost:8080"),
    ("HTTP_ADDR", "tcp:8080", "tcp:8080"),
    ("HTTP_ADDR", "tcp:port=8080:interface=127.0.0.1", "tcp:port=8080:interface=127.0.0.1"),
    ("HTTP_ADDR", "unix:/run/rapidrtmp.sock", "unix:/run/rapidrtmp.sock"),
    ("HTTP_ADDR", "haproxy:tcp:8080", "haproxy:tcp:8080"),
    ("RTMP_INGEST_ADDR", "rtmps://live.example.org/", "rtmps://live.example.org"),
    ("RTMP_INGEST_ADDR", "rtmp://[::1]:1936", "rtmp://[::1]:1936"),
    ("HLS_MAX_SEGMENTS", "3", 3),
    ("HLS_SEGMENT_DURATION", "500ms", 0.5),
    ("INGEST_MAX_AHEAD", "0", 0.0),
    ("STREAM_GRACE", "0s", 0.0),
    ("RTMP_MAX_MESSAGE_SIZE", "262144", 262144),
    ("RTMP_MAX_MESSAGE_SIZE", "512KiB", 524288),
    ("AUTH_REQUIRED", "No", False),
    ("AUTH_REQUIRED", "1", True),
    ("STORAGE_TYPE", "memory", "memory"),
    ("STORAGE_TYPE", "another_packages-1", "another_packages-1"),
    ("CDN_BASE_URL", "https://cdn.example.org/live/", "https://cdn.example.org/live"),
    ("STORAGE_MAX_WAITING", "1GiB", 1 << 30),
    ("MIN_FREE_DISK", "0", 0),
    ("MEMORY_BUDGET", "24MiB", 24 << 20),
    ("MAX_INGEST_BITRATE", "0", 0),
    ("MAX_INGEST_BITRATE", "8000000", 8_000_000),
    ("MAX_REFUSALS_PER_IP", "0", 0),
    ("TRUSTED_PROXIES", "127.0.0.1", (ip_network("127.0.0.1/32"),)),
    ("TRUSTED_PROXIES", "10.0.0.0/8, fd00::/8", (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))),
    ("WEBHOOK_ON_PLAY", "http://[::1]:9000/play?x=1", "http://[::1]:9000/play?x=1"),
    ("WATCHDOG_TIMEOUT", "0", 0.0),
    ("DRAIN_TIMEOUT", "0s", 0.0),
    ("LOG_FORMAT", "json", "json"),
    ("LOG_LEVEL", "debug", LogLevels("debug")),
    ("LOG_LEVEL", "rapidrtmp.web=warn", LogLevels("info", (("rapidrtmp.web", "warn"),))),
    (
        "LOG_LEVEL",
        "error, rapidrtmp.protocol=debug,twisted=info",
        LogLevels("error", (("rapidrtmp.protocol", "debug"), ("twisted", "info"))),
    ),
    ("STORAGE_DIR", "/srv/streams", Path("/srv/streams")),
]

REFUSED = [
    ("HTTP_ADDR", "8080"),
    ("HTTP_ADDR", ":http"),
    ("HTTP_ADDR", ":65536"),
    ("HTTP_ADDR", "tcp:65536"),
    ("HTTP_ADDR", "tcp6:port=65536"),
    ("HTTP_ADDR", "tcp:http"),
    ("HTTP_ADDR", "tcp:"),
    ("HTTP_ADDR", "[::1:8080"),
    ("HTTP_ADDR", "[127.0.0.1]:8080"),
    ("HTTP_ADDR", "::1:8080"),
    ("HTTP_ADDR", "a host:8080"),
    ("HTTP_ADDR", "http://localhost:8080"),
    ("HTTP_ADDR", "bogus:tcp:8080"),
    ("HTTP_ADDR", "stdio:"),
    ("HTTP_ADDR", "ssl:8443:privateKey=/no/such/file"),
    ("HTTP_ADDR", "systemd:domain=INET:index=7"),
    ("RTMP_INGEST_ADDR", "localhost:1935"),
    ("RTMP_INGEST_ADDR", "http://localhost"),
    ("RTMP_INGEST_ADDR", "rtmp://"),
    ("RTMP_INGEST_ADDR", "rtmp://localhost:99999"),
    ("RTMP_INGEST_ADDR", "rtmp://[::1"),
    ("RTMP_INGEST_ADDR", "rtmp://localhost/live"),
    ("RTMP_INGEST_ADDR", "rtmp://localhost?x=y"),
    ("RTMP_INGEST_ADDR", "rtmp://user@localhost"),
    ("RTMP_INGEST_ADDR", "rtmp://local host"),
    ("HLS_MAX_SEGMENTS", "2"),
    ("HLS_MAX_SEGMENTS", "-5"),
    ("HLS_MAX_SEGMENTS", "5.0"),
    ("HLS_MAX_SEGMENTS", "1_0"),
    ("HLS_MAX_SEGMENTS", "9" * 5000),
    ("HLS_SEGMENT_DURATION", "2"),
    ("HLS_SEGMENT_DURATION", "0"),
    ("HLS_SEGMENT_DURATION", "-2s"),
    ("HLS_SEGMENT_DURATION", "10h"),
    ("INGEST_MAX_AHEAD", "1ms"),
    ("RTMP_MAX_MESSAGE_SIZE", "10MB"),
    ("RTMP_MAX_MESSAGE_SIZE", "1GiB"),
    ("RTMP_MAX_MESSAGE_SIZE", "0"),
    ("RTMP_MIN_CHUNK_SIZE", "0"),
    ("AUTH_REQUIRED", "maybe"),
    ("STORAGE_TYPE", "S3"),
    ("STORAGE_TYPE", "a b"),
    ("CDN_BASE_URL", "cdn.example.org"),
    ("CDN_BASE_URL", "https://cdn.example.org/?x=1"),
    ("CDN_BASE_URL", "https://cdn.example.org/#x"),
    ("CDN_BASE_URL", "ftp://cdn.example.org"),
    ("STORAGE_MAX_WAITING", "0"),
    ("MIN_FREE_DISK", "1"),
    ("MEMORY_BUDGET", "15MiB"),
    ("MAX_INGEST_BITRATE", "10"),
    ("MAX_REFUSALS_PER_IP", "-1"),
    ("TRUSTED_PROXIES", "10.0.0.1/8"),
    ("TRUSTED_PROXIES", "localhost"),
    ("TRUSTED_PROXIES", ","),
    ("WEBHOOK_ON_PLAY", "http://"),
    ("WEBHOOK_ON_PLAY", "http://user@localhost"),
    ("WEBHOOK_ON_PLAY", "http://localhost:0/"),
    ("WEBHOOK_ON_PLAY", "http://localhost/a b"),
    ("LOG_FORMAT", "xml"),
    ("LOG_LEVEL", "verbose"),
    ("LOG_LEVEL", "info,warn"),
    ("LOG_LEVEL", "info,=warn"),
    ("LOG_LEVEL", "info,a=warn,a=info"),
    ("LOG_LEVEL", "info,a b=warn"),
    ("WATCHDOG_TIMEOUT", "500ms"),
    ("STORAGE_DIR", "/srv/\x07"),
    ("GCS_BASE_DIR", "a\nb"),
]


class DurationTests(SynchronousTestCase):
    """Durations are Go's."""

    def test_accepted(self) -> None:
        """Every form that Go's ParseDuration reads gives exact seconds."""
        for text, seconds in DURATIONS:
            self.assertEqual(parse_duration(text), seconds, text)

    def test_refused(self) -> None:
        """A missing unit, a sign and anything else raise ValueError."""
        for text in NOT_DURATIONS:
            with self.assertRaises(ValueError, msg=repr(text)):
                parse_duration(text)

    @given(st.integers(0, 10**16))
    @settings(max_examples=200, deadline=None)
    def test_round_trip(self, microseconds: int) -> None:
        """What is shown is read back as the same value."""
        seconds = microseconds / 1_000_000
        self.assertEqual(parse_duration(show_duration(seconds)), seconds)

    @given(st.text(alphabet="0123456789.+-hmsunµ ", max_size=12))
    @settings(max_examples=300, deadline=None)
    def test_arbitrary_text(self, text: str) -> None:
        """Any text gives a duration of at least zero or ValueError."""
        try:
            self.assertGreaterEqual(parse_duration(text), 0)
        except ValueError:
            pass


class LoadTests(SynchronousTestCase):
    """From environment and options to `Settings`."""

    def test_contract(self) -> None:
        """Each setting of the contract is there and has its default."""
        names = {row.name for row in TABLE}
        self.assertEqual(set(CONTRACT) - names, set())
        self.assertEqual(load({}), load(CONTRACT))

    def test_defaults_are_allowed(self) -> None:
        """Each default, shown, is read back as itself by its own kind."""
        defaults = Settings()
        for row in TABLE:
            value = getattr(defaults, row.attribute)
            text = row.kind.show(value)
            if text:
                self.assertEqual(row.kind.parse(text), value, row.name)

    def test_accepted(self) -> None:
        """Values that make sense are read, from the environment and from options alike."""
        for name, text, value in ACCEPTED:
            for got in (load({name: text}), load({}, {name.lower().replace("_", "-"): text})):
                self.assertEqual(getattr(got, name.lower()), value, (name, text))

    def test_refused(self) -> None:
        """Other values raise one line with the name, the value and what is allowed."""
        for name, text in REFUSED:
            error = self.assertRaises(SettingError, load, {name: text})
            line = str(error)
            self.assertTrue(line.startswith(f"{name}="), line)
            self.assertIn("must", line)
            self.assertTrue(line.isprintable(), line)
            if text.isprintable() and len(text) < 200:
                self.assertTrue(line.startswith(f"{name}={text}: "), line)
            self.assertLess(len(line), 500)

    def test_option_wins(self) -> None:
        """A command-line option overrides the environment; one not given does not."""
        environ = {"HLS_MAX_SEGMENTS": "7"}
        self.assertEqual(load(environ, {"hls-max-segments": "8"}).hls_max_segments, 8)
        self.assertEqual(load(environ, {"hls-max-segments": None}).hls_max_segments, 7)

    def test_empty_is_unset(self) -> None:
        """Empty values fall back to the default."""
        self.assertEqual(load(dict.fromkeys((row.name for row in TABLE), "")), Settings())

    def test_state_beside_storage(self) -> None:
        """STATE_DIR follows STORAGE_DIR unless it is set itself."""
        self.assertEqual(load({"STORAGE_DIR": "/srv/streams"}).state_dir, Path("/srv/state"))
        both = load({"STORAGE_DIR": "/srv/streams", "STATE_DIR": "/var/lib/rapidrtmp"})
        self.assertEqual(both.state_dir, Path("/var/lib/rapidrtmp"))

    def test_together(self) -> None:
        """Values that are good alone but not together are refused, by name."""
        cases = [
            ({"MAX_TOKEN_EXPIRATION": "30m"}, "DEFAULT_TOKEN_EXPIRATION=1h: "),
            ({"HTTP_ADDR": ":1935"}, "RTMP_ADDR=:1935: "),
            (TLS | {"HTTPS_ADDR": ":8080"}, "HTTPS_ADDR=:8080: must be another address than HTT"),
            (TLS | {"RTMPS_ADDR": ":1935"}, "RTMPS_ADDR=:1935: must be another address than RTM"),
            ({"HTTPS_ADDR": ":8443"}, "HTTPS_ADDR=:8443: must not be set without TLS_CERT"),
            ({"RTMPS_ADDR": ":1936"}, "RTMPS_ADDR=:1936: must not be set without TLS_CERT"),
            ({"RTMP_TLS_SNIFF": "1"}, "RTMP_TLS_SNIFF=true: must not be set without TLS_CERT"),
            ({"TLS_CERT": "/a.pem"}, "TLS_CERT=/a.pem: must not be set without TLS_KEY"),
            ({"TLS_KEY": "/a.key"}, "TLS_KEY=/a.key: must not be set without TLS_CERT"),
            ({"STATE_DIR": "./data/streams"}, "STATE_DIR=data/streams: "),
            ({"STORAGE_DIR": "/a", "STATE_DIR": "/b/../a/c"}, "STATE_DIR=/b/../a/c: "),
            ({"PLAYBACK_AUTH": "true"}, "PLAYBACK_AUTH=true: must not be set without PLAYBACK_SE"),
            ({"STORAGE_TYPE": "gcs"}, "STORAGE_TYPE=gcs: must not be set without GCS_BUCKET_NAME"),
            (
                {"STORAGE_TYPE": "gcs", "GCS_BUCKET_NAME": "b"},
                "STORAGE_TYPE=gcs: must not be set without GCS_PROJECT_ID",
            ),
            ({"GCS_SIGNED_URLS": "true"}, "GCS_SIGNED_URLS=true: must not be set without STORAGE"),
            (
                GCS | {"GCS_SIGNED_URLS": "true", "CDN_BASE_URL": "https://cdn.example.org"},
                "GCS_SIGNED_URLS=true: must not be set beside CDN_BASE_URL",
            ),
        ]
        for environ, beginning in cases:
            error = self.assertRaises(SettingError, load, environ)
            self.assertTrue(str(error).startswith(beginning), str(error))
        # Both may take any free port.
        load({"HTTP_ADDR": ":0", "RTMP_ADDR": ":0"})
        load(TLS | {"HTTPS_ADDR": ":8443", "RTMPS_ADDR": ":1936", "RTMP_TLS_SNIFF": "true"})
        load(GCS | {"GCS_SIGNED_URLS": "true"})
        load({"PLAYBACK_AUTH": "true", "PLAYBACK_SECRET": "0123456789abcdef"})

    def test_frozen(self) -> None:
        """Settings in force cannot be changed by accident."""
        with self.assertRaises(dataclasses.FrozenInstanceError):
            Settings().http_addr = ":1"  # type: ignore[misc]  # that is the point

    def test_warnings(self) -> None:
        """Open publishing and short playlists are warned of, the defaults are not."""
        self.assertEqual(config.warnings(Settings()), [])
        (line,) = config.warnings(load({"AUTH_REQUIRED": "false"}))
        self.assertIn("ANYBODY", line)
        (line,) = config.warnings(load({"HLS_MAX_SEGMENTS": "5"}))
        self.assertIn("HLS_MAX_SEGMENTS=5", line)
        (line,) = config.warnings(load({"DVR_WINDOW": "4h", "STORAGE_TYPE": "memory"}))
        self.assertIn("DVR_WINDOW=4h", line)
        self.assertEqual(config.warnings(load({"DVR_WINDOW": "4h"})), [])
        (line,) = config.warnings(load({"RTMP_ADDR": ":11935"}))
        self.assertIn("RTMP_INGEST_ADDR=rtmp://localhost:1935", line)
        for ingest in ("rtmp://localhost:11935", "rtmp://live.example.org"):
            settings = load({"RTMP_ADDR": ":11935", "RTMP_INGEST_ADDR": ingest})
            self.assertEqual(config.warnings(settings), [])


class EndpointTests(SynchronousTestCase):
    """Addresses become Twisted endpoint descriptions."""

    def test_one_address(self) -> None:
        """An address with a host is one endpoint; a description stays as it is."""
        cases = [
            ("127.0.0.1:80", "tcp:80:interface=127.0.0.1:backlog=1024"),
            ("localhost:80", "tcp:80:interface=localhost:backlog=1024"),
            ("[::1]:80", r"tcp6:80:interface=\:\:1:backlog=1024"),
            ("[::]:80", r"tcp6:80:interface=\:\::backlog=1024"),
            ("tcp:80:interface=127.0.0.1", "tcp:80:interface=127.0.0.1"),
        ]
        for address, description in cases:
            self.assertEqual(endpoint_descriptions(address), [description])

    def test_every_address(self) -> None:
        """Without a host: one dual-stack socket, or two, or IPv4 alone, as the system is."""
        ipv4, ipv6 = "tcp:80:backlog=1024", r"tcp6:80:interface=\:\::backlog=1024"
        probe = mock.MagicMock()
        probe.__enter__.return_value = probe
        with mock.patch.object(socket, "socket", return_value=probe):
            probe.getsockopt.return_value = 0
            self.assertEqual(endpoint_descriptions(":80"), [ipv6])
            probe.getsockopt.return_value = 1
            self.assertEqual(endpoint_descriptions(":80"), [ipv6, ipv4])
            probe.bind.side_effect = OSError("no IPv6")
            self.assertEqual(endpoint_descriptions(":80"), [ipv4])


class ReferenceTests(SynchronousTestCase):
    """What is written from the table."""

    def test_page_is_current(self) -> None:
        """docs/reference/settings.md is what the table says now (`make docs` writes it)."""
        page = Path(__file__).parent.parent / "docs" / "reference" / "settings.md"
        self.assertEqual(page.read_text(), reference.markdown())

    def test_environment(self) -> None:
        """The settings in force, set again, give the same settings."""
        given = {
            "HLS_SEGMENT_DURATION": "1.5s",
            "LOG_LEVEL": "warn,rapidrtmp.web=debug",
            "TRUSTED_PROXIES": "127.0.0.1 10.0.0.0/8",
            "CDN_BASE_URL": "https://cdn.example.org",
        }
        text = reference.environment(load(given))
        self.assertIn("\nHLS_SEGMENT_DURATION=1s500ms\n", text)
        environ = dict(line.split("=", 1) for line in text.splitlines())
        self.assertEqual(load(environ), load(given))

    def test_every_row_is_explained(self) -> None:
        """Each setting has a sentence of help, and its name is an environment variable's."""
        for row in TABLE:
            self.assertTrue(row.help.endswith("."), row.name)
            self.assertTrue(re.fullmatch(r"[A-Z][A-Z0-9_]*", row.name), row.name)

    def test_sizes(self) -> None:
        """Sizes are shown in the largest unit that fits."""
        for size, text in ((10 << 20, "10MiB"), (1 << 30, "1GiB"), (1025, "1025B"), (0, "0")):
            self.assertEqual(show_size(size), text)

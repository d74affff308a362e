"""Playlists and segments over real HTTP: headers, ranges, conditions, errors, CORS."""

import re
import threading
import time
from collections.abc import Callable
from urllib.parse import urljoin

from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.server import Answer


class MediaTests(IntegrationTestCase):
    def test_media_files(self) -> None:
        """Each kind of file has its type, its caching, HEAD, ranges and conditions."""
        server = self.serve(STREAM_GRACE="60s")
        viewer = self.watch(server)
        self.publish(server, "plain", server.mint(KEY)).succeed()
        viewer.wait_segments(5)
        viewer.stop()
        leading = viewer.leading
        segment = leading.last.segments[0]
        playlists = (viewer.path, leading.path)
        media = (urljoin(leading.path, segment.uri), urljoin(leading.path, segment.map_uri))
        for path in (*playlists, *media):
            with self.subTest(path):
                answer = server.get(path)
                self.assertEqual(answer.status, 200)
                self.assertEqual(answer.headers["access-control-allow-origin"], "*")
                self.check_type(path, answer)
                self.check_head(answer, server.get(path, "HEAD"))
                if path == viewer.path:
                    continue  # each viewer's own: nothing that a cache could compare
                tag = answer.headers["etag"]
                unchanged = server.get(path, headers={"If-None-Match": tag})
                self.assertEqual((unchanged.status, unchanged.body), (304, b""))
                self.assertEqual(unchanged.headers["access-control-allow-origin"], "*")
                changed = server.get(path, headers={"If-None-Match": '"other"'})
                self.assertEqual(changed.body, answer.body)
        for path in media:
            self.check_ranges(path, server.get(path).body, server.get)
        alias = server.get(f"/live/{KEY}/init.mp4")
        self.assertEqual(alias.body, server.get(media[1]).body)
        self.assertEqual(alias.headers["cache-control"], "no-cache")
        server.stop()

    def check_type(self, path: str, answer: Answer) -> None:
        """Playlists are asked for each time, media is kept for a year."""
        playlist = path.endswith(".m3u8")
        kind = "application/vnd.apple.mpegurl" if playlist else "video/mp4"
        self.assertEqual(answer.headers["content-type"], kind)
        caching = answer.headers["cache-control"]
        if path.endswith("/index.m3u8"):
            self.assertEqual(caching, "private, no-cache")
            self.assertNotIn("etag", answer.headers)
        elif playlist:
            self.assertEqual(caching, "no-cache")
        else:
            self.assertIn("max-age=31536000", caching)
            self.assertIn("immutable", caching)

    def check_head(self, got: Answer, head: Answer) -> None:
        """HEAD is GET without the body."""
        self.assertEqual((head.status, head.body), (200, b""))
        for name in ("content-length", "content-type", "etag", "cache-control"):
            self.assertEqual(head.headers.get(name), got.headers.get(name), name)
        self.assertEqual(int(got.headers["content-length"]), len(got.body))

    def check_ranges(self, path: str, body: bytes, get: Callable[..., Answer]) -> None:
        """Ranges give just these bytes; impossible ones 416."""
        size = len(body)
        for wanted, first, end in (
            ("0-1", 0, 2),
            ("10-", 10, size),
            ("-5", size - 5, size),
            (f"0-{size * 2}", 0, size),
        ):
            part = get(path, headers={"Range": f"bytes={wanted}"})
            self.assertEqual((part.status, part.body), (206, body[first:end]), wanted)
            self.assertEqual(part.headers["content-range"], f"bytes {first}-{end - 1}/{size}")
        beyond = get(path, headers={"Range": f"bytes={size}-"})
        self.assertEqual(beyond.status, 416)
        self.assertEqual(beyond.headers["content-range"], f"bytes */{size}")
        self.assertEqual(get(path, headers={"Range": "bytes=abc"}).body, body)

    def test_errors(self) -> None:
        """What is not there is a JSON 404 with CORS; wrong methods are 405; nothing is 500."""
        server = self.serve()
        for path in (
            "/live/unknown/index.m3u8",
            "/live/unknown/init.mp4",
            "/live/a%20b/index.m3u8",
            "/live/%2e%2e/%2e%2e/etc/passwd",
            "/live/..%2f..%2fetc%2fpasswd",
            f"/live/{KEY}/x/1.m4s",
            "/live",
            "/live/",
            "/live/%00/index.m3u8",
            "/live//index.m3u8",
        ):
            with self.subTest(path):
                answer = server.get(path)
                self.assertIn(answer.status, (400, 404))
                self.assertEqual(list(answer.json), ["error"])
                self.assertEqual(answer.headers["access-control-allow-origin"], "*")
        for method in ("POST", "PUT", "DELETE"):
            answer = server.get(f"/live/{KEY}/index.m3u8", method)
            self.assertEqual(answer.status, 405)
            self.assertIn("GET", answer.headers["allow"])
        preflight = server.get(
            f"/live/{KEY}/index.m3u8",
            "OPTIONS",
            headers={
                "Origin": "http://player.example",
                "Access-Control-Request-Method": "GET",
                "Access-Control-Request-Headers": "range",
            },
        )
        self.assertIn(preflight.status, (200, 204))
        self.assertEqual(preflight.headers["access-control-allow-origin"], "*")
        self.assertIn("range", preflight.headers["access-control-allow-headers"].lower())
        server.stop()

    def test_first_playlist_is_held(self) -> None:
        """A request before the first segment waits for it rather than getting an error."""
        server = self.serve(HLS_SEGMENT_DURATION="2s")
        publisher = self.publish(server, "plain", server.mint(KEY), live=True, loop=True)
        server.wait_live(KEY)
        begun = time.monotonic()
        answer = server.get(f"/live/{KEY}/index.m3u8")
        waited = time.monotonic() - begun
        self.assertEqual(answer.status, 200)
        self.assertIn("#EXT-X-STREAM-INF", answer.text)
        self.assertLess(waited, 9)
        publisher.kill()
        server.stop()

    def test_first_playlist_never_comes(self) -> None:
        """A publisher without media: 503 with Retry-After in under ten seconds."""
        server = self.serve()
        publisher = self.raw(server)
        publisher.publish(f"{KEY}?token={server.mint(KEY)}")
        begun = time.monotonic()
        answer = server.get(f"/live/{KEY}/index.m3u8")
        self.assertLess(time.monotonic() - begun, 10)
        self.assertEqual(answer.status, 503)
        self.assertGreater(int(answer.headers["retry-after"]), 0)
        self.assertEqual(answer.headers["access-control-allow-origin"], "*")
        self.assertEqual(list(answer.json), ["error"])
        server.stop()

    def test_many_viewers_get_the_same_bytes(self) -> None:
        """Thirty requests for one playlist at once: one answer for all."""
        server = self.serve(STREAM_GRACE="60s")
        self.publish(server, "plain", server.mint(KEY)).succeed()
        viewer = self.watch(server)
        viewer.wait_segments(5)
        viewer.stop()
        path = viewer.leading.path
        answers: list[Answer] = []
        threads = [
            threading.Thread(target=lambda: answers.append(server.get(path))) for _ in range(30)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual({answer.status for answer in answers}, {200})
        self.assertEqual(len(answers), 30)
        self.assertEqual(len({answer.body for answer in answers}), 1)
        server.stop()

    def test_viewer_limit(self) -> None:
        """One viewer too many gets 503 with Retry-After; the others go on."""
        server = self.serve(MAX_VIEWERS_PER_STREAM="2", STREAM_GRACE="60s")
        self.publish(server, "plain", server.mint(KEY)).succeed()
        multivariant = server.get(f"/live/{KEY}/index.m3u8").text
        session = re.search(r"[0-9a-f]{16}(\.[0-9a-f]{32})/video1", multivariant)
        assert session is not None
        # without a session in the address, address and User-Agent are what a viewer is
        path = f"/live/{KEY}/{session[0].replace(session[1], '')}.m3u8"
        statuses = [
            server.get(path, headers={"User-Agent": f"player {number}"}).status
            for number in (1, 2, 3, 1)
        ]
        self.assertEqual(statuses, [200, 200, 503, 200])
        server.stop()

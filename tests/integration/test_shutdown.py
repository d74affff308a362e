"""SIGTERM while somebody publishes and somebody watches: nothing is cut off, nobody waits long."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable

from tests.integration import media
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import wait_for
from tests.integration.raw_publisher import RawPublisher, Refused
from tests.integration.server import Answer, Server
from tests.integration.stored import problems
from tests.integration.test_api import Feed
from tests.integration.test_refusals import REJECTED

DRAIN_TIMEOUT = 60.0
"""Seconds, far more than a test takes."""


class ShutdownTestCase(IntegrationTestCase):
    def serve_live(self, **settings: str) -> tuple[Server, RawPublisher]:
        """Start a server with a stream of 3.5 s: three segments and the half of a fourth."""
        given = {"DRAIN_TIMEOUT": f"{DRAIN_TIMEOUT:g}s", "STREAM_GRACE": "60s", **settings}
        server = self.serve(**given)
        publisher = self.raw(server)
        publisher.publish(f"{KEY}?token={server.mint(KEY)}")
        tags = media.flv_tags(media.as_flv(media.sample("plain")))
        publisher.send_tags(tag for tag in tags if tag.timestamp < 3500)
        server.wait_playlist(KEY)
        return server, publisher

    def seconds(self, call: Callable[[], None]) -> float:
        """Say how long something takes."""
        begun = time.monotonic()
        call()
        return time.monotonic() - begun

    def wait_draining(self, server: Server) -> None:
        """/ready must say so at once."""

        def is_draining() -> bool:
            answer = server.get("/ready")
            return answer.status == 503 and answer.json["checks"]["streamManager"] == "draining"

        wait_for(is_draining, "/ready says 503 and draining", 1.0)


class DrainTests(ShutdownTestCase):
    def test_drain(self) -> None:
        """Whoever watches gets everything that was published; then the server goes."""
        server, publisher = self.serve_live()
        viewer = self.watch(server)
        viewer.wait_segments(3)
        begun = time.monotonic()
        server.terminate()
        self.wait_draining(server)
        with self.assertRaises(Refused) as caught:
            while True:
                publisher.receive()
        self.assertEqual(caught.exception.code, REJECTED)
        self.assertEqual(caught.exception.description, "the server is shutting down")
        self.assertTrue(publisher.closed_by_server())
        with self.assertRaises(ConnectionRefusedError):
            self.raw(server)
        viewer.wait_segments(4, 3.0)
        newest = max(viewer.leading.segments)
        self.assertLess(viewer.leading.segments[newest].duration, 0.6)
        wait_for(
            lambda: list(server.storage.rglob(f"{newest}.m4s")), "the last segment is stored", 3.0
        )
        self.assertEqual(server.get("/health").status, 200)
        self.assertTrue(server.get("/api/v1/server").json["draining"])
        self.assertEqual(server.metric("rapidrtmp_draining"), 1)
        time.sleep(1.5)  # nobody is sent away while they watch
        self.assertFalse(viewer.ended)
        self.assert_clean(viewer)
        server.wait_stopped(8.0)
        self.assertLess(time.monotonic() - begun, DRAIN_TIMEOUT)
        self.assertEqual(problems(server.storage), [])
        self.assertIn("serving 1 viewers", server.log)

    def test_endlist(self) -> None:
        """ENDLIST_ON_SHUTDOWN=true: the viewers see the end, and the last segment before it."""
        server, publisher = self.serve_live(ENDLIST_ON_SHUTDOWN="true")
        viewer = self.watch(server)
        viewer.wait_segments(3)
        server.terminate()
        self.assertTrue(publisher.closed_by_server())
        publisher.close()
        viewer.wait_ended(3.0)
        self.assertEqual(viewer.segments(), 4)
        time.sleep(1.0)  # a player that has seen the end still fetches segments before it
        self.assertEqual(server.get(next(iter(viewer.files))).status, 200)
        self.assert_clean(viewer)
        server.wait_stopped(8.0)
        self.assertEqual(problems(server.storage), [])

    def test_drain_timeout(self) -> None:
        """A viewer who stays is served until DRAIN_TIMEOUT and no longer."""
        server, _ = self.serve_live(DRAIN_TIMEOUT="3s")
        viewer = self.watch(server)
        viewer.wait_segments(3)

        def stop() -> None:
            server.terminate()
            time.sleep(2.5)
            viewer.outage.set()
            server.wait_stopped(6.0)

        self.assertGreater(self.seconds(stop), 2.9)
        self.assert_clean(viewer)

    def test_second_signal(self) -> None:
        """Whoever does not want to wait sends another one."""
        server, _ = self.serve_live()
        viewer = self.watch(server)
        viewer.wait_segments(3)
        server.terminate()
        time.sleep(1.0)
        self.assertTrue(server.child.running())
        viewer.stop()
        server.terminate()
        self.assertEqual(server.child.wait(1.0), -signal.SIGTERM)
        server.judge_log()
        self.assertEqual(problems(server.storage), [])


class PromptTests(ShutdownTestCase):
    def test_nobody(self) -> None:
        """Without viewers it ends at once, with a stream that waits for its publisher, too."""
        server, publisher = self.serve_live()
        publisher.close()
        wait_for(lambda: server.stream(KEY).get("state") == "idle", "the stream is idle")
        self.assertLess(self.seconds(server.stop), 15)

    def test_held(self) -> None:
        """A listener to events and a request that is held get a proper end."""
        server = self.serve(DRAIN_TIMEOUT=f"{DRAIN_TIMEOUT:g}s")
        publisher = self.raw(server)
        publisher.publish(f"{KEY}?token={server.mint(KEY)}")
        feed = Feed(server)
        self.addCleanup(feed.close)
        answers: list[Answer] = []
        failures: list[OSError] = []
        path = f"/live/{KEY}/index.m3u8"

        def ask() -> None:
            try:
                answers.append(server.get(path))
            except OSError as error:
                failures.append(error)

        held = threading.Thread(target=ask, daemon=True)
        held.start()
        gauge = "rapidrtmp_playlist_requests_held"
        wait_for(lambda: server.metric(gauge) == 1, "the request is held")
        self.assertLess(self.seconds(server.stop), 15)
        told = []
        while (event := feed.next()) is not None:
            told.append(event["event"])
        self.assertIn("unpublish", told)
        held.join(30.0)
        self.assertEqual(failures, [])
        self.assertEqual([answer.status for answer in answers], [503])
        self.assertIn("retry-after", answers[0].headers)

    def test_webhooks(self) -> None:
        """Web hooks that do not answer are given up before long."""
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            host, port = deaf.getsockname()
            server, publisher = self.serve_live(
                WEBHOOK_ON_SEGMENT=f"http://{host}:{port}/", WEBHOOK_ON_UNPUBLISH="http://[::1]:9/"
            )
            publisher.close()
            wait_for(lambda: server.stream(KEY).get("state") == "idle", "the stream is idle")
            # they have 5 s, and a busy machine takes its time for the rest
            self.assertLess(self.seconds(server.stop), 25)
        self.assertIn("hook calls were given up", server.log)

    def test_asked(self) -> None:
        """Viewers about whom a web hook is asked, and who leave or are left, cause no error."""
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            host, port = deaf.getsockname()
            url = f"http://{host}:{port}/"
            server = self.serve(WEBHOOK_ON_PLAY=url, WEBHOOK_TIMEOUT="60s")
            publisher = self.raw(server)
            publisher.publish(f"{KEY}?token={server.mint(KEY)}")
            publisher.send_tags(media.flv_tags(media.as_flv(media.sample("plain"))))
            server.wait_live(KEY)
            viewers = [self.ask(server), self.ask(server)]
            deaf.settimeout(30.0)
            calls = [deaf.accept()[0] for _ in viewers]
            viewers[0].close()
            publisher.close()
            self.assertLess(self.seconds(server.stop), 15)
            for call in calls:
                call.close()

    def ask(self, server: Server) -> socket.socket:
        """Send a viewer's first request."""
        viewer = socket.create_connection(("127.0.0.1", server.http_port), 30.0)
        self.addCleanup(viewer.close)
        viewer.sendall(f"GET /live/{KEY}/index.m3u8 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return viewer

    def test_two_signals_at_once(self) -> None:
        """Who ends the group and the process sends two: that is one wish."""
        server, _ = self.serve_live()
        os.killpg(server.child.pid, signal.SIGTERM)
        server.stop()

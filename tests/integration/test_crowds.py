"""Crowds that harm: who stalls by the hundred, an encoder that flaps, and SIGTERM amid all that."""

import socket
import time
from urllib.parse import urljoin

from tests.integration import machine, media
from tests.integration.process import wait_for
from tests.integration.raw_publisher import RawPublisher
from tests.integration.stored import problems
from tests.integration.test_faults import FaultsTestCase

MIB = 1 << 20
BIG = "big"
CROWD = 50
"""Of each kind."""


def lines(text: str) -> list[str]:
    """Give the URIs of a playlist."""
    return [line for line in text.splitlines() if line and not line.startswith("#")]


class StalledTests(FaultsTestCase):
    def test_stalled(self) -> None:
        """C18, B30: two hundred read nothing: a small buffer each, players are cut, others play on.

        C3: SIGTERM then ends the server in time all the same.
        """
        server = self.serve_canary(PLAY_QUEUE_BYTES="2MiB", DRAIN_TIMEOUT="4s")
        tags = list(media.flv_tags(media.as_flv(media.sample("larger"))))
        publisher = self.publisher(BIG)
        publisher.send_tags(tags)
        index = server.wait_playlist(BIG).text
        playlist = urljoin(f"/live/{BIG}/", lines(index)[0])
        wait_for(lambda: lines(server.get(playlist).text), "a segment")
        segment = urljoin(playlist, lines(server.get(playlist).text)[0])
        memory = server.child.resident_bytes()
        crowd = [self.ask(f"/live/{BIG}.flv") for _ in range(CROWD)]
        crowd += [self.ask(segment) for _ in range(CROWD)]
        crowd += [
            self.ask(f"{playlist}?_HLS_msn={self.next_number(playlist)}") for _ in range(CROWD)
        ]
        players = [self.play() for _ in range(CROWD)]
        self.wait_metrics("rapidrtmp_players")
        for number in range(1, 10):
            publisher.send_tags((tag for tag in tags if not tag.is_config), shift=6000 * number)
        self.wait_metrics("rapidrtmp_players_cut_total")
        self.assertLess(server.child.resident_bytes() - memory, 64 * MIB)
        self.assertEqual(server.metric("rapidrtmp_player_queue_bytes", 'protocol="flv"'), 0)
        self.assert_goes_on(self.viewer)
        server.terminate()
        wait_for(lambda: server.get("/ready").status == 503, "/ready says so", 2)
        server.wait_stopped(20)
        self.assertEqual(self.viewer.discontinuities, 0)
        self.assertEqual(problems(server.storage), [])
        for connection in crowd:
            connection.close()
        for player in players:
            player.close()

    def wait_metrics(self, name: str) -> None:
        """Wait until a metric counts the whole crowd, of both protocols."""
        for protocol in ("rtmp", "flv"):
            labels = f'protocol="{protocol}"'

            def is_reached(labels: str = labels) -> bool:
                return self.server.metric(name, labels) == CROWD

            wait_for(is_reached, f"{name} of {protocol}", 30)

    def next_number(self, playlist: str) -> int:
        """The number of the segment under way."""
        return int(lines(self.server.get(playlist).text)[-1].split("/")[-1].split(".")[0]) + 1

    def ask(self, path: str) -> socket.socket:
        """Make a request whose answer is never read."""
        connection = socket.socket()
        self.addCleanup(connection.close)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", self.server.http_port))
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return connection

    def play(self) -> RawPublisher:
        """Play by RTMP, and read nothing."""
        player = RawPublisher(self.server.rtmp_port, address="127.0.0.3")
        self.addCleanup(player.close)
        player.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        player.handshake()
        player.command("connect", 1, {"app": "live", "tcUrl": "rtmp://127.0.0.1/live"})
        player.command("createStream", 2, None)
        player.command("play", 3, None, BIG, stream_id=1)
        return player


class FlapTests(FaultsTestCase):
    def test_every_second(self) -> None:
        """C12: an encoder that comes and goes each second, by FIN and by RST: one session.

        Each time is a discontinuity to viewers, and nothing is left behind.
        """
        server = self.serve_canary(HLS_SEGMENT_DURATION="0.5s")
        token = server.mint("flaps")
        viewer = self.watch(server, "flaps")
        tags = list(media.flv_tags(media.as_flv(media.sample("plain"))))
        opened = 0
        for number in range(8):
            begun = time.monotonic()
            publisher = self.raw(server)
            publisher.publish(f"flaps?token={token}")
            publisher.send_tags(tag for tag in tags if tag.timestamp < 1100)
            if number == 0:
                viewer.wait_segments(1)
                opened = machine.descriptors(server.child)
            (publisher.reset if number % 2 else publisher.close)()
            time.sleep(max(0.0, begun + 0.8 - time.monotonic()))
        publisher = self.raw(server)
        publisher.publish(f"flaps?token={token}")
        publisher.send_tags(tags)
        viewer.wait_segments(viewer.segments() + 4)
        stream = server.stream("flaps")
        self.assertEqual(server.metric("rapidrtmp_streams_started_total"), 2)
        self.assertLessEqual(viewer.discontinuities, 8)
        self.assertGreater(viewer.discontinuities, 4)
        self.assertLess(machine.descriptors(server.child), opened + 8)
        self.assertEqual(stream["state"], "live")
        self.assert_clean(viewer)
        self.assert_unharmed()

"""Streams that go to other servers, and come from them: two real servers and real media."""

import socket
import stat
from typing import Any

from tests.certificates import make_pair
from tests.integration import framemd5, media
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import Child, wait_for
from tests.integration.server import Server, listening_port

FAR_KEY = "far-key-1"


class RelayCase(IntegrationTestCase):
    def far(self, **settings: str) -> tuple[Server, str]:
        """Start the other server; give it, and the URL at which it may be published to."""
        server = self.serve(**settings)
        return server, server.rtmp_url(FAR_KEY, server.mint(FAR_KEY))

    def relay(self, server: Server, number: int = 0) -> dict[str, Any]:
        """What the API tells of a relay."""
        found: dict[str, Any] = server.get("/api/v1/relays").json["relays"][number]
        return found

    def wait_relay(self, server: Server, state: str, number: int = 0) -> dict[str, Any]:
        """Wait for a state of a relay."""
        try:
            return wait_for(
                lambda: (r := self.relay(server, number))["state"] == state and r, state, 25.0
            )
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.relay(server, number)}\n{server.log}") from None

    def reader(self, server: Server, key: str) -> Child:
        """Read a stream by HLS, to its end, into packets."""
        server.wait_playlist(key)
        child = Child(
            framemd5.hls_command(server.url(f"/live/{key}/index.m3u8")),
            self.temporary() / "reader.log",
        )
        self.addCleanup(child.kill)
        return child

    def assert_lossless(self, name: str, output: str) -> None:
        """What was read is what was published, from the first packet to the last."""
        source = framemd5.read_file(media.as_flv(media.sample(name)))
        self.assertTrue(source)
        self.assertEqual(framemd5.differences(source, framemd5.parse(output)), [], output[:1500])


class PushTests(RelayCase):
    def test_lossless(self) -> None:
        """B-frames and open GOPs arrive at the far end as they were published here."""
        far, url = self.far()
        near = self.serve(RELAY_PUSH=f"{KEY}={url}")
        near.secrets += far.secrets
        self.assertEqual(self.relay(near)["state"], "idle")
        publisher = self.publish(near, "open_gop", near.mint(KEY), live=True)
        reader = self.reader(far, FAR_KEY)
        live = self.wait_relay(near, "live")
        self.assertEqual(live["url"], f"rtmp://127.0.0.1:{far.rtmp_port}/live/***")
        publisher.succeed(60)
        self.assert_lossless("open_gop", reader.succeed(60))
        idle = self.wait_relay(near, "idle")
        self.assertEqual((idle["retries"], idle["framesDropped"]), (0, 0))
        self.assertGreater(idle["bytes"], 100_000)
        self.assertEqual(
            near.metric("rapidrtmp_relay_bytes_total", 'direction="push"'), idle["bytes"]
        )
        near.stop()
        far.stop()

    def test_target_comes_back(self) -> None:
        """A target that crashes is found again; our own viewers notice nothing."""
        far, url = self.far()
        near = self.serve(RELAY_PUSH=f"{KEY}={url}")
        near.secrets += far.secrets
        self.publish(near, "plain", near.mint(KEY), live=True, loop=True)
        viewer = self.watch(near)
        far.wait_live(FAR_KEY)
        far.kill()
        waiting = self.wait_relay(near, "waiting")
        self.assertIn("retryAt", waiting)
        self.assertTrue(waiting["lastError"])
        again = Server(self, {}, directory=far.directory, ports=far.ports)
        again.wait_live(FAR_KEY, 30.0)
        live = self.wait_relay(near, "live")
        self.assertGreaterEqual(live["retries"], 1)
        self.assertNotIn("lastError", live)
        self.assert_goes_on(viewer)
        self.assert_clean(viewer)
        near.stop()
        again.stop()

    def test_each_for_itself(self) -> None:
        """Of three targets one answers nothing and one refuses: the third has the stream."""
        far, url = self.far()
        hole = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(hole.close)
        targets = [
            f"rtmp://127.0.0.1:{hole.getsockname()[1]}/live/{FAR_KEY}",
            f"rtmp://127.0.0.1:{far.rtmp_port}/live/another?token={'0' * 64}",
            url,
        ]
        near = self.serve(RELAY_PUSH=" ".join(f"{KEY}={target}" for target in targets))
        near.secrets += [*far.secrets, "0" * 64]
        self.publish(near, "plain", near.mint(KEY), live=True, loop=True)
        viewer = self.watch(near)
        self.wait_relay(near, "live", 2)
        far.wait_live(FAR_KEY)
        refused = self.wait_relay(near, "waiting", 1)
        self.assertIn("NetStream.Publish.Denied", refused["lastError"])
        silent = self.wait_relay(near, "waiting", 0)
        self.assertIn("handshake", silent["lastError"])
        self.assertEqual(self.relay(near, 2)["retries"], 0)
        self.assert_goes_on(viewer)
        self.assert_clean(viewer)
        near.stop()
        far.stop()

    def test_rtmps(self) -> None:
        """A target's certificate is checked: by the authority of the settings it is good."""
        certificate, key = make_pair(self.temporary())
        far = self.serve(
            RTMP_ADDR=f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
        )
        url = f"rtmps://localhost:{far.rtmp_port}/live/{FAR_KEY}?token={far.mint(FAR_KEY)}"
        for settings, state in (({"RELAY_CA_FILE": certificate}, "live"), ({}, "waiting")):
            near = self.serve(RELAY_PUSH=f"{KEY}={url}", **settings)
            near.secrets += far.secrets
            publisher = self.publish(near, "plain", near.mint(KEY), live=True, loop=True)
            found = self.wait_relay(near, state)
            self.assertEqual("certificate" in found.get("lastError", ""), state == "waiting")
            publisher.kill()
            near.stop()
        far.stop()

    def test_api(self) -> None:
        """Added to a live stream, kept over a restart, removed from a live stream."""
        far, url = self.far()
        near = self.serve()
        near.secrets += far.secrets
        self.publish(near, "plain", near.mint(KEY), live=True, loop=True)
        near.wait_live(KEY)
        order = {"streamKey": KEY, "direction": "push", "url": url}
        added = near.post("/api/v1/relays", order)
        self.assertEqual(added.status, 200, added.text)
        self.assertEqual(near.post("/api/v1/relays", order).status, 409)
        far.wait_live(FAR_KEY)
        path = near.directory / "state" / "relays.json"
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        near.stop()
        near = Server(self, {}, directory=near.directory, ports=near.ports)
        near.secrets += far.secrets
        self.assertEqual(self.relay(near)["id"], added.json["id"])
        self.publish(near, "plain", near.mint(KEY), live=True, loop=True)
        self.wait_relay(near, "live")
        far.wait_live(FAR_KEY)
        for answer in (added, near.get("/api/v1/relays")):
            self.assertNotIn(far.secrets[0], answer.text)
        gone = near.get(f"/api/v1/relays/{added.json['id']}", "DELETE")
        self.assertEqual(gone.status, 200)
        wait_for(lambda: not far.stream(FAR_KEY).get("active"), "the target is left")
        self.assertEqual(near.get("/api/v1/relays").json["total"], 0)
        self.assertNotIn(FAR_KEY, path.read_text())
        near.stop()
        far.stop()


class PullTests(RelayCase):
    def test_lossless(self) -> None:
        """A stream of another server is ours as it was published there, and ends as it does.

        When it is back there, it is here.
        """
        far = self.serve()
        token = far.mint(FAR_KEY)
        publisher = self.publish(far, "plain", token, key=FAR_KEY, live=True)
        far.wait_live(FAR_KEY)
        near = self.serve(RELAY_PULL=f"{KEY}=rtmp://127.0.0.1:{far.rtmp_port}/live/{FAR_KEY}")
        self.wait_relay(near, "live")
        reader = self.reader(near, KEY)
        viewer = self.watch(near)
        publisher.succeed(60)
        served = framemd5.parse(reader.succeed(60))
        source = framemd5.read_file(media.as_flv(media.sample("plain")))
        for kind, packets in served.items():
            # the pull began later, at a key frame
            digests = [packet.digest for packet in source[kind]]
            source[kind] = source[kind][digests.index(packets[0].digest) :]
        self.assertGreaterEqual(len(served["video"]), 50)
        self.assertEqual(framemd5.differences(source, served), [])
        viewer.wait_ended(30)
        self.assert_clean(viewer)
        self.wait_relay(near, "waiting")
        self.publish(far, "plain", token, key=FAR_KEY, live=True, loop=True)
        self.wait_relay(near, "live")
        near.stop()
        far.stop()


class OnDemandTests(RelayCase):
    def test_life(self) -> None:
        """FFmpeg asks by RTMPS, then HLS does: each time it comes by RTMPS, and goes again."""
        certificate, key = make_pair(self.temporary())
        tls = {"TLS_CERT": certificate, "TLS_KEY": key, "RTMPS_ADDR": "127.0.0.1:0"}
        far = self.serve(**tls)
        source = f"rtmps://localhost:{listening_port(far.log, 'RTMPS')}/live/{FAR_KEY}"
        near = self.serve(
            RELAY_PULL_ON_DEMAND=f"{KEY}={source}",
            RELAY_ON_DEMAND_LINGER="1s",
            RELAY_CA_FILE=certificate,
            **tls,
        )
        self.publish(far, "plain", far.mint(FAR_KEY), key=FAR_KEY, live=True, loop=True)
        far.wait_live(FAR_KEY)
        self.assertEqual(self.relay(near)["state"], "idle")
        self.assertEqual(far.stream(FAR_KEY)["viewers"], 0)
        self.assertEqual(near.get("/live/other/index.m3u8").status, 404)
        url = f"rtmps://localhost:{listening_port(near.log, 'RTMPS')}/live/{KEY}"
        player = Child(framemd5.command(url, "-t", "2"), self.temporary() / "player.log")
        self.addCleanup(player.kill)
        self.assertGreater(len(framemd5.parse(player.succeed(30))["video"]), 40)
        self.assertEqual(self.relay(near)["state"], "live")
        self.assertEqual(far.stream(FAR_KEY)["viewers"], 1)
        idle = self.wait_relay(near, "idle")
        self.assertEqual(idle["retries"], 0)
        wait_for(lambda: far.stream(FAR_KEY)["viewers"] == 0, "the source is left")
        viewer = self.watch(near)
        viewer.wait_segments(6)
        self.assertEqual(self.relay(near)["state"], "live")
        self.assert_clean(viewer)
        handshakes = near.metric("rapidrtmp_tls_handshakes_total", 'outcome="ok",protocol="rtmps"')
        self.assertEqual(handshakes, 1.0)
        near.stop()
        far.stop()

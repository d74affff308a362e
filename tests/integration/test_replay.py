"""A session that is recorded on one server and played into another, with the same result."""

import stat
import sys
from pathlib import Path

from rapidrtmp.protocol.dump import read_dump
from tests.integration import framemd5, media
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import Child, python_environment, wait_for
from tests.integration.server import Server

NAME = "plain"


class ReplayTests(IntegrationTestCase):
    def record(self) -> tuple[Path, str]:
        """Publish with ffmpeg to a server that records; give the dump, and the token in it."""
        dumps = self.temporary() / "dumps"
        server = self.serve(RTMP_DUMP_DIR=str(dumps))
        token = server.mint(KEY)
        self.publish(server, NAME, token).succeed()
        self.assert_same_frames(server)
        self.assertIn("PUBLISH TOKENS INCLUDED", server.log)
        server.stop()
        (path,) = dumps.glob("*.rtmpdump")
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertGreater(path.stat().st_size, media.as_flv(media.sample(NAME)).stat().st_size)
        self.assertIn(token.encode(), path.read_bytes())
        return path, token

    def replay(self, path: Path, server: Server, *options: str) -> Child:
        """Play a dump into a server."""
        to = f"rtmp://127.0.0.1:{server.rtmp_port}"
        child = Child(
            [sys.executable, "-m", "rapidrtmp.cli", "replay", str(path), "--to", to, *options],
            self.temporary() / "replay.log",
            environment=python_environment(),
        )
        self.addCleanup(child.kill)
        return child

    def assert_same_frames(self, server: Server) -> None:
        """What viewers get is what was published, from the first frame to the last."""
        viewer = self.watch(server)
        viewer.wait_ended()
        reader = Child(
            framemd5.hls_command(server.url(f"/live/{KEY}/index.m3u8")),
            self.temporary() / "reader.log",
        )
        self.addCleanup(reader.kill)
        served = framemd5.parse(reader.succeed(60))
        published = framemd5.read_file(media.as_flv(media.sample(NAME)))
        self.assertTrue(published)
        self.assertEqual(framemd5.differences(published, served), [])
        self.assert_clean(viewer)

    def test_replay(self) -> None:
        """With a new token, at the recorded times; and, to whoever needs none, as it is."""
        path, old = self.record()
        server = self.serve()
        token = server.mint(KEY)
        child = self.replay(path, server, "--token", token)
        output = child.succeed()
        self.assertIn("NetStream.Publish.Start", output)
        count = len(read_dump(path).records)
        self.assertIn(f"sent {count} of {count} chunks", output)
        for secret in (token, old):
            self.assertNotIn(secret, output)
        self.assert_same_frames(server)
        server.stop()
        server = self.serve(AUTH_REQUIRED="false")
        self.replay(path, server, "--fast").succeed()
        self.assert_same_frames(server)
        server.stop()
        server = self.serve()
        child = self.replay(path, server)
        wait_for(lambda: not child.running(), "the end of the replay")
        self.assertIn("NetStream.Publish.Denied", child.output())
        server.stop()

    def test_no_server(self) -> None:
        """Nobody at the other end is one line and exit status 1."""
        path = self.temporary() / "a.rtmpdump"
        path.write_bytes(b"RapidRTMP dump 1\n{}\n")
        child = Child(
            [
                sys.executable,
                "-m",
                "rapidrtmp.cli",
                "replay",
                str(path),
                "--to",
                "rtmp://127.0.0.1:1",
            ],
            path.parent / "replay.log",
            environment=python_environment(),
        )
        self.addCleanup(child.kill)
        self.assertEqual(child.wait(), 1)
        (line,) = child.output().splitlines()
        self.assertTrue(line.startswith("rapidrtmp: no answer from 127.0.0.1, port 1: "), line)

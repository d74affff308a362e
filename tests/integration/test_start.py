"""How the server is started, refuses to start, and ends."""

import os
import signal
import socket
import sys
from pathlib import Path

from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import Child, python_environment, wait_for
from tests.integration.server import SETTINGS, Server, fetch, listening_port

TWISTD = Server.FORMS["twistd"][:2]


class StartTests(IntegrationTestCase):
    def run_server(self, *arguments: str, **settings: str) -> Child:
        """Run a command of the server with these environment variables."""
        directory = self.temporary()
        environment = {
            **SETTINGS,
            "STORAGE_DIR": str(directory / "streams"),
            "STATE_DIR": str(directory / "state"),
            **settings,
        }
        child = Child(
            [sys.executable, *arguments],
            directory / "output.log",
            environment=python_environment(**environment),
            directory=directory,
        )
        self.addCleanup(child.kill)
        return child

    def test_forms(self) -> None:
        """`rapidrtmp serve` and `twistd rapidrtmp` are the same server."""
        for form in Server.FORMS:
            with self.subTest(form):
                server = Server(self, {}, form=form)
                viewer = self.watch(server)
                self.publish(server, "plain", server.mint(KEY)).succeed()
                viewer.wait_ended()
                self.assert_clean(viewer)
                server.stop()

    def test_bad_settings(self) -> None:
        """A setting that makes no sense: one line that names it, exit status 1."""
        bad = {
            "HLS_SEGMENT_DURATION": "2",
            "HLS_MAX_SEGMENTS": "2",
            "STREAM_GRACE": "soon",
            "MAX_CONCURRENT_STREAMS": "-1",
            "AUTH_REQUIRED": "perhaps",
            "HTTP_ADDR": "nonsense",
            "RTMP_ADDR": "127.0.0.1:99999",
            "STORAGE_TYPE": "tape",
            "DEFAULT_TOKEN_EXPIRATION": "48h",
        }
        forms = [("serve", ["-m", "rapidrtmp.cli", "serve"]), ("twistd", Server.FORMS["twistd"])]
        for number, (name, value) in enumerate(bad.items()):
            form, arguments = forms[number % 2]
            with self.subTest(f"{form} {name}"):
                child = self.run_server(*arguments, **{name: value})
                self.assertEqual(child.wait(), 1, child.output())
                self.assert_one_line(child, name, value)

    def assert_one_line(self, child: Child, *words: str) -> None:
        """The program said one thing, which holds these words."""
        lines = [line for line in child.output().splitlines() if line.strip()]
        self.assertNotIn("Traceback", child.output())
        said = [line for line in lines if all(word in line for word in words)]
        self.assertEqual(len(said), 1, child.output())
        self.assertEqual(said, lines)

    def test_options(self) -> None:
        """A setting given as an option wins over the environment."""
        child = self.run_server(
            "-m", "rapidrtmp.cli", "serve", "--hls-max-segments", "1", HLS_MAX_SEGMENTS="10"
        )
        self.assertEqual(child.wait(), 1)
        self.assert_one_line(child, "HLS_MAX_SEGMENTS", "1")

    def test_port_in_use(self) -> None:
        """A port that is taken: one line that names the setting, exit status 1."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            for name in ("HTTP_ADDR", "RTMP_ADDR"):
                for arguments in Server.FORMS.values():
                    child = self.run_server(*arguments, **{name: address})
                    self.assertEqual(child.wait(), 1, child.output())
                    self.assertNotIn("Traceback", child.output())
                    said = [line for line in child.output().splitlines() if address in line]
                    self.assertTrue(any(name in line for line in said), child.output())

    def test_storage_that_cannot_be_used(self) -> None:
        """A directory that cannot be made stops the start with one clear line."""
        blocked = self.temporary() / "file"
        blocked.write_text("")
        child = self.run_server("-m", "rapidrtmp.cli", "serve", STORAGE_DIR=str(blocked / "x"))
        self.assertEqual(child.wait(), 1, child.output())
        self.assertNotIn("Traceback", child.output())
        self.assertIn("STORAGE_DIR", child.output())

    def test_help_and_version(self) -> None:
        """Both commands tell of themselves; every setting is in the help."""
        version = self.run_server("-m", "rapidrtmp.cli", "version").succeed()
        self.assertRegex(version, r"\d+\.\d+")
        helped = self.run_server("-m", "rapidrtmp.cli", "serve", "--help").succeed()
        for name in ("--http-addr", "--hls-segment-duration", "STREAM_GRACE", "MAX_VIEWERS"):
            self.assertIn(name, helped)
        helped = self.run_server(*TWISTD, "rapidrtmp", "--help").succeed()
        self.assertIn("--rtmp-addr", helped)

    def test_interrupt(self) -> None:
        """Ctrl-C ends it as SIGTERM does."""
        server = self.serve()
        server.child.signal(signal.SIGINT)
        self.assertEqual(server.child.wait(10), 0, server.log)
        server.judge_log()

    def test_daemon(self) -> None:
        """Twistd makes a daemon of it, with pid file and log file, that serves and ends."""
        directory = self.temporary()
        pid_file, log_file = directory / "server.pid", directory / "server.log"
        child = self.run_server(
            *TWISTD, f"--pidfile={pid_file}", f"--logfile={log_file}", "rapidrtmp"
        )
        child.succeed()
        pid = int(pid_file.read_text())
        self.addCleanup(self.kill_daemon, pid_file, pid)

        def http_port() -> int | None:
            log = log_file.read_text() if log_file.exists() else ""
            return listening_port(log, "HTTP")

        port = wait_for(http_port, "the HTTP port in the log file")
        wait_for(lambda: fetch(port, "/ready").status == 200, "/ready")
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not pid_file.exists(), "the pid file goes away")
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the daemon ends")
        self.assertNotIn("Traceback", log_file.read_text())

    def kill_daemon(self, pid_file: Path, pid: int) -> None:
        """End a daemon that a failed test left."""
        if pid_file.exists():
            os.kill(pid, signal.SIGKILL)

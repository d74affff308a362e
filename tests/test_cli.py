"""Tests for `rapidrtmp.cli`: the console command."""

import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp import __version__, cli, config, demo
from rapidrtmp.check.url import CannotCheck, Outcome
from rapidrtmp.judge.finding import Report
from rapidrtmp.replay import ReplayError
from rapidrtmp.token_request import TokenError

ONE_LINE = "rapidrtmp: HLS_MAX_SEGMENTS=1: must be a whole number from 3 to 1000"

REACT = "twisted.internet.task.react"

ANSWER = {
    "publishUrl": "rtmp://localhost:1935/live/obs?token=abc",
    "expiresAt": "2026-01-01T00:00:00Z",
    "obs": {"server": "rtmp://localhost:1935/live", "streamKey": "obs?token=abc"},
}


def react(main: Callable[[object], Deferred[None]], *_: object) -> None:
    """Run what needs no reactor."""
    failures: list[Failure] = []
    main(None).addErrback(failures.append)
    for failure in failures:
        failure.raiseException()


class CommandTests(SynchronousTestCase):
    """The console command, without a server."""

    def setUp(self) -> None:
        """Give the command an environment without settings."""
        environ = {
            name: value
            for name, value in os.environ.items()
            if name not in {row.name for row in config.TABLE}
        }
        patched = mock.patch.dict(os.environ, environ, clear=True)
        patched.start()
        self.addCleanup(patched.stop)

    def run_command(self, *arguments: str) -> tuple[object, str]:
        """Run it, and give its exit status or message, and its standard output."""
        output = io.StringIO()
        with mock.patch.object(sys, "stdout", output):
            try:
                cli.main(arguments)
            except SystemExit as ended:
                return ended.code, output.getvalue()
        return None, output.getvalue()

    def test_version(self) -> None:
        """The version can be asked for in both usual ways."""
        self.assertEqual(self.run_command("version"), (None, f"rapidrtmp {__version__}\n"))
        for command in ([], ["serve"], ["config"], ["version"]):
            printed = self.run_command(*command, "--version")
            self.assertEqual(printed, (0, f"rapidrtmp {__version__}\n"))

    def test_help(self) -> None:
        """Each command's help names it; that of serve and demo has every setting."""
        for command in ("serve", "demo", "config", "version"):
            status, output = self.run_command(command, "--help")
            self.assertEqual(status, 0)
            self.assertTrue(output.startswith(f"Usage: rapidrtmp {command} [options]\n"), output)
        for command in ("serve", "demo"):
            _, output = self.run_command(command, "--help")
            for row in config.TABLE:
                self.assertIn(f"--{row.option}=", output)
                self.assertIn(f"({row.name})", output)

        _, output = self.run_command("check", "--help")
        self.assertTrue(output.startswith("Usage: rapidrtmp check [<URL or file>] [options]\n"))
        self.assertIn("--seconds=", output)
        _, output = self.run_command("token", "--help")
        self.assertTrue(output.startswith("Usage: rapidrtmp token <stream key> [options]\n"))

    def test_no_command(self) -> None:
        """Without a command the help is the error message."""
        message, _ = self.run_command()
        self.assertIn("Usage: rapidrtmp <command> [options]", str(message))
        self.assertIn("serve", str(message))

    def test_wrong_usage(self) -> None:
        """A wrong command or option is one line; a message makes exit status 1."""
        for arguments in (
            ["bogus"],
            ["serve", "--bogus"],
            ["serve", "--http-addr"],
            ["serve", "x"],
            ["token"],
            ["replay"],
            ["replay", "a", "b"],
            ["token", "a", "b"],
            ["token", "a", "--expires=0s"],
            ["token", "a", "--expires=60"],
            ["token", "a", "--server=localhost"],
            ["check", "a", "b"],
            ["check", "a", "--seconds=0"],
            ["check", "a", "--seconds=nan"],
            ["check", "a", "--segments=few"],
        ):
            message, _ = self.run_command(*arguments)
            self.assertTrue(str(message).startswith("rapidrtmp: "), message)
            self.assertNotIn("\n", str(message))
            self.assertNotIn(".;", str(message))

    def test_wrong_value(self) -> None:
        """A setting that makes no sense is one line, from an option or the environment."""
        self.assertEqual(self.run_command("serve", "--hls-max-segments=1")[0], ONE_LINE)
        os.environ["HLS_MAX_SEGMENTS"] = "1"
        self.assertEqual(self.run_command("serve")[0], ONE_LINE)

    def test_config(self) -> None:
        """The settings in force come from environment and options."""
        os.environ["HLS_MAX_SEGMENTS"] = "7"
        _, output = self.run_command("config", "--stream-grace=90s")
        self.assertIn("HLS_MAX_SEGMENTS=7\n", output)
        self.assertIn("STREAM_GRACE=1m30s\n", output)

    def test_config_hides_secrets(self) -> None:
        """A secret is shown as set, and neither on standard output nor in a refusal."""
        os.environ["API_KEYS"] = secret = "a-key-of-some-length"
        _, output = self.run_command("config")
        self.assertIn("API_KEYS=<set>\n", output)
        self.assertNotIn(secret, output)
        message, output = self.run_command("config", "--playback-secret", "short-secret")
        self.assertEqual(output, "")
        self.assertTrue(str(message).startswith("rapidrtmp: PLAYBACK_SECRET=<set>: must"), message)

    def test_config_file(self) -> None:
        """The configuration file can be an option."""
        path = Path(self.mktemp())
        path.write_text("HLS_MAX_SEGMENTS=7")
        _, output = self.run_command("config", f"--config-file={path}")
        self.assertIn("HLS_MAX_SEGMENTS=7\n", output)

    def ask(self, *arguments: str) -> Any:
        """Run the command token, and give what the server was asked with."""
        with mock.patch.object(cli, "request_token", return_value=ANSWER) as request:
            status, output = self.run_command("token", *arguments)
        self.assertEqual(status, None)
        self.assertIn("Stream Key  obs?token=abc\n", output)
        return request.call_args.args

    def test_token(self) -> None:
        """It is asked for where the server is, by the key that is configured."""
        key = "a-key-of-some-length"
        asked = self.ask("obs", "--http-addr=0.0.0.0:8080")
        self.assertEqual(asked, ("http://127.0.0.1:8080", "obs", "", None))
        os.environ["API_KEYS"] = key
        asked = self.ask("obs", "--expires=1h30m", "--http-addr=[::1]:9090")
        self.assertEqual(asked, ("http://[::1]:9090", "obs", key, 5400))
        asked = self.ask("--server=https://a.example/x/", "--api-key=other", "obs")
        self.assertEqual(asked, ("https://a.example/x", "obs", "other", None))

    def test_no_token(self) -> None:
        """Why there is none is one line, and exit status 1."""
        with mock.patch.object(cli, "request_token", side_effect=TokenError("no answer")):
            self.assertEqual(self.run_command("token", "obs"), ("rapidrtmp: no answer", ""))
        message, _ = self.run_command("token", "obs", "--http-addr=unix:/run/x")
        self.assertIn("--server", str(message))

    def check(self, *arguments: str, findings: Sequence[str] = ()) -> tuple[object, str]:
        """Run the command check with an address, over an outcome with findings."""
        report = Report()
        for rule in findings:
            report.add(rule, "a.m3u8:1", "something")
        self.asked: list[object] = []

        async def check_url(target: str, reactor: object, **options: object) -> Outcome:
            if "none" in target:
                raise CannotCheck("nothing there")
            self.asked.append((target, options))
            return Outcome(target, 2.0, report)

        with (
            mock.patch("rapidrtmp.check.url.check_url", check_url),
            mock.patch(REACT, react),
        ):
            return self.run_command("check", *arguments)

    def test_check_stream(self) -> None:
        """A stream is judged without the settings; the exit status tells how it went."""
        os.environ["HLS_MAX_SEGMENTS"] = "1"  # makes no sense, and does not matter
        status, output = self.check("http://a/", "--seconds", "5", "--segments=3")
        self.assertEqual(status, None)
        self.assertEqual(self.asked, [("http://a/", {"seconds": 5.0, "segments": 3})])
        self.assertTrue(output.startswith("ok "), output)
        status, output = self.check("--json", "http://a/", findings=["tag-order"])
        self.assertEqual(status, 1)
        self.assertEqual(json.loads(output)["findings"][0]["rule"], "tag-order")
        self.assertEqual(self.check("http://a/", findings=["http-cors"])[0], None)
        self.assertEqual(self.check("http://a/", "--strict", findings=["http-cors"])[0], 1)
        self.assertEqual(self.check("http://none/")[0], 2)

    def test_check_rules(self) -> None:
        """The rules can be printed."""
        status, output = self.run_command("check", "--rules")
        self.assertEqual(status, None)
        self.assertIn("| `extinf-media` | ", output)

    def test_replay(self) -> None:
        """Options stand before or behind the file; the exit status tells how it went."""
        asked: list[tuple[object, ...]] = []

        async def replay(path: Path, server: str, token: str, *others: Any, fast: bool) -> bool:
            asked.append((str(path), server, token, fast))
            if token == "x":
                raise ReplayError("no such token")
            return fast

        for name, stand_in in (("rapidrtmp.replay.replay", replay), (REACT, react)):
            patched = mock.patch(name, stand_in)
            patched.start()
            self.addCleanup(patched.stop)
        self.assertEqual(self.run_command("replay", "a.rtmpdump")[0], 1)
        options = ["--to", "rtmp://b", "--fast"]
        self.assertEqual(self.run_command("replay", *options, "a")[0], None)
        self.assertEqual(self.run_command("replay", "a", *options)[0], None)
        message, _ = self.run_command("replay", "a", "--token=x")
        self.assertEqual(message, "rapidrtmp: no such token")
        self.assertEqual(
            asked,
            [
                ("a.rtmpdump", "rtmp://localhost:1935", "", False),
                ("a", "rtmp://b", "", True),
                ("a", "rtmp://b", "", True),
                ("a", "rtmp://localhost:1935", "x", False),
            ],
        )

    def test_config_markdown(self) -> None:
        """The reference page can be printed."""
        _, output = self.run_command("config", "--markdown")
        self.assertTrue(output.startswith("# Settings\n"))

    def test_demo_without_encoder(self) -> None:
        """Without PyAV the demo says what to install."""
        with mock.patch.object(cli, "find_spec", return_value=None):
            message, _ = self.run_command("demo")
        self.assertIn("pip install 'rapidrtmp[demo]'", str(message))

    def test_demo_serves(self) -> None:
        """The demo is the server, told to publish a test card."""
        with mock.patch.object(cli, "serve") as serve:
            self.assertEqual(self.run_command("demo", "--http-addr=:9090")[0], None)
        (options,) = serve.call_args.args
        self.assertTrue(options.demo)
        self.assertEqual(options.settings.http_addr, ":9090")


class AnnouncementTests(SynchronousTestCase):
    """What the demo prints."""

    def test_two_boxes(self) -> None:
        """The page, and OBS's Server and Stream Key, stand each on a line, ready to copy."""
        text = demo.announcement(
            "http://localhost:8080", "rtmp://localhost:1935/live/obs?token=abc"
        )
        lines = [line.strip() for line in text.splitlines()]
        self.assertIn("http://localhost:8080/player/demo", lines)
        self.assertIn("Server      rtmp://localhost:1935/live", lines)
        self.assertIn("Stream Key  obs?token=abc", lines)

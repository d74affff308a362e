"""Tests for `rapidrtmp.cli`, `rapidrtmp.tap` and twistd's plug-in."""

import io
import os
import signal
import subprocess
import sys
from unittest import mock

from twisted.application.service import IServiceMaker, MultiService, Service
from twisted.plugin import IPlugin
from twisted.python.reflect import namedAny
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp import __version__, cli, config, demo, tap
from twisted.plugins import rapidrtmp_plugin

ONE_LINE = "rapidrtmp: HLS_MAX_SEGMENTS=1: must be a whole number from 3 to 1000"


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


class Failing(Service):
    """A service that a setting keeps from starting."""

    def privilegedStartService(self) -> None:
        """Fail."""
        raise config.SettingError("HTTP_ADDR", ":80", "cannot listen there: Permission denied")

    def startService(self) -> None:
        """Fail."""
        raise config.SettingError("STATE_DIR", "/x", "cannot be written: Permission denied")


class TapTests(SynchronousTestCase):
    """What twistd calls."""

    def test_plugin(self) -> None:
        """The plug-in is a maker of services and leads to `tap`."""
        maker = rapidrtmp_plugin.rapidrtmp
        verifyObject(IServiceMaker, maker)
        verifyObject(IPlugin, maker)
        self.assertEqual(maker.tapname, "rapidrtmp")
        self.assertIs(namedAny(maker.module), tap)
        self.assertIs(maker.options, tap.Options)

    def test_options(self) -> None:
        """Options are parsed into settings."""
        options = tap.Options()
        options.parseOptions(["--http-addr=127.0.0.1:0", "--auth-required=no"])
        self.assertEqual(options.settings.http_addr, "127.0.0.1:0")
        self.assertFalse(options.settings.auth_required)
        self.assertFalse(options.demo)
        self.assertTrue(cli.DemoOptions.demo)

    def test_unknown_option(self) -> None:
        """Twistd gets the error that it expects."""
        self.assertRaises(UsageError, tap.Options().parseOptions, ["--bogus"])

    def test_start_error(self) -> None:
        """It is what twistd cleans up after, and ends the process without a traceback."""
        error = self.assertRaises(
            tap.StartError, tap.Options().parseOptions, ["--hls-max-segments=1"]
        )
        self.assertIsInstance(error, Exception)
        self.assertIsInstance(error, SystemExit)
        # What the interpreter prints to stderr, before it ends with status 1
        self.assertEqual(error.code, ONE_LINE)

    def test_failing_start(self) -> None:
        """A setting that turns out unusable at the start ends it by its one line."""
        started = tap.StartedService(Failing())
        error = self.assertRaises(tap.StartError, started.privilegedStartService)
        self.assertEqual(
            error.code, "rapidrtmp: HTTP_ADDR=:80: cannot listen there: Permission denied"
        )
        error = self.assertRaises(tap.StartError, started.startService)
        self.assertEqual(
            error.code, "rapidrtmp: STATE_DIR=/x: cannot be written: Permission denied"
        )

    def test_holds_the_service(self) -> None:
        """The service starts and stops with what twistd holds."""
        inner = MultiService()
        started = tap.StartedService(inner)
        started.privilegedStartService()
        started.startService()
        self.assertTrue(inner.running)
        started.stopService()
        self.assertFalse(inner.running)

    def test_make_service(self) -> None:
        """Settings and the wish for a test card reach the composition root."""
        from rapidrtmp import service

        for options, wanted in ((tap.Options(), False), (cli.DemoOptions(), True)):
            options.parseOptions(["--hls-max-segments=7"])
            inner = MultiService()
            with mock.patch.object(service, "make_service", return_value=inner) as make:
                started = tap.makeService(options)
            self.assertEqual(make.call_args.args[0], options.settings)
            self.assertEqual(make.call_args.kwargs, {"demo": wanted})
            self.assertIs(inner.parent, started)

    def test_second_signal(self) -> None:
        """Who is asked to stop for the second time stops at once, without a traceback."""
        program = (
            "import os, signal\n"
            "from unittest import mock\n"
            "from twisted.application.service import MultiService\n"
            "from twisted.internet import defer, reactor\n"
            "from rapidrtmp import service, tap\n"
            "class Slow(MultiService):\n"
            "    def stopService(self):\n"
            "        os.kill(os.getpid(), signal.SIGTERM)\n"
            "        return defer.Deferred()\n"
            "options = tap.Options()\n"
            "options.parseOptions([])\n"
            "with mock.patch.object(service, 'make_service', return_value=Slow()):\n"
            "    started = tap.makeService(options)\n"
            "reactor.addSystemEventTrigger('before', 'shutdown', started.stopService)\n"
            "reactor.callWhenRunning(os.kill, os.getpid(), signal.SIGTERM)\n"
            "reactor.callLater(20, os._exit, 99)\n"
            "reactor.run()\n"
        )
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        ended = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True
        )
        self.assertEqual((ended.returncode, ended.stderr), (-signal.SIGTERM, b""))

    def test_make_service_fails(self) -> None:
        """A setting that cannot be used is one line also here."""
        from rapidrtmp import service

        options = tap.Options()
        options.parseOptions([])
        refusal = config.SettingError("STORAGE_DIR", "/x", "cannot be used")
        with mock.patch.object(service, "make_service", side_effect=refusal):
            error = self.assertRaises(tap.StartError, tap.makeService, options)
        self.assertEqual(error.code, "rapidrtmp: STORAGE_DIR=/x: cannot be used")

    def test_imports_no_reactor(self) -> None:
        """Twistd can still choose the reactor after it has imported these modules."""
        program = (
            "import sys, rapidrtmp.tap, rapidrtmp.cli, twisted.plugins.rapidrtmp_plugin as p\n"
            "p.rapidrtmp.options().parseOptions(['--http-addr=tcp:0'])\n"
            "sys.exit('twisted.internet.reactor' in sys.modules)"
        )
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        status = subprocess.run([sys.executable, "-c", program], env=environment).returncode
        self.assertEqual(status, 0)


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

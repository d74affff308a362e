"""Tests for `rapidrtmp.tap` and twistd's plug-in."""

import io
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.application.service import Application, IServiceMaker, MultiService, Service
from twisted.logger import ILogObserver, LogLevel
from twisted.plugin import IPlugin
from twisted.python import usage
from twisted.python.components import Componentized
from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp import cli, config, tap
from rapidrtmp.observability.logging import LogOutput
from twisted.plugins import rapidrtmp_plugin

ONE_LINE = "rapidrtmp: HLS_MAX_SEGMENTS=1: must be a whole number from 3 to 1000"


class Failing(Service):
    """A service that a setting keeps from starting."""

    def privilegedStartService(self) -> None:
        """Fail."""
        raise config.SettingError("HTTP_ADDR", ":80", "cannot listen there: Permission denied")

    def startService(self) -> None:
        """Fail."""
        raise config.SettingError("STATE_DIR", "/x", "cannot be written: Permission denied")


class Server(MultiService):
    """A service that takes new settings."""

    def apply(self, settings: config.Settings) -> None:
        """Take them."""


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

    def test_dump_rtmp(self) -> None:
        """The short name of an option means the same."""
        options = tap.Options()
        options.parseOptions(["--dump-rtmp", "/tmp/x"])
        self.assertEqual(options.settings.rtmp_dump_dir, "/tmp/x")

    def test_unknown_option(self) -> None:
        """Twistd gets the error that it expects."""
        self.assertRaises(usage.UsageError, tap.Options().parseOptions, ["--bogus"])

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
            inner = Server()
            with mock.patch.object(service, "make_service", return_value=inner) as make:
                started = tap.makeService(options)
            self.assertEqual(make.call_args.args[0], options.settings)
            self.assertEqual(make.call_args.kwargs, {"demo": wanted})
            self.assertIs(inner.parent, started)

    def signalled(self, *pauses: float) -> tuple[int, bytes]:
        """End a slow server by a signal and more after pauses; give its status and stderr."""
        program = (
            "import os, signal, sys\n"
            "from unittest import mock\n"
            "from twisted.application.service import MultiService\n"
            "from twisted.internet import defer, reactor\n"
            "from rapidrtmp import service, tap\n"
            "class Slow(MultiService):\n"
            "    def apply(self, settings):\n"
            "        pass\n"
            "    def stopService(self):\n"
            "        stopped = defer.Deferred()\n"
            "        reactor.callLater(1.5, stopped.callback, None)\n"
            "        return stopped\n"
            "options = tap.Options()\n"
            "options.parseOptions([])\n"
            "with mock.patch.object(service, 'make_service', return_value=Slow()):\n"
            "    started = tap.makeService(options)\n"
            "reactor.addSystemEventTrigger('before', 'shutdown', started.stopService)\n"
            "for pause in sys.argv[1:]:\n"
            "    reactor.callLater(float(pause), os.kill, os.getpid(), signal.SIGTERM)\n"
            "reactor.callLater(20, os._exit, 99)\n"
            "reactor.run()\n"
        )
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        ended = subprocess.run(
            [sys.executable, "-c", program, *map(str, pauses)],
            env=environment,
            capture_output=True,
        )
        return ended.returncode, ended.stderr

    def test_second_signal(self) -> None:
        """Who is asked to stop for the second time stops at once, without a traceback."""
        self.assertEqual(self.signalled(0.1, 0.9), (-signal.SIGTERM, b""))

    def test_a_signal_that_comes_twice(self) -> None:
        """Two signals in one moment are one: the stop is a clean one."""
        self.assertEqual(self.signalled(0.1, 0.1, 0.11), (0, b""))

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


SECRET = "0123456789abcdef-secret"


class LogTests(SynchronousTestCase):
    """Where the log goes."""

    def make(self, *arguments: str, **twistd: Any) -> LogOutput | None:
        """Make the output of a command line, below one of twistd."""
        options = tap.Options()
        options.parseOptions(arguments)
        options.parent = usage.Options() if twistd else None
        if options.parent is not None:
            options.parent.update(twistd)
        return tap.make_log_output(options, self.reactor)

    def setUp(self) -> None:
        """Keep the signal as it is."""
        self.reactor = mock.Mock()
        self.addCleanup(signal.signal, signal.SIGUSR1, signal.getsignal(signal.SIGUSR1))
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)

    def log(self, output: LogOutput | None, text: str) -> None:
        """Log a line."""
        assert output is not None
        output(
            {
                "log_time": 1.0,
                "log_level": LogLevel.info,
                "log_namespace": "x",
                "log_format": "{text}",
                "text": text,
            }
        )

    def test_standard_output(self) -> None:
        """Our own command and twistd in the foreground write to standard output."""
        arguments = ("--log-format=json", "--playback-secret", SECRET)
        for twistd in ({}, {"nodaemon": True}, {"nodaemon": True, "logfile": "-"}):
            stream = io.StringIO()
            with mock.patch.object(sys, "stdout", stream):
                self.log(self.make(*arguments, **twistd), f"hello {SECRET}")
            self.assertIn('"message": "hello ***"', stream.getvalue())

    def test_levels(self) -> None:
        """LOG_LEVEL is followed."""
        stream = io.StringIO()
        with mock.patch.object(sys, "stdout", stream):
            self.log(self.make("--log-level=info,x=warn"), "hello")
        self.assertEqual(stream.getvalue(), "")

    def test_file(self) -> None:
        """Twistd's --logfile gets the same lines; SIGUSR1 begins a new file."""
        path = Path(self.mktemp()).absolute()
        output = self.make(nodaemon=False, logfile=str(path))
        self.log(output, "one")
        os.kill(os.getpid(), signal.SIGUSR1)
        self.reactor.callFromThread.call_args.args[0]()
        self.log(output, "two")
        self.assertTrue(path.with_name(path.name + ".1").read_text().endswith(" x: one\n"))
        self.assertTrue(path.read_text().endswith(" x: two\n"))

    def test_own_signal(self) -> None:
        """A SIGUSR1 that somebody uses already is left to them."""

        def mine(*_: object) -> None: ...

        signal.signal(signal.SIGUSR1, mine)
        self.make(nodaemon=False, logfile=str(Path(self.mktemp()).absolute()))
        self.assertIs(signal.getsignal(signal.SIGUSR1), mine)

    def test_twistds_own(self) -> None:
        """Syslog, and a daemon's standard output, which it has not, are left to twistd."""
        self.assertIs(self.make(syslog=True), None)
        self.assertIs(self.make(nodaemon=False, logfile="-"), None)

    def test_application(self) -> None:
        """Twistd finds the observer in its application; without one it takes its own."""
        output = LogOutput(io.StringIO())
        for given in (output, None):
            application: Componentized = Application("x")
            tap.StartedService(MultiService(), given).setServiceParent(application)
            self.assertIs(application.getComponent(ILogObserver, None), given)


class ReloadTests(SynchronousTestCase):
    """SIGHUP."""

    def setUp(self) -> None:
        """Parse options that name a file."""
        self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))
        self.path = Path(self.mktemp())
        self.path.write_text("HLS_MAX_SEGMENTS=7")
        self.options = tap.Options()
        self.options.parseOptions([f"--config-file={self.path}"])
        self.applied: list[config.Settings] = []
        log = mock.patch.object(tap, "_log", mock.Mock())
        self.log = log.start()
        self.addCleanup(log.stop)

    def test_applied(self) -> None:
        """New settings reach every part, and what needs a restart is logged."""
        self.path.write_text(f"HLS_MAX_SEGMENTS=8\nHTTP_ADDR=:1\nPLAYBACK_SECRET={SECRET}")
        output = mock.Mock()
        tap.reload(self.options, [self.applied.append, tap.log_applier(output)])
        (settings,) = self.applied
        self.assertEqual((settings.hls_max_segments, settings.http_addr), (8, ":8080"))
        self.assertIs(self.options.settings, settings)
        self.log.warn.assert_called_once_with("{line}", line="HTTP_ADDR=:1: needs a restart")
        output.set_levels.assert_called_once_with(settings.log_level)
        output.add_secrets.assert_called_once_with([SECRET])

    def test_wrong(self) -> None:
        """A setting that makes no sense changes nothing."""
        self.path.write_text("HLS_MAX_SEGMENTS=1")
        before = self.options.settings
        tap.reload(self.options, [self.applied.append])
        self.assertEqual(self.applied, [])
        self.assertIs(self.options.settings, before)
        self.assertIn("HLS_MAX_SEGMENTS=1: must be", self.log.error.call_args.kwargs["error"])

    def hang_up(self, reactor: mock.Mock) -> None:
        """Send the signal, and do what it asks of the reactor."""
        os.kill(os.getpid(), signal.SIGHUP)
        (action,) = reactor.callFromThread.call_args.args
        action()

    def test_signal(self) -> None:
        """The signal reloads, in the reactor's thread."""
        reactor = mock.Mock()
        with mock.patch.object(os, "isatty", return_value=False):
            tap.reload_at_hangup(self.options, reactor, [self.applied.append])
        self.hang_up(reactor)
        self.assertEqual(len(self.applied), 1)
        reactor.stop.assert_not_called()

    def test_lost_terminal(self) -> None:
        """Who closes the terminal of a server in the foreground ends the server, as ever."""
        reactor = mock.Mock()
        master, slave = pty.openpty()
        self.addCleanup(os.close, slave)
        is_terminal = os.isatty
        with mock.patch.object(os, "isatty", lambda number: number == 1 and is_terminal(slave)):
            tap.reload_at_hangup(self.options, reactor, [self.applied.append])
            self.hang_up(reactor)
            self.assertEqual(len(self.applied), 1)
            os.close(master)
            self.hang_up(reactor)
        self.assertEqual(len(self.applied), 1)
        reactor.stop.assert_called_once_with()

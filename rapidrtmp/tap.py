"""twistd's door: `Options` from the table of settings, and `makeService`.

twistd imports this module before the reactor; only `makeService` may import it.
"""

# Twisted's services and options carry no annotations yet.
# mypy: allow-untyped-calls

import os
import signal
import sys
from collections.abc import Callable, Mapping
from time import monotonic
from types import FrameType
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.task import LoopingCall
from twisted.logger import ILogObserver, Logger
from twisted.python import usage
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile

from rapidrtmp import __version__, config, steady_clock
from rapidrtmp.descriptors import RESERVE, raise_limit
from rapidrtmp.observability.logging import LogOutput
from rapidrtmp.systemd import ServiceManager

_log = Logger()

SAME_SIGNAL = 0.5
"""Seconds."""
CLOCK_LOOK = 10.0
"""Seconds between two looks whether the machine's clock was set."""


class StartError(SystemExit, Exception):
    """The server cannot start: ends the process with one line on stderr and exit status 1.

    As an Exception it makes twistd remove its pid file and tell the parent of a daemon;
    as a SystemExit it then ends the process without a traceback.
    """

    def __init__(self, error: config.SettingError) -> None:
        """Make the line out of the setting's error."""
        super().__init__(f"rapidrtmp: {error}")


class VersionedOptions(usage.Options):
    """Options whose ``--version`` is this program's, not Twisted's."""

    def opt_version(self) -> None:
        """Print the version and exit."""
        print(f"rapidrtmp {__version__}")
        sys.exit(0)


class Options(VersionedOptions):
    """The settings as command-line options. Each default is the environment's."""

    demo = False
    """Whether a test card is published to the server by itself."""
    synopsis = "[options]"
    longdesc = (
        "Each option can also be given in the environment, by the name in parentheses; "
        "the option wins."
    )
    # For each: long name, short name, default (None stays what was not given), help
    optParameters = [
        [row.option, None, None, f"{row.help} ({row.name}) [default: {row.default}]"]
        for row in config.TABLE
    ]

    def opt_dump_rtmp(self, directory: str) -> None:
        """Short for --rtmp-dump-dir."""
        self["rtmp-dump-dir"] = directory

    def postOptions(self) -> None:
        """Read and check the settings into `settings`.

        Raises:
            StartError: a setting cannot be used.
        """
        try:
            self.settings = config.load(os.environ, self)
        except config.SettingError as error:
            # Not a UsageError, before which twistd prints pages of help.
            raise StartError(error) from error

    def reload(self) -> list[str]:
        """Read the settings again: `settings` become those that are to be in force now.

        Returns:
            One line for each setting that changed but needs a restart.

        Raises:
            SettingError: a setting cannot be used; `settings` stay as they are.
        """
        self.settings, lines = config.reload(self.settings, os.environ, self)
        return lines


class StartedService(MultiService):
    """Holds the service, and turns a setting that fails at its start into a `StartError`."""

    def __init__(self, service: IService, log_output: LogOutput | None = None) -> None:
        """Hold one service.

        Args:
            service: the server.
            log_output: what its log goes to; None when twistd sees to that.
        """
        super().__init__()
        self.log_output = log_output
        service.setServiceParent(self)

    def setServiceParent(self, parent: Any) -> None:  # noqa: N802  (Service's name for it)
        """Become a part of twistd's application, which then logs to our output."""
        if isinstance(parent, Componentized) and self.log_output is not None:
            # twistd looks for it when it begins to log; --logger still wins.
            parent.setComponent(ILogObserver, self.log_output)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Start what may need root.

        Raises:
            StartError: an address cannot be listened on, for example.
        """
        try:
            super().privilegedStartService()
        except config.SettingError as error:
            raise StartError(error) from error

    def startService(self) -> None:
        """Start the service.

        Raises:
            StartError: a directory cannot be used, for example.
        """
        try:
            super().startService()
        except config.SettingError as error:
            raise StartError(error) from error


def makeService(options: Options) -> StartedService:
    """Make the whole server out of parsed options."""
    from twisted.internet import reactor

    # Only now: it imports Klein, which imports the reactor.
    from rapidrtmp.service import make_service

    clock = steady_clock.install(reactor)
    settings = options.settings
    raise_limit(settings.rtmp_max_connections + settings.http_max_connections + RESERVE)
    try:
        service = make_service(settings, reactor, demo=options.demo)
    except config.SettingError as error:
        raise StartError(error) from error
    log_output = make_log_output(options, reactor)
    parts = [] if log_output is None else [log_applier(log_output)]
    parts.append(service.apply)
    reactor.callWhenRunning(reload_at_hangup, options, reactor, parts)
    reactor.callWhenRunning(stop_at_signal, reactor)
    reactor.callWhenRunning(LoopingCall(clock.look).start, CLOCK_LOOK)
    started = StartedService(service, log_output)
    # The last one to start, so that it is ready when it says so; and the first one to stop.
    ServiceManager(reactor, os.environ).setServiceParent(started)
    return started


def make_log_output(options: Options, reactor: Any) -> LogOutput | None:
    """Make the log's output, where twistd was told to log.

    Args:
        options: parsed ones, of twistd or of our own command.
        reactor: where SIGUSR1, as with twistd's own log, makes a new log file begin.

    Returns:
        The output, or None where that is twistd's own affair: syslog, and standard output that
        a daemon does not have.
    """
    twistd: Mapping[str, Any] = options.parent or {}
    is_daemon = not twistd.get("nodaemon", True)
    path = twistd.get("logfile") or ("twistd.log" if is_daemon else "-")
    if twistd.get("syslog") or (path == "-" and is_daemon):
        return None
    stream: Any = sys.stdout
    if path != "-":
        file = stream = LogFile.fromFullPath(path)
        # What is set already, twistd leaves alone.
        if not signal.getsignal(signal.SIGUSR1):
            signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(file.rotate))
    output = LogOutput(stream, options.settings.log_format)
    log_applier(output)(options.settings)
    return output


def log_applier(output: LogOutput) -> Callable[[config.Settings], None]:
    """Give what applies settings to the log: its levels, and the secrets to keep out of it."""

    def apply(settings: config.Settings) -> None:
        output.set_levels(settings.log_level)
        output.add_secrets(config.secrets(settings))

    return apply


def reload_at_hangup(
    options: Options, reactor: Any, parts: list[Callable[[config.Settings], None]]
) -> None:
    """From now on, let SIGHUP read the settings again, or end a server that lost its terminal.

    Args:
        options: hold the settings.
        reactor: where it is done.
        parts: each applies new settings to a part of the server.
    """
    terminals = [number for number in range(3) if os.isatty(number)]

    def hang_up() -> None:
        if all(map(os.isatty, terminals)):
            reload(options, parts)
        else:
            reactor.stop()

    signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(hang_up))


def reload(options: Options, parts: list[Callable[[config.Settings], None]]) -> None:
    """Read the settings again and apply them. Wrong ones change nothing, and are logged.

    Args:
        options: hold the settings.
        parts: each applies new settings to a part of the server.
    """
    before = options.settings
    try:
        lines = options.reload()
    except config.SettingError as error:
        _log.error("nothing reloaded: {error}", error=str(error))
        return
    for apply in parts:
        apply(options.settings)
    changed = [
        row.name
        for row in config.TABLE
        if getattr(options.settings, row.attribute) != getattr(before, row.attribute)
    ]
    _log.info("settings reloaded; changed: {names}", names=", ".join(changed) or "nothing")
    for line in lines:
        _log.warn("{line}", line=line)
    if before.api_keys and not options.settings.api_keys:
        _log.warn("no API_KEYS are left: the API answers every client on this machine")


def stop_at_signal(reactor: Any) -> None:
    """From now on, let SIGINT or SIGTERM stop the server, and the next one end it at once.

    Left to the reactor, which is stopping already, the next one would be a traceback in the
    log. One that follows in less than `SAME_SIGNAL` is taken for the same: whoever ends a
    group of processes and the process itself sends two.

    Args:
        reactor: the one that runs.
    """
    stopping: list[float] = []

    def note() -> None:
        stopping.append(monotonic())

    def act(number: int, frame: FrameType | None) -> None:
        if not stopping:
            note()
            stop[number](number, frame)
        elif monotonic() - stopping[0] >= SAME_SIGNAL:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    stop: dict[int, Any] = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        stop[number] = signal.signal(number, act)
    reactor.addSystemEventTrigger("before", "shutdown", note)

"""twistd's door: `Options` from the table of settings, and `makeService`.

twistd imports this module before the reactor; only `makeService` may import it.
"""

# Twisted's services and options carry no annotations yet.
# mypy: allow-untyped-calls

import os
import signal
import sys

from twisted.application.service import IService, MultiService
from twisted.python import usage

from rapidrtmp import __version__, config


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


class StartedService(MultiService):
    """Holds the service, and turns a setting that fails at its start into a `StartError`."""

    def __init__(self, service: IService) -> None:
        """Hold one service."""
        super().__init__()
        service.setServiceParent(self)

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


def makeService(options: Options) -> IService:
    """Make the whole server out of parsed options."""
    from twisted.internet import reactor

    # Only now: it imports Klein, which imports the reactor.
    from rapidrtmp.service import make_service

    try:
        service = make_service(options.settings, reactor, demo=options.demo)
    except config.SettingError as error:
        raise StartError(error) from error
    reactor.addSystemEventTrigger("before", "shutdown", end_at_next_signal)
    return StartedService(service)


def end_at_next_signal() -> None:
    """From the first signal on, let a second SIGINT or SIGTERM end the process at once.

    Left to the reactor, which is stopping already, it would be a traceback in the log.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)

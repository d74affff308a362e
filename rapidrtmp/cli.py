"""The console command ``rapidrtmp``: serve, demo, config, version."""

# Twisted's services and options carry no annotations yet.
# mypy: allow-untyped-calls

import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec

from twisted.python import usage

from rapidrtmp import __version__, config_reference, tap


class DemoOptions(tap.Options):
    """Options of ``rapidrtmp demo``."""

    demo = True


class ConfigOptions(tap.Options):
    """Options of ``rapidrtmp config``."""

    longdesc = (
        "Prints the settings in force, after the environment and the options. "
        + tap.Options.longdesc
    )
    optFlags = [["markdown", None, "Print the reference page of all settings instead."]]


class VersionOptions(tap.VersionedOptions):
    """Options of ``rapidrtmp version``: none."""


class Options(tap.VersionedOptions):
    """Options of ``rapidrtmp``."""

    longdesc = "'rapidrtmp <command> --help' tells more of each."
    subCommands = [
        ["serve", None, tap.Options, "Run the server in the foreground; Ctrl-C ends it."],
        ["demo", None, DemoOptions, "The same, with a live test card to watch."],
        ["config", None, ConfigOptions, "Print the settings in force."],
        ["version", None, VersionOptions, "Print the version."],
    ]

    def getSynopsis(self) -> str:
        """Give the first line of the help, which is also the beginning of each command's."""
        return "Usage: rapidrtmp" + ("" if self.subCommand else " <command> [options]")


def serve(options: tap.Options) -> None:
    """Run the server until it is interrupted. The log goes to standard output."""
    from twisted.internet import reactor
    from twisted.logger import globalLogBeginner, textFileLogObserver

    service = tap.makeService(options)
    # print() stays print(): it does not become a log line.
    globalLogBeginner.beginLoggingTo(
        [textFileLogObserver(sys.stdout)], redirectStandardIO=False, discardBuffer=False
    )
    service.privilegedStartService()
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()


def demo(options: tap.Options) -> None:
    """Run the server with its test card."""
    if find_spec("av") is None:
        sys.exit("rapidrtmp: the demo needs PyAV; install it with: pip install 'rapidrtmp[demo]'")
    serve(options)


def show_config(options: tap.Options) -> None:
    """Print the settings in force, or their reference page."""
    if options["markdown"]:
        sys.stdout.write(config_reference.markdown())
    else:
        sys.stdout.write(config_reference.environment(options.settings))


def show_version(options: usage.Options) -> None:
    """Print the version."""
    print(f"rapidrtmp {__version__}")


COMMANDS: dict[str, Callable[..., None]] = {
    "serve": serve,
    "demo": demo,
    "config": show_config,
    "version": show_version,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        arguments: without the name of the program; those of the process when None.
    """
    options = Options()
    try:
        options.parseOptions(sys.argv[1:] if arguments is None else arguments)
    except usage.UsageError as error:
        sys.exit(f"rapidrtmp: {str(error).rstrip('.')}; see rapidrtmp --help")
    if options.subCommand is None:
        sys.exit(str(options))
    COMMANDS[options.subCommand](options.subOptions)


if __name__ == "__main__":
    main()

"""The console command ``rapidrtmp``: serve, demo, check, config, token, replay, version."""

# Twisted's services and options carry no annotations yet.
# mypy: allow-untyped-calls

import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python import usage

from rapidrtmp import __version__, tap
from rapidrtmp.config import reference
from rapidrtmp.config.kinds import BASE_URL, parse_duration
from rapidrtmp.token_request import TokenError, announcement, api_key, request_token, server_url


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


class _ArgumentFirst(usage.Options):
    """Options that may stand before or behind the one argument."""

    def parseOptions(self, options: Sequence[str] | None = None) -> None:  # noqa: N802  (same)
        """Parse them."""
        first, *others = options or [""]
        super().parseOptions([*others, first] if first[:1] not in ("", "-") else options)


class CheckOptions(_ArgumentFirst, tap.Options):
    """Options of ``rapidrtmp check``."""

    synopsis = "[<URL or file>] [options]"
    longdesc = (
        "With the address of a playlist, follows that stream as a player does, judges playlists, "
        "media and HTTP by RFC 8216bis, Apple's authoring rules, CMAF and ISO BMFF, and says "
        "what is wrong. Exit status 0 without an error, 1 with one, 2 when nothing could be "
        "judged. Without an address, tries the storage and the addresses that the settings "
        "name, while no server runs on them; says 'ok' or 'problem' of each. Exit status 1 with "
        "a problem. " + tap.Options.longdesc
    )
    optParameters = [
        ["seconds", None, "30", "How long a stream is followed at most."],
        ["segments", None, None, "How many segments of each rendition are judged, at most."],
    ]
    optFlags = [
        ["json", None, "Print the findings as JSON."],
        ["strict", None, "A warning is an error to the exit status."],
        ["rules", None, "Print the rules, in Markdown, and end."],
    ]
    target = ""
    """The address of a playlist; '' to try the settings."""
    seconds = 0.0
    segments: int | None = None

    def parseArgs(self, target: str = "") -> None:  # noqa: N802  (usage's name for it)
        """Take the address, if there is one."""
        self.target = target

    def postOptions(self) -> None:
        """Read the options; the settings where they are needed.

        Raises:
            StartError: a setting cannot be used.
            UsageError: another option cannot be used.
        """
        try:
            self.seconds = float(self["seconds"])
            if not 0 < self.seconds < 1e7:
                raise ValueError("too short or long")
            if self["segments"] is not None:
                self.segments = int(self["segments"])
                if self.segments < 1:
                    raise ValueError("too few")
        except ValueError:
            raise usage.UsageError("--seconds and --segments must be numbers above 0") from None
        if not self.target and not self["rules"]:
            super().postOptions()


class TokenOptions(_ArgumentFirst, tap.Options):
    """Options of ``rapidrtmp token``."""

    synopsis = "<stream key> [options]"
    longdesc = (
        "Asks the server that runs on HTTP_ADDR for a publish token, and prints what to copy "
        "into an encoder. " + tap.Options.longdesc
    )
    optParameters = [
        ["expires", None, None, "How long the token is to be valid, such as 30m."],
        ["api-key", None, None, "API key to use [default: the first able one of API_KEYS]"],
        ["server", None, None, "URL of the server [default: at HTTP_ADDR on this machine]"],
    ]
    key = ""
    """The stream key."""
    expires_in: int | None = None
    """Seconds; None leaves it to the server."""

    def parseArgs(self, key: str = "") -> None:  # noqa: N802  (usage's name for it)
        """Take the stream key.

        Raises:
            UsageError: there is none.
        """
        if not key:
            raise usage.UsageError("token needs a stream key")
        self.key = key

    def postOptions(self) -> None:
        """Read the settings and the other options.

        Raises:
            StartError: a setting cannot be used.
            UsageError: another option cannot be used.
        """
        super().postOptions()
        try:
            if self["expires"] is not None:
                self.expires_in = int(parse_duration(self["expires"])) or None
                if self.expires_in is None:
                    raise ValueError("too short")
        except ValueError:
            raise usage.UsageError("--expires must be at least 1s, such as 30m or 1h") from None
        try:
            if self["server"] is not None:
                self["server"] = BASE_URL.parse(self["server"])
        except ValueError:
            raise usage.UsageError(f"--server must be {BASE_URL.allowed}") from None


class ReplayOptions(_ArgumentFirst, tap.VersionedOptions):
    """Options of ``rapidrtmp replay``."""

    synopsis = "<file> [options]"
    longdesc = (
        "Plays a dump, which a server with RTMP_DUMP_DIR has recorded, into a server: the same "
        "chunks at the same times, whatever it answers. Exit status 1 when it closes early."
    )
    optParameters = [
        ["to", None, "rtmp://localhost:1935", "The server."],
        ["token", None, None, "Publish token to use in place of the recorded one."],
    ]
    optFlags = [["fast", None, "Send as fast as the server reads."]]
    path = Path()
    """Of the dump."""

    def parseArgs(self, path: str = "") -> None:  # noqa: N802  (usage's name for it)
        """Take the file.

        Raises:
            UsageError: there is none.
        """
        if not path:
            raise usage.UsageError("replay needs a file")
        self.path = Path(path)


class VersionOptions(tap.VersionedOptions):
    """Options of ``rapidrtmp version``: none."""


class Options(tap.VersionedOptions):
    """Options of ``rapidrtmp``."""

    longdesc = "'rapidrtmp <command> --help' tells more of each."
    subCommands = [
        ["serve", None, tap.Options, "Run the server in the foreground; Ctrl-C ends it."],
        ["demo", None, DemoOptions, "The same, with a live test card to watch."],
        ["check", None, CheckOptions, "Judge a stream, or try out what the settings name."],
        ["config", None, ConfigOptions, "Print the settings in force."],
        ["token", None, TokenOptions, "Get a publish token from the running server."],
        ["replay", None, ReplayOptions, "Play a recorded session into a server."],
        ["version", None, VersionOptions, "Print the version."],
    ]

    def getSynopsis(self) -> str:
        """Give the first line of the help, which is also the beginning of each command's."""
        return "Usage: rapidrtmp" + ("" if self.subCommand else " <command> [options]")


def serve(options: tap.Options) -> None:
    """Run the server until it is interrupted. The log goes to standard output."""
    from twisted.internet import reactor
    from twisted.logger import globalLogBeginner

    service = tap.makeService(options)
    assert service.log_output is not None, "only twistd logs elsewhere"
    # print() stays print(): it does not become a log line.
    globalLogBeginner.beginLoggingTo(
        [service.log_output], redirectStandardIO=False, discardBuffer=False
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
        sys.stdout.write(reference.markdown())
    else:
        sys.stdout.write(reference.environment(options.settings))


def check(options: CheckOptions) -> None:
    """Judge a stream, or try out what the settings name. Ends the process with a status."""
    if options["rules"]:
        from rapidrtmp.judge import rules

        sys.stdout.write(rules.markdown())
        return
    from twisted.internet import reactor
    from twisted.internet.task import react

    run = _check_url if options.target else _check_settings
    react(lambda _: Deferred.fromCoroutine(run(options, reactor)), (), reactor)


async def _check_settings(options: CheckOptions, reactor: Any) -> None:
    from rapidrtmp.check.settings import check

    if not await check(options.settings, reactor, print):
        sys.exit(1)


async def _check_url(options: CheckOptions, reactor: Any) -> None:
    from rapidrtmp.check import outcome
    from rapidrtmp.check.url import CannotCheck, check_url

    try:
        found = await check_url(
            options.target, reactor, seconds=options.seconds, segments=options.segments
        )
    except CannotCheck as error:
        print(f"rapidrtmp: {error}", file=sys.stderr)
        sys.exit(2)
    print(outcome.as_json(found) if options["json"] else outcome.text(found))
    report = found.report
    if report.errors or (options["strict"] and report.warnings):
        sys.exit(1)


def get_token(options: TokenOptions) -> None:
    """Ask the running server for a token, and print it."""
    settings = options.settings
    bearer = options["api-key"] or api_key(settings)
    try:
        server = options["server"] or server_url(settings.http_addr)
        answer = request_token(server, options.key, bearer, options.expires_in)
        sys.stdout.write(announcement(answer))
    except TokenError as error:
        sys.exit(f"rapidrtmp: {error}")


def replay(options: ReplayOptions) -> None:
    """Play a dump into a server. Ends the process, with status 1 when that closes early."""
    from twisted.internet import reactor
    from twisted.internet.task import react

    from rapidrtmp.replay import ReplayError, replay

    async def run() -> None:
        fast = bool(options["fast"])
        try:
            whole = await replay(
                options.path, options["to"], options["token"] or "", reactor, print, fast=fast
            )
        except ReplayError as error:
            sys.exit(f"rapidrtmp: {error}")
        if not whole:
            sys.exit(1)

    react(lambda _: Deferred.fromCoroutine(run()), (), reactor)


def show_version(options: usage.Options) -> None:
    """Print the version."""
    print(f"rapidrtmp {__version__}")


COMMANDS: dict[str, Callable[..., None]] = {
    "serve": serve,
    "demo": demo,
    "check": check,
    "config": show_config,
    "token": get_token,
    "replay": replay,
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

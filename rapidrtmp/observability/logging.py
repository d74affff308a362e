"""The log: one line an event, for people or as JSON, without secrets, and never in the way."""

import json
import math
import os
import re
import select
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from threading import RLock
from typing import IO, Any, Protocol, TypeAlias

from twisted.logger import (
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
)
from zope.interface import implementer

from rapidrtmp.observability.levels import LogLevels
from rapidrtmp.observability.redaction import redact

FORMATS = ("text", "json")

MAX_TEXT = 16 * 1024
"""Characters of a message or a field, and MAX_TRACEBACK of a traceback; the rest is cut off."""
MAX_TRACEBACK = 64 * 1024
PIPE_BUF = select.PIPE_BUF
"""Bytes that a pipe takes at once when it is ready, so that a write of them cannot block."""

# What Twisted tells of its own affairs at 'info' (factories, ports, reactors) is for debugging.
_CHATTER = ("twisted", "log_legacy")
# Of events of the old twisted.python.log: said already by time, namespace and message.
_LEGACY = frozenset({"time", "system", "message", "isError", "failure", "why", "format"})
_RESERVED = frozenset({"level", "namespace", "traceback"}) | _LEGACY


Clean: TypeAlias = Callable[[str, int], str]
"""Takes a text and a length: gives it without secrets, and cut."""


class Stream(Protocol):
    """What lines can be written to: a text stream, or a `twisted.python.logfile.LogFile`."""

    def write(self, text: str, /) -> object:
        """Write a line."""

    def flush(self) -> object:
        """Hand over what was written."""


@implementer(ILogObserver)
class LogOutput:
    """Writes the events of twisted.logger as lines. It is the observer to log to.

    Nobody has to read: what does not fit into a pipe or terminal at once is dropped and counted
    in `dropped`, and so is what a full disk does not take. Nothing of that reaches the caller.
    """

    def __init__(
        self, stream: Stream | IO[str], format: str = "text", levels: LogLevels | None = None
    ) -> None:
        """Make the output.

        Args:
            stream: where lines go. One with a file descriptor is written to by that.
            format: one of `FORMATS`.
            levels: what is written; 'info' and above when None.
        """
        self.dropped = 0
        """Lines that could not be written since the start."""
        self._stream = stream
        self._descriptor = _descriptor(stream)
        self._make_line = {"text": text_line, "json": json_line}[format]
        self._secrets: re.Pattern[str] | None = None
        self._known_secrets: set[str] = set()
        self._is_cut = False
        self._reported = 0
        # Also taken by what a signal starts in the middle of a line.
        self._lock = RLock()
        self.set_levels(levels or LogLevels())

    def set_levels(self, levels: LogLevels) -> None:
        """Write other levels from now on."""
        predicate = LogLevelFilterPredicate(LogLevel.levelWithName(levels.default))
        for namespace, level in levels.namespaces:
            predicate.setLogLevelForNamespace(namespace, LogLevel.levelWithName(level))
        self._level_for = predicate.logLevelForNamespace

    def add_secrets(self, secrets: Iterable[str]) -> None:
        """Take these values out of every line. Those of former calls stay out, too."""
        self._known_secrets.update(filter(None, secrets))
        # The longest first: one may begin like another.
        longest_first = sorted(self._known_secrets, key=len, reverse=True)
        pattern = "|".join(map(re.escape, longest_first))
        self._secrets = re.compile(pattern) if pattern else None

    def __call__(self, event: LogEvent) -> None:
        """Write one event, if its level is wanted."""
        level = event.get("log_level") or LogLevel.info
        namespace = str(event.get("log_namespace") or "")
        if level is LogLevel.info and namespace.split(".", 1)[0] in _CHATTER:
            level = LogLevel.debug
        if level < self._level_for(namespace):
            return
        line = self._make_line(event, level.name, namespace, self._clean)
        with self._lock:
            if self.dropped > self._reported and self._write(self._dropped_line(event)):
                self._reported = self.dropped
            if not self._write(line):
                self.dropped += 1

    def _dropped_line(self, before: LogEvent) -> str:
        event: LogEvent = {
            "log_time": before.get("log_time", 0.0),
            "log_format": "{count} log lines were lost: nobody took them",
            "count": self.dropped - self._reported,
        }
        return self._make_line(event, "warn", __name__, self._clean)

    def _clean(self, text: str, limit: int) -> str:
        if self._secrets is not None:
            text = self._secrets.sub("***", text)
        text = redact(text)
        return text if len(text) <= limit else text[:limit] + "..."

    def _write(self, line: str) -> bool:
        """Write a line; tells whether it was written as a whole."""
        try:
            if self._descriptor is None:
                self._stream.write(line)
                self._stream.flush()
                return True
            wire = line.encode("utf-8")
            return self._write_ready(self._descriptor, b"\n" + wire if self._is_cut else wire)
        except (OSError, ValueError):  # nobody there, disk full; closed
            return False

    def _write_ready(self, descriptor: int, wire: bytes) -> bool:
        ready = select.poll()
        ready.register(descriptor, select.POLLOUT)
        while wire and ready.poll(0):
            wire = wire[os.write(descriptor, wire[:PIPE_BUF]) :]
            self._is_cut = bool(wire)
        return not wire


def text_line(event: LogEvent, level: str, namespace: str, clean: Clean) -> str:
    """Write an event for people: ``<time> <level> <namespace>: <message>`` and a traceback.

    Args:
        event: of twisted.logger.
        level: its level's name.
        namespace: its whole namespace; what the server's own have in common is left out.
        clean: what every text goes through.
    """
    # Cleaned before it is escaped: a secret is looked for as it is.
    message = _printable(clean(formatEvent(event), MAX_TEXT))
    line = f"{_time(event)} {level:5} {_short(namespace)}: {message}\n"
    traceback = _traceback(event)
    if traceback:
        lines = clean(traceback, MAX_TRACEBACK).rstrip().split("\n")
        line += "".join(f"    {_printable(text)}\n" for text in lines)
    return line


def json_line(event: LogEvent, level: str, namespace: str, clean: Clean) -> str:
    """Write an event as one JSON object with the fields of its message that are plain values.

    Args:
        event: of twisted.logger.
        level: its level's name.
        namespace: its whole namespace.
        clean: what every text goes through.
    """
    fields: dict[str, object] = {
        "time": _time(event),
        "level": level,
        "namespace": namespace,
        "message": clean(formatEvent(event), MAX_TEXT),
    }
    for name, value in event.items():
        if name.startswith("log_") or name in _RESERVED:
            continue
        if isinstance(value, str):
            # With its name, by which a secret is told.
            known = clean(f"{name}={value}", MAX_TEXT)
            fields[name] = known[len(name) + 1 :] if known.startswith(f"{name}=") else "***"
        elif value is None or isinstance(value, bool | int):
            fields[name] = value
        elif isinstance(value, float):
            fields[name] = value if math.isfinite(value) else str(value)
    traceback = _traceback(event)
    if traceback:
        fields["traceback"] = clean(traceback, MAX_TRACEBACK)
    return json.dumps(fields) + "\n"


def _time(event: LogEvent) -> str:
    """Write the time as RFC 3339 does: UTC with milliseconds."""
    time = datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _short(namespace: str) -> str:
    """Leave out the program's name and the class, which the module tells."""
    parts = namespace.removeprefix("rapidrtmp.").split(".")
    modules = [part for part in parts if not part[:1].isupper()]
    return _printable(".".join(modules or parts)[:200]) or "-"


def _traceback(event: LogEvent) -> str:
    failure = event.get("log_failure")
    return str(failure.getTraceback()) if failure is not None else ""


def _printable(text: str) -> str:
    """Escape what could break the line, or deceive who reads it."""
    if text.isprintable():
        return text
    return "".join(
        mark if mark.isprintable() else mark.encode("unicode_escape").decode("ascii")
        for mark in text
    )


def _descriptor(stream: Any) -> int | None:
    try:
        descriptor = int(stream.fileno())
        if os.isatty(descriptor):
            # 'Ready' promises room for one byte there. Opened anew: the mode of the old one
            # belongs to others as well.
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            return os.open(os.ttyname(descriptor), flags)
        return descriptor
    except (AttributeError, OSError, ValueError):
        return None

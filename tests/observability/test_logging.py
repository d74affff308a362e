"""Tests for `rapidrtmp.observability.logging`."""

import io
import json
import os
import select
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp.observability.levels import LogLevels
from rapidrtmp.observability.logging import FORMATS, MAX_TEXT, LogOutput

TIME = 1_790_000_000.1239


def event(text: str = "it is {what}", level: str = "info", **fields: Any) -> dict[str, Any]:
    """Make an event as a `Logger` does."""
    return {
        "log_time": TIME,
        "log_level": LogLevel.levelWithName(level),
        "log_namespace": "rapidrtmp.stream.manager.StreamManager",
        "log_format": text,
        "log_source": object(),
        "log_logger": object(),
        "what": "so",
    } | fields


def failure() -> Failure:
    """Give a failure that was raised."""
    try:
        raise ValueError("bad\nluck\x1b[2J token=abc")
    except ValueError:
        return Failure()


class OutputCase(SynchronousTestCase):
    """Writes to memory."""

    def lines(
        self, *events: dict[str, Any], form: str = "text", levels: LogLevels | None = None
    ) -> list[str]:
        """Log events, and give the lines."""
        stream = io.StringIO()
        output = LogOutput(stream, form, levels)
        for each in events:
            output(each)
        self.assertEqual(output.dropped, 0)
        written = stream.getvalue()
        self.assertTrue(not written or written.endswith("\n"))
        # Not splitlines(): what else may look like the end of a line must be escaped.
        return written.split("\n")[:-1]

    def objects(self, *events: dict[str, Any]) -> list[dict[str, Any]]:
        """Log events as JSON, and read them."""
        return [json.loads(line) for line in self.lines(*events, form="json")]


class TextTests(OutputCase):
    """Lines for people."""

    def test_line(self) -> None:
        """Time, level, where it comes from, and what happened."""
        self.assertEqual(
            self.lines(event()), ["2026-09-21T14:13:20.123Z info  stream.manager: it is so"]
        )

    def test_namespaces(self) -> None:
        """Our own are shortened; others stay; a missing one is a dash."""
        for namespace, shown in [
            ("rapidrtmp.listener.Listener", "listener"),
            ("rapidrtmp.tap", "tap"),
            ("hooks_of.others", "hooks_of.others"),
            ("Alone", "Alone"),
            ("", "-"),
        ]:
            (line,) = self.lines(event(log_namespace=namespace))
            self.assertIn(f" {shown}: ", line)

    def test_one_line(self) -> None:
        """Whatever a client sent, the line stays one, and nothing in it acts on a terminal."""
        hostile = "a\r\nb\x00\x1b[31m\x85\u2028\u202e\ud800\x7f\u00e9"
        (line,) = self.lines(event(what=hostile))
        self.assertTrue(line.isprintable())
        self.assertTrue(
            line.endswith("it is a\\r\\nb\\x00\\x1b[31m\\x85\\u2028\\u202e\\ud800\\x7f\u00e9"), line
        )

    def test_traceback(self) -> None:
        """It follows, indented, without secrets and control characters."""
        lines = self.lines(event("failed", "critical", log_failure=failure()))
        self.assertTrue(lines[0].endswith(" critical stream.manager: failed"))
        self.assertTrue(all(line.startswith("    ") and line.isprintable() for line in lines[1:]))
        text = "\n".join(lines)
        self.assertIn("ValueError: bad", text)
        self.assertIn("token=***", text)
        self.assertNotIn("abc", text)

    def test_long(self) -> None:
        """A line has an end."""
        (line,) = self.lines(event(what="x" * 10 * MAX_TEXT))
        self.assertLess(len(line), MAX_TEXT + 100)
        self.assertTrue(line.endswith("x..."))

    def test_unformattable(self) -> None:
        """An event whose format is wrong is a line, too."""
        (line,) = self.lines(event("{missing}"))
        self.assertIn("missing", line)


class JSONTests(OutputCase):
    """Lines for programs."""

    def test_object(self) -> None:
        """The plain values of the event are fields; the logger's own noise is not there."""
        found = self.objects(
            event(what="so\n", count=3, ratio=0.5, none=None, yes=True, thing=object())
        )
        self.assertEqual(
            found,
            [
                {
                    "time": "2026-09-21T14:13:20.123Z",
                    "level": "info",
                    "namespace": "rapidrtmp.stream.manager.StreamManager",
                    "message": "it is so\n",
                    "what": "so\n",
                    "count": 3,
                    "ratio": 0.5,
                    "none": None,
                    "yes": True,
                }
            ],
        )

    def test_own_names_stay(self) -> None:
        """A field of an event cannot take the place of the line's own."""
        (found,) = self.objects(
            event() | {"level": "x", "time": 1, "message": "x", "traceback": "x"}
        )
        self.assertEqual(found["level"], "info")
        self.assertEqual(found["message"], "it is so")
        self.assertNotIn("traceback", found)

    def test_traceback(self) -> None:
        """It is one field."""
        (found,) = self.objects(event("failed", "critical", log_failure=failure()))
        self.assertIn("ValueError: bad\nluck", found["traceback"])
        self.assertNotIn("abc", found["traceback"])

    def test_standard(self) -> None:
        """What JSON has no number for is text, and every line is ASCII."""
        (line,) = self.lines(event(ratio=float("nan"), what="\u2028\ud800"), form="json")
        self.assertTrue(line.isascii())
        self.assertEqual(json.loads(line)["ratio"], "nan")

    def test_secret_fields(self) -> None:
        """A field is told by its name; that of the stream key is none."""
        (found,) = self.objects(event(token="abc", password="abc", key="demo", url="?token=abc"))
        self.assertEqual(
            [found[name] for name in ("token", "password", "key", "url")],
            ["***", "***", "demo", "?token=***"],
        )

    @given(
        st.dictionaries(st.text(min_size=1, max_size=8), st.text() | st.floats() | st.integers())
    )
    @settings(max_examples=60, deadline=None)
    def test_any_fields(self, fields: dict[str, Any]) -> None:
        """Whatever the fields are, it is one line, and one object."""
        (found,) = self.objects(event("x") | {f"f{name}": fields[name] for name in fields})
        self.assertEqual(found["message"], "x")


class SecretTests(OutputCase):
    """What must stand in no line."""

    def test_known(self) -> None:
        """The values of configured secrets go, in messages, fields and tracebacks."""
        secret = 'a"b\\c?d'
        for form in FORMATS:
            stream = io.StringIO()
            output = LogOutput(stream, form)
            output.add_secrets([secret, ""])
            output.add_secrets([secret + "-longer"])
            try:
                raise ValueError(secret)
            except ValueError:
                broken = Failure()
            output(event("{what} {more}", what=secret, more=secret + "-longer", log_failure=broken))
            self.assertNotIn('a"b', stream.getvalue().replace("\\", ""))
            self.assertNotIn("longer", stream.getvalue())
            self.assertIn("*** ***", stream.getvalue())

    def test_unknown(self) -> None:
        """What looks like a secret goes as well."""
        for form in FORMATS:
            (line,) = self.lines(event(what="key?token=abc"), form=form)
            self.assertNotIn("abc", line)


class LevelTests(OutputCase):
    """What is written at all."""

    def count(self, levels: LogLevels, *events: dict[str, Any]) -> int:
        """Tell how many of the events are written."""
        return len(self.lines(*events, levels=levels))

    def test_default(self) -> None:
        """Below 'info' nothing is written unless asked for."""
        every = [event(level=level.name) for level in LogLevel.iterconstants()]
        self.assertEqual(len(self.lines(*every)), 4)
        self.assertEqual(self.count(LogLevels("debug"), *every), 5)
        self.assertEqual(self.count(LogLevels("critical"), *every), 1)

    def test_namespaces(self) -> None:
        """A namespace has its own level, and so has what lies below it."""
        levels = LogLevels("warn", (("rapidrtmp.stream", "debug"), ("rapidrtmp.web", "error")))
        self.assertEqual(self.count(levels, event(level="debug")), 1)
        for namespace, level, written in [
            ("rapidrtmp.streams", "info", 0),
            ("rapidrtmp.web.api", "warn", 0),
            ("rapidrtmp.web.api", "error", 1),
            ("", "warn", 1),
        ]:
            shown = self.count(levels, event(level=level, log_namespace=namespace))
            self.assertEqual(shown, written, namespace)

    def test_change(self) -> None:
        """Levels can be changed while it runs."""
        stream = io.StringIO()
        output = LogOutput(stream)
        output.set_levels(LogLevels("error"))
        output(event())
        self.assertEqual(stream.getvalue(), "")
        output.set_levels(LogLevels("info", (("rapidrtmp", "debug"),)))
        output(event(level="debug"))
        self.assertIn("it is so", stream.getvalue())

    def test_twisted(self) -> None:
        """What Twisted tells of itself is for debugging; its warnings and errors are not."""
        for namespace in ("twisted.internet.tcp.Port", "log_legacy", "twisted"):
            quiet = event(log_namespace=namespace)
            self.assertEqual(self.lines(quiet), [])
            self.assertEqual(self.count(LogLevels("debug"), quiet), 1)
            chosen = LogLevels("info", ((namespace.split(".")[0], "debug"),))
            self.assertEqual(self.count(chosen, quiet), 1)
            self.assertEqual(len(self.lines(event(level="warn", log_namespace=namespace))), 1)

    def test_as_text(self) -> None:
        """Levels are written as LOG_LEVEL has them."""
        self.assertEqual(str(LogLevels("warn", (("a.b", "info"),))), "warn,a.b=info")


class StreamTests(SynchronousTestCase):
    """Where lines go, and what happens when nobody takes them."""

    def test_observer(self) -> None:
        """It is an observer for a publisher of twisted.logger."""
        stream = io.StringIO()
        output = LogOutput(stream)
        verifyObject(ILogObserver, output)
        log = Logger("rapidrtmp.x", observer=LogPublisher(output))
        log.info("hello {who}", who="you")
        self.assertTrue(stream.getvalue().endswith(" info  x: hello you\n"))

    def pipe(self) -> tuple[int, LogOutput]:
        """Make an output into a pipe, and give the end to read."""
        read, write = os.pipe()
        stream = os.fdopen(write, "w")
        self.addCleanup(stream.close)
        return read, LogOutput(stream)

    def test_pipe(self) -> None:
        """A line goes out at once, of whatever length."""
        read, output = self.pipe()
        self.addCleanup(os.close, read)
        output(event(what="x" * 3 * select.PIPE_BUF))
        text = os.read(read, 1 << 20)
        self.assertTrue(text.endswith(b"xxx\n"))
        self.assertEqual(len(text.splitlines()), 1)

    def test_nobody_reads(self) -> None:
        """A full pipe holds nobody up: lines are lost and counted, and later that is told."""
        read, output = self.pipe()
        self.addCleanup(os.close, read)
        for _ in range(2000):
            output(event(what="x" * 1000))
        self.assertGreater(output.dropped, 1000)
        lost = output.dropped
        os.read(read, 1 << 20)
        output(event(what="back"))
        text = os.read(read, 1 << 20).decode()
        # What a cut line left open is ended first.
        report, line = text.strip().split("\n")
        self.assertIn(f" warn  observability.logging: {lost} log lines were lost", report)
        self.assertTrue(line.endswith("it is back"))
        self.assertEqual(output.dropped, lost)
        output(event())
        self.assertEqual(len(os.read(read, 1 << 20).splitlines()), 1)

    def test_cut_line(self) -> None:
        """A line of which only a part went out is ended before the next one."""
        read, output = self.pipe()
        self.addCleanup(os.close, read)
        while not output.dropped:
            output(event(what="x" * 2 * MAX_TEXT))
        whole = os.read(read, 1 << 20)
        self.assertFalse(whole.endswith(b"\n"))
        output(event())
        rest = os.read(read, 1 << 20)
        self.assertTrue(rest.startswith(b"\n2026-"), rest)
        self.assertEqual(rest.count(b"\n"), 3)

    def test_reader_gone(self) -> None:
        """A broken pipe is no error."""
        read, output = self.pipe()
        os.close(read)
        output(event())
        self.assertEqual(output.dropped, 1)

    def test_closed(self) -> None:
        """Neither is a closed stream."""
        stream = io.StringIO()
        output = LogOutput(stream)
        stream.close()
        output(event())
        self.assertEqual(output.dropped, 1)

    def test_full_disk(self) -> None:
        """Nor a full disk: when there is room again, it goes on."""

        class Full(io.StringIO):
            is_full = True

            def write(self, text: str, /) -> int:
                if self.is_full:
                    raise OSError(28, "No space left on device")
                return super().write(text)

        stream = Full()
        output = LogOutput(stream)
        output(event())
        self.assertEqual(output.dropped, 1)
        stream.is_full = False
        output(event())
        self.assertIn("1 log lines were lost", stream.getvalue())
        self.assertTrue(stream.getvalue().endswith("it is so\n"))

    def test_terminal(self) -> None:
        """A terminal that takes no more does not block."""
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        stream = os.fdopen(slave, "w")
        self.addCleanup(stream.close)
        output = LogOutput(stream)
        for _ in range(3000):
            output(event(what="x" * 1000))
        self.assertGreater(output.dropped, 0)
        self.assertTrue(os.get_blocking(slave))

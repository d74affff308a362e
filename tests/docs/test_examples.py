"""Pages show the examples as they are and promise what is there; an example ends in words."""

import contextlib
import io
import re
from inspect import getattr_static
from unittest import mock

import av
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.embedding import make_server
from tests.docs.blocks import ROOT, blocks
from tests.stream.fakes import FakeOutput, request
from tests.test_docs import DOCS
from tests.test_packaging import load

URL = "http://localhost:8080/live/show/index.m3u8"


class PageTests(SynchronousTestCase):
    def test_embedding(self) -> None:
        """The page on embedding has both programs, whole but for the words at their tops."""
        page = (DOCS / "howto" / "embedding.md").read_text()
        shown = [block.text for block in blocks("", page) if block.language == "python"]
        names = ("embedded_server.py", "embedded_asyncio.py")
        programs = [(ROOT / "examples" / name).read_text() for name in names]
        self.assertEqual(shown, [text.partition('"""\n\n')[2] for text in programs])

    def test_promises(self) -> None:
        """Objects have what the page on Python says that they have."""
        reactor = MemoryReactorClock()
        reactor.callFromThread = lambda call: call()  # type: ignore[attr-defined]  # it has none
        settings = {"STORAGE_TYPE": "memory", "AUTH_REQUIRED": "false", "STATE_DIR": self.mktemp()}
        server = make_server(settings, reactor)
        self.successResultOf(server.manager.publish(request()))
        (stream,) = server.manager.streams()
        objects = {
            "the server": server,
            "its manager": server.manager,
            "a stream": stream,
            "its statistics": stream.statistics,
            "what `attach` returns": stream.attach(FakeOutput()),
        }
        page = (DOCS / "reference" / "python.md").read_text()
        rows = page.partition("|---|---|---|\n")[2].partition("\n\n")[0].splitlines()
        self.assertEqual([row.split(" | ")[0].strip("| ") for row in rows], list(objects))
        for row, thing in zip(rows, objects.values(), strict=True):
            names = re.findall(r"`([\w.]+)(\(\w*\))?`", row.split(" | ")[1])
            self.assertGreater(len(names), 0)
            for name, arguments in names:
                found: object = thing
                *parts, last = name.split(".")
                for part in parts:
                    found = getattr(found, part)
                # not asked for its value: a server that listens nowhere has no ports
                value = getattr_static(found, last, None)
                self.assertIsNotNone(value, f"{name} of {row}")
                self.assertEqual(callable(value), bool(arguments), f"{name} of {row}")


class FrameGrabberTests(SynchronousTestCase):
    def ends(self, error: BaseException) -> object:
        """Have an error while the frame grabber looks; give what the program ends with."""
        program = load("examples/frame_grabber.py")
        with (
            mock.patch.object(program, "frames", side_effect=error),
            mock.patch("sys.argv", ["frame_grabber.py", URL]),
        ):
            try:
                return program.main()
            except SystemExit as end:
                return end.code

    def test_errors(self) -> None:
        """A stream that is not there, or is silent, is one line with its address."""
        for error, words in (
            (av.error.HTTPNotFoundError(1, "404 Not Found", URL), f"{URL}: 404 Not Found"),
            (av.error.InvalidDataError(1, "Invalid data"), f"{URL}: Invalid data"),
            (av.error.ExitError(1, "Immediate exit"), f"{URL}: nothing came for 15 s"),
            (PermissionError(13, "Permission denied", "x.jpg"), "x.jpg: Permission denied"),
        ):
            self.assertEqual(self.ends(error), f"frame_grabber: {words}")

    def test_ended(self) -> None:
        """Ctrl-C is a way to end it, and no error."""
        with contextlib.redirect_stdout(io.StringIO()) as output:
            self.assertIsNone(self.ends(KeyboardInterrupt()))
        self.assertEqual(output.getvalue(), "ended by Ctrl-C\n")

"""A reactor whose processes are played by the test, which also has a clock."""

import sys
from collections.abc import Mapping
from typing import Any

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from rapidrtmp.outputs.thumbnail_wire import MADE, UNDECODABLE, Answer, Request, message_length


class Process:
    """A child that does what the test says."""

    def __init__(
        self, protocol: ProcessProtocol, arguments: list[str], env: Mapping[str, str]
    ) -> None:
        self.protocol = protocol
        self.arguments = arguments
        self.env = env
        self.written = b""
        self.is_stdin_closed = False
        self.signals: list[str] = []
        self.is_dead = False

    def write(self, data: bytes) -> None:
        """Take what the parent writes."""
        assert not self.is_stdin_closed
        self.written += data

    def closeStdin(self) -> None:
        """Take the end of it."""
        self.is_stdin_closed = True

    def signalProcess(self, signal: str) -> None:
        """Take a signal."""
        if self.is_dead:
            raise ProcessExitedAlready
        self.signals.append(signal)

    def requests(self) -> list[Request]:
        """Read what was asked since the last look."""
        found = []
        while self.written:
            end = 4 + message_length(self.written[:4])
            found.append(Request.read(self.written[4:end]))
            self.written = self.written[end:]
        return found

    def request(self) -> Request:
        """Read the one request that was asked since the last look."""
        [request] = self.requests()
        return request

    def answer(self, request: Request, body: bytes = b"JPEG", outcome: int = MADE) -> None:
        """Answer."""
        self.protocol.outReceived(Answer(request.number, outcome, body).write())

    def refuse(self, request: Request) -> None:
        """Find no picture."""
        self.answer(request, b"no picture", UNDECODABLE)

    def die(self, status: int = 1) -> None:
        """End, and be waited for."""
        self.is_dead = True
        reason = ProcessTerminated(status) if status else ProcessDone(0)
        self.protocol.processEnded(Failure(reason))


class Reactor(MemoryReactorClock):
    """Starts such processes."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[Process] = []
        self.error: OSError | None = None
        """What starting one fails with."""

    @property
    def process(self) -> Process:
        """The newest."""
        return self.processes[-1]

    def spawnProcess(
        self, protocol: ProcessProtocol, program: str, arguments: list[str], env: Any
    ) -> None:
        """Start one."""
        assert program == sys.executable
        if self.error is not None:
            raise self.error
        process = Process(protocol, arguments, env)
        self.processes.append(process)
        protocol.makeConnection(process)

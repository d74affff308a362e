"""Dumps: what clients send, byte by byte with its times, for a bug report.

A dump begins with two lines of text: `MAGIC`, and a JSON object (``started``: unix time,
``connection``, ``server``: version). Then, for each read of the connection: ms since the start
and number of bytes as big-endian u32, and the bytes. Publish tokens are among them.
"""

import json
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from rapidrtmp import __version__
from rapidrtmp.protocol.connection import RTMPServerProtocol

if TYPE_CHECKING:
    from rapidrtmp.protocol.server import RTMPServerFactory

MAGIC = b"RapidRTMP dump 1\n"
SUFFIX = ".rtmpdump"
MAX_SIZE = 32 << 20
"""Bytes of one dump: what goes wrong in a connection does so in its first minute, mostly."""
MAX_DUMPS = 50
"""In the directory. Further connections are not recorded: nothing is ever removed."""
MAX_HEADER = 512
"""Bytes of the second line."""
_RECORD = struct.Struct(">II")


class DumpError(ValueError):
    """A file is no dump. The message says why, in words that follow its name."""


@dataclass(frozen=True, slots=True)
class Dump:
    """One that was read."""

    about: dict[str, Any]
    """What the header says."""
    records: Sequence[tuple[int, bytes]]
    """ms since the start, and what arrived in one read."""


class Recording:
    """A dump that is being written. A file that fails ends it, never the connection."""

    _log = Logger()

    def __init__(self, path: Path, connection_id: str, clock: IReactorTime) -> None:
        """Begin the file, which nobody but the server's user can read.

        Args:
            path: that does not exist.
            connection_id: names the connection.
            clock: tells unix time.

        Raises:
            OSError: it cannot be made.
        """
        self._path = path
        self._clock = clock
        self._started = clock.seconds()
        self._size = 0
        # Unbuffered: what came before a crash is what one wants to see.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file: FileIO | None = FileIO(descriptor, "wb")
        about = {
            "started": round(self._started, 3),
            "connection": connection_id,
            "server": __version__,
        }
        self._put(MAGIC + json.dumps(about).encode() + b"\n")

    def write(self, octets: bytes) -> None:
        """Record one read; nothing more once the file would be larger than `MAX_SIZE`."""
        if self._file is None:
            return
        ms = max(0, min(0xFFFFFFFF, round((self._clock.seconds() - self._started) * 1000)))
        record = _RECORD.pack(ms, len(octets)) + octets
        if self._size + len(record) > MAX_SIZE:
            self._log.info("{path} is full", path=self._path)
            self.close()
        else:
            self._put(record)

    def close(self) -> None:
        """End the file. Calls after the first do nothing."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _put(self, octets: bytes) -> None:
        assert self._file is not None
        self._size += len(octets)
        words = "the disk is full"
        try:
            if self._file.write(octets) == len(octets):
                return
        except OSError as error:
            words = error.strerror or str(error)
        self._log.error("{path}: {words}", path=self._path, words=words)
        self.close()


class Dumps:
    """Records connections into a directory. For debugging: it writes in the reactor's thread."""

    _log = Logger()

    def __init__(self, directory: Path, clock: IReactorTime) -> None:
        """Touch nothing yet.

        Args:
            directory: made at the start.
            clock: tells unix time.
        """
        self._directory = directory
        self._clock = clock
        self._left = 0

    def start(self) -> None:
        """Make the directory, and say loudly what goes into it."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._left = max(0, MAX_DUMPS - len(list(self._directory.glob(f"*{SUFFIX}"))))
        except OSError as error:
            self._fail(error)
            return
        self._log.warn(
            "RTMP_DUMP_DIR={path}: ALL THAT RTMP CLIENTS SEND IS RECORDED THERE, PUBLISH TOKENS"
            " INCLUDED, of the next {left} connections; do not leave it on",
            path=self._directory,
            left=self._left,
        )

    def begin(self, connection_id: str) -> Recording | None:
        """Begin to record a connection.

        Returns:
            Its recording; None when there are too many, or the file cannot be made.
        """
        if not self._left:
            return None
        self._left -= 1
        now = datetime.fromtimestamp(self._clock.seconds(), UTC)
        name = f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03}-{connection_id}{SUFFIX}"
        try:
            recording = Recording(self._directory / name, connection_id, self._clock)
        except OSError as error:
            self._fail(error)
            return None
        if not self._left:
            self._log.warn(
                "RTMP_DUMP_DIR={path} has its {count} dumps, no more connections are recorded",
                path=self._directory,
                count=MAX_DUMPS,
            )
        return recording

    def _fail(self, error: OSError) -> None:
        self._left = 0
        self._log.error(
            "RTMP_DUMP_DIR={path} cannot be used, nothing is recorded: {error}",
            path=self._directory,
            error=error.strerror,
        )


class RecordedRTMPServerProtocol(RTMPServerProtocol):
    """A client's connection that is recorded from its first byte on."""

    def __init__(self, factory: "RTMPServerFactory", connection_id: str, dumps: Dumps) -> None:
        super().__init__(factory, connection_id)
        self._dumps = dumps
        self._has_begun = False
        self._recording: Recording | None = None

    def dataReceived(self, data: bytes) -> None:
        """Record bytes of the client, then take them."""
        if not self._has_begun:
            self._has_begun = True
            self._recording = self._dumps.begin(self.connection_id)
        if self._recording is not None:
            self._recording.write(data)
        super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the dump, and let go of everything."""
        if self._recording is not None:
            self._recording.close()
        super().connectionLost(reason)


def read_dump(path: Path) -> Dump:
    """Read a dump. A last record that was cut short is left out: so a crash leaves it.

    Raises:
        DumpError: the file is not one.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise DumpError("is not a dump")
        header = file.readline(MAX_HEADER)
        octets = file.read(MAX_SIZE + 1)
    try:
        about = json.loads(header)
    except ValueError:
        about = None
    if not isinstance(about, dict) or len(octets) > MAX_SIZE:
        raise DumpError("is not a dump of this kind")
    records = []
    position = 0
    while position + _RECORD.size <= len(octets):
        ms, length = _RECORD.unpack_from(octets, position)
        position += _RECORD.size
        if position + length > len(octets):
            break
        records.append((ms, octets[position : position + length]))
        position += length
    return Dump(about, records)

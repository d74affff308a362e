"""Encoders that something happens to: what a viewer of theirs must live through.

Each is a method of `Scenarios` that runs to its end, by the name of its stream key. A player, or
a checker, that follows the stream meanwhile is what is tested.
"""

import itertools
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.integration import enhanced_publisher, media
from tests.integration.case import IntegrationTestCase
from tests.integration.enhanced_publisher import Spec
from tests.integration.media import Tag
from tests.integration.raw_publisher import RawPublisher
from tests.integration.server import Server

SECONDS = 6
"""That each recording lasts."""
HOUR = 3_600_000
"""ms by which a clock jumps."""


def is_setup(tag: Tag) -> bool:
    """Tell whether it is metadata or a decoder configuration."""
    is_enhanced = tag.type_id == 9 and tag.body[0] & 0x80
    return tag.type_id == 18 or (tag.body[0] & 0x0F == 0 if is_enhanced else tag.is_config)


def is_end(tag: Tag) -> bool:
    """Tell whether it says that the pictures are over."""
    return tag.type_id == 9 and (
        tag.body[0] & 0x0F == 2 if tag.body[0] & 0x80 else tag.body[1] == 2
    )


def recording(name: str) -> list[Tag]:
    """Give the tags of a sample that is in RECIPES, or of an Enhanced RTMP one."""
    return [tag for tag in media.flv_tags(media.as_flv(media.sample(name))) if not is_end(tag)]


def vp9(directory: Path) -> list[Tag]:
    """Give the tags of a VP9 recording."""
    path = directory / "vp9.flv"
    specs = (Spec("libvpx-vp9", size=(320, 180)), Spec("aac"))
    path.write_bytes(enhanced_publisher.record(specs, SECONDS))
    return [tag for tag in media.flv_tags(path) if not is_end(tag)]


class LiveEncoder:
    """Sends a recording over and over in real time, in a thread of its own."""

    def __init__(self, server: Server, key: str, tags: Sequence[Tag]) -> None:
        self._server = server
        self._name = f"{key}?token={server.mint(key)}"
        self._tags = tags
        self._shift = 0
        self._publisher: RawPublisher | None = None
        self._lost: list[RawPublisher] = []
        self._changed = threading.Event()
        self._over = False
        self._thread: threading.Thread | None = None

    def publish(self) -> None:
        """Connect and send, from the recording's beginning."""
        self._publisher = RawPublisher(self._server.rtmp_port)
        self._publisher.publish(self._name)
        self._changed.clear()
        self._thread = threading.Thread(target=self._send, args=(self._publisher,), daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Fall silent, with the connection open: a cable is pulled."""
        assert self._publisher is not None
        self._lost.append(self._publisher)
        self._end_thread()

    def switch(self, tags: Sequence[Tag]) -> None:
        """Go on with another recording when this one is at its end."""
        self._tags = tags

    def jump(self, ms: int) -> None:
        """Put the encoder's clock forward, or back."""
        self._shift += ms

    def close(self) -> None:
        """Stop, and hang up."""
        self._end_thread()
        for publisher in (*self._lost, self._publisher):
            if publisher is not None:
                publisher.close()
        self._lost.clear()

    def _end_thread(self) -> None:
        self._changed.set()
        if self._thread is not None:
            self._thread.join(10.0)

    def _send(self, publisher: RawPublisher) -> None:
        begun = time.monotonic()
        sent: Sequence[Tag] = ()
        for turn in itertools.count():
            is_new, sent = self._tags is not sent, self._tags
            for tag in sent:
                if is_setup(tag) and not is_new:
                    continue
                at = tag.timestamp + 1000 * SECONDS * turn
                if self._changed.wait(max(0.0, begun + at / 1000 - time.monotonic())):
                    return
                publisher.send_tags([tag], shift=at - tag.timestamp + self._shift)


class Scenarios:
    """The encoders of all scenarios, on one server, which must wait longer than `outage`."""

    NAMES = ("reconnect", "resolution", "codec", "outage", "clock")

    def __init__(self, case: IntegrationTestCase, server: Server, *, outage: float) -> None:
        """Start the encoders.

        Args:
            case: the test.
            server: where to.
            outage: seconds.
        """
        self._seconds = outage
        self._plain, self._larger = recording("rate_48000"), recording("larger")
        self._vp9 = vp9(case.temporary())
        self.encoders = {name: LiveEncoder(server, name, self._plain) for name in self.NAMES}
        case.addCleanup(self.close)
        for encoder in self.encoders.values():
            encoder.publish()

    def run(self) -> None:
        """Let everything happen, at the same time; return when all is well again."""
        threads = [threading.Thread(target=getattr(self, name)) for name in self.NAMES]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def close(self) -> None:
        """End all encoders."""
        for encoder in self.encoders.values():
            encoder.close()

    def reconnect(self) -> None:
        """The cable is pulled; the encoder is back before the server knows."""
        self.encoders["reconnect"].cut()
        self.encoders["reconnect"].publish()

    def resolution(self) -> None:
        """Picture size and sample rate change in one connection."""
        self.encoders["resolution"].switch(self._larger)

    def codec(self) -> None:
        """H.264 becomes VP9 in one connection."""
        self.encoders["codec"].switch(self._vp9)

    def outage(self) -> None:
        """Nothing comes for a while."""
        self.encoders["outage"].cut()
        time.sleep(self._seconds)
        self.encoders["outage"].publish()

    def clock(self) -> None:
        """The encoder's clock jumps an hour forward, and back."""
        self.encoders["clock"].jump(HOUR)
        time.sleep(SECONDS)
        self.encoders["clock"].jump(-HOUR)

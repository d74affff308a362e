"""Captions, timed metadata and I-frames: what hls.js in Chromium and FFmpeg make of them."""

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from urllib.parse import urljoin

from tests.browser.test_player import Browser
from tests.hls.checker import MediaPlaylist, parse_media_playlist, parse_multivariant_playlist
from tests.integration import media
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.media import Tag
from tests.integration.process import PATIENCE, Child, tool, wait_for
from tests.integration.raw_publisher import RawPublisher, amf
from tests.integration.server import Server
from tests.isobmff.checker import parse_events
from tests.media.test_captions import line_21, user_data

LOOP = 6000
"""ms of the sample."""
WORDS = ("HELLO!", "WORLD!")
ROOT = Path(__file__).parent.parent.parent
WANTED = {"TXXX:onTextData", "TXXX:note", "X-TEXT", "X-TEAM", "SCTE35-OUT", *WORDS}
"""Keys of metadata and texts of captions that hls.js makes cues of."""
AGAIN = 6.0
"""Seconds after which the note is said again, if it was not heard."""
CAPTIONED = 12
"""Pictures from one with a caption to the next."""


def caption(word: str) -> bytes:
    """Return the triplets of field 1 that show a word.

    All in one picture: hls.js forgets what it has of a caption with each part that it loads.
    """
    codes = [(0x14, 0x20), (0x14, 0x2E), (0x14, 0x70)]  # load, erase what is not shown, row 15
    letters = zip(word.encode()[::2], word.encode()[1::2], strict=True)
    pairs = [*codes, *letters, (0x14, 0x2F)]  # show
    return b"".join(line_21(0, *pair) for pair in pairs)


def with_captions(tag: Tag, triplets: bytes) -> Tag:
    """Put captions into the SEI of a picture."""
    data = user_data(triplets)
    body = bytes((4, len(data))) + data
    for value in range(4):
        body = body.replace(bytes((0, 0, value)), bytes((0, 0, 3, value)))
    unit = b"\x06" + body + b"\x80"
    return tag._replace(body=tag.body[:5] + len(unit).to_bytes(4, "big") + unit + tag.body[5:])


def captioned() -> Iterator[Tag]:
    """Give the tags of a sample again and again, with captions, and once a second a text."""
    tags = list(media.flv_tags(media.as_flv(media.sample("plain"))))
    pictures = 0
    for turn in count():
        said = -1
        for tag in tags:
            tag = tag._replace(timestamp=tag.timestamp + turn * LOOP)
            if turn and (tag.is_config or tag.type_id == 18):
                continue
            if tag.type_id == 9 and not tag.is_config and tag.body[1] == 1:
                if pictures % CAPTIONED == 0:
                    tag = with_captions(tag, caption(WORDS[pictures // CAPTIONED % 2]))
                pictures += 1
            yield tag
            if tag.timestamp // 1000 != said and tag.type_id == 9:
                said = tag.timestamp // 1000
                yield Tag(15, tag.timestamp, b"\0" + amf("onTextData", {"text": f"at {said}"}))


class Publishing(threading.Thread):
    """Publishes in real time until it is stopped."""

    def __init__(self, publisher: RawPublisher) -> None:
        super().__init__(daemon=True)
        self._publisher = publisher
        self._stopped = threading.Event()

    def run(self) -> None:
        """Send."""
        begun = time.monotonic()
        for tag in captioned():
            if self._stopped.wait(max(0.0, begun + tag.timestamp / 1000 - time.monotonic())):
                return
            self._publisher.send_tags([tag])

    def stop(self) -> None:
        """Send nothing more."""
        self._stopped.set()
        self.join(10)


class MetadataTests(IntegrationTestCase):
    def test_metadata(self) -> None:
        """Everything is declared, read by others without a complaint, and heard by hls.js."""
        server = self.serve()
        publisher = self.raw(server)
        publisher.publish(f"{KEY}?token={server.mint(KEY)}")
        publishing = Publishing(publisher)
        self.addCleanup(publishing.stop)
        publishing.start()
        server.wait_playlist(KEY)
        wait_for(lambda: b"CC1" in server.get(f"/live/{KEY}/index.m3u8").body, "captions", 10)
        browser = Browser(self, server.url(f"/player/{KEY}"))
        browser.wait_time(1)
        viewer = self.watch(server)
        self.insert(server)
        self.wait_heard(server, browser)
        self.judge(server)
        self.assert_clean(viewer)
        self.assertEqual([e for e in browser.state["errors"] if e["fatal"]], [])
        browser.close()
        publishing.stop()
        publisher.close()
        server.stop()

    def insert(self, server: Server) -> None:
        """Put one of each kind in, as the documentation does it."""
        text = (ROOT / "docs" / "topics" / "metadata.md").read_text()
        [block] = re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        script = block.replace("http://localhost:8080", server.url("")).replace("show", KEY)
        script = script.replace("curl", f"{tool('curl')} --fail-with-body")
        child = Child(["bash", "-euc", script], self.temporary() / "log")
        self.addCleanup(child.kill)
        child.succeed()

    def judge(self, server: Server) -> None:
        """Look at playlists and segments, and have FFmpeg look at them."""
        index = parse_multivariant_playlist(server.get(f"/live/{KEY}/index.m3u8").body)
        self.assertEqual(index.captions, ["CC1"])
        [i_frames] = index.i_frames
        uri = i_frames.uri.replace("-iframes", "")
        last = "splice-1207959695"  # with the next whole segment
        wait_for(lambda: last in self.playlist(server, uri).date_ranges, "the date ranges", 5)
        playlist = self.playlist(server, uri)
        self.assertIn("goal-3", playlist.date_ranges)
        self.assertTrue(any("onTextData" in name for name in playlist.date_ranges))
        self.assertTrue(self.playlist(server, i_frames.uri).i_frames_only)
        init = self.file(server, uri, playlist.segments[0].map_uri)
        segments = [self.file(server, uri, segment.uri) for segment in playlist.segments]
        schemes = {event.scheme for body in segments for event in parse_events(body)}
        self.assertEqual(schemes, {"https://aomedia.org/emsg/ID3", "urn:scte:scte35:2013:bin"})
        pictures = round(25 * sum(segment.duration for segment in playlist.segments))
        self.assertEqual(self.decoded(init + b"".join(segments)), pictures)
        for segment in self.playlist(server, i_frames.uri).segments[-2:]:
            body = self.file(server, uri, segment.uri)[: segment.i_frame_size]
            self.assertEqual(self.decoded(init + body, complaint=b"partial file"), 1)

    def playlist(self, server: Server, uri: str) -> MediaPlaylist:
        """Fetch a media playlist of whole segments."""
        return parse_media_playlist(server.get(f"/live/{KEY}/{uri}?ll=0").body)

    def file(self, server: Server, playlist: str, uri: str) -> bytes:
        """Fetch a file that a media playlist names."""
        return server.get(urljoin(f"/live/{KEY}/{playlist}", uri)).body

    def decoded(self, media_file: bytes, complaint: bytes = b"") -> int:
        """Have FFmpeg count the pictures; it must not complain but of what is expected."""
        path = self.temporary() / "video.mp4"
        path.write_bytes(media_file)
        answer = subprocess.run(
            [
                *(tool("ffprobe"), "-v", "warning", "-count_frames", "-of", "json"),
                *("-show_entries", "stream=nb_read_frames", str(path)),
            ],
            capture_output=True,
            timeout=60 * PATIENCE,
            check=True,
        )
        lines = answer.stderr.splitlines()
        self.assertEqual([line for line in lines if not complaint or complaint not in line], [])
        [stream] = json.loads(answer.stdout)["streams"]
        return int(stream["nb_read_frames"])

    def wait_heard(self, server: Server, browser: Browser) -> None:
        """Wait until hls.js has made cues of everything.

        Where the machine stands still, it jumps to the live edge, and does not load what it jumps
        over: what is said once only, the note, is said again.
        """
        heard: set[str] = set()
        said_at = time.monotonic()

        def is_heard() -> bool:
            nonlocal said_at
            cues = browser.state.get("cues", ())
            heard.update(cue["key"] or "" for cue in cues if cue["kind"] == "metadata")
            heard.update(cue["text"] for cue in cues if cue["kind"] == "captions")
            if "TXXX:note" not in heard and time.monotonic() - said_at > AGAIN:
                said_at = time.monotonic()
                note = {"kind": "id3", "description": "note", "text": "half time"}
                answer = server.post(f"/api/v1/streams/{KEY}/timed-metadata", note)
                self.assertEqual(answer.status, 200, answer.text)
            return heard >= WANTED

        try:
            wait_for(is_heard, "hls.js hears all", 15)
        except AssertionError as error:
            missing = sorted(WANTED - heard)
            raise AssertionError(f"{error}; not {missing}: {browser.state}") from None

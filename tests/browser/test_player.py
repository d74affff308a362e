"""The player page in headless Chromium: hls.js plays what ffmpeg publishes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.browser.watch import CHROMIUM
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import Child, python_environment, tool, wait_for


class Browser:
    """A browser on one page."""

    def __init__(self, case: IntegrationTestCase, url: str, watch: str = "watch") -> None:
        if not Path(CHROMIUM).exists():
            tool("chromium")  # fails with what to install
        self.child = Child(
            [sys.executable, "-m", f"tests.browser.{watch}", url],
            case.temporary() / "browser.log",
            environment=python_environment(),
            stdin=subprocess.PIPE,
        )
        case.addCleanup(self.child.kill)
        wait_for(lambda: self.state, "the page is open", 40)

    @property
    def state(self) -> dict[str, Any]:
        """What was seen last."""
        # what stands behind the last end of line is still being written
        lines = self.child.output().split("\n")[:-1]
        complete = [line for line in lines if line.startswith("{")]
        if not complete:
            if not self.child.running():
                raise AssertionError(f"the browser ended:\n{self.child.output()[-2000:]}")
            return {}
        told: dict[str, Any] = json.loads(complete[-1])
        return told

    def wait_time(self, seconds: float, timeout: float = 30.0) -> None:
        """Wait until the video, once it plays, has come on by so many seconds."""
        begun = 0.0
        try:
            wait_for(lambda: self.state.get("frames", 0) > 0, "a frame is played", timeout)
            begun = self.state.get("time", 0.0)
            wait_for(
                lambda: self.state.get("time", 0.0) > begun + seconds,
                f"currentTime advances by {seconds} s from {begun}",
                timeout,
            )
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.state, indent=1)}") from None

    def close(self) -> None:
        """Leave the page."""
        if self.child.process.stdin is not None:
            self.child.process.stdin.close()
        self.child.succeed(20)


class PlayerTests(IntegrationTestCase):
    def assert_plays(self, browser: Browser, width: int, height: int, *, audio: bool) -> None:
        """Picture and sound are decoded, nothing failed, nothing came from elsewhere."""
        state = browser.state
        self.assertTrue(state["hls"], "the page does not use hls.js")
        self.assertEqual((state["width"], state["height"]), (width, height))
        self.assertGreater(state["frames"], 20)
        self.assertLess(state["dropped"], state["frames"] / 2)
        self.assertGreater(state["videoBytes"], 0)
        if audio:
            self.assertGreater(state["audioBytes"], 0)
        self.assertEqual([each for each in state["errors"] if each["fatal"]], [])
        self.assertIsNone(state["error"])
        self.assertFalse(state["paused"])
        self.assertEqual(state["outside"], [])
        self.assertEqual(state["thrown"], [])
        self.assertEqual(state["failed"], [])

    def test_plays(self) -> None:
        """The page of a live stream plays by itself, and goes on after a cut and a return."""
        server = self.serve(STREAM_GRACE="30s", HLS_MAX_SEGMENTS="10")
        token = server.mint(KEY)
        cable = self.freezer(server)
        first = self.publish(server, "rate_48000", token, port=cable.port, live=True, loop=True)
        server.wait_playlist(KEY)
        browser = Browser(self, server.url(f"/player/{KEY}"))
        browser.wait_time(3)
        self.assert_plays(browser, 320, 180, audio=True)
        picture = [f"Latest picture of {KEY}", 320]
        wait_for(lambda: browser.state["pictures"] == [picture], "the list shows the picture")
        cable.freeze()
        first.kill()
        frames = browser.state["frames"]
        second = self.publish(server, "rate_48000", token, live=True, loop=True)
        viewer = self.watch(server)
        wait_for(lambda: viewer.discontinuities == 1, "EXT-X-DISCONTINUITY", 15)
        wait_for(
            lambda: browser.state["time"] > 1 and browser.state["frames"] > frames + 150,
            "frames of the second publisher are played",
            40,
        )
        browser.wait_time(3)
        self.assert_plays(browser, 320, 180, audio=True)
        self.assertEqual(server.post(f"/api/v1/streams/{KEY}/stop").status, 200)
        wait_for(lambda: browser.state["page"] == "ended", "the page says that it is over", 30)
        self.assert_clean(viewer)
        browser.close()
        second.kill()
        server.stop()

    def test_stuck(self) -> None:
        """Where a player does not begin though the stream goes on, the page makes another."""
        server = self.serve()
        publisher = self.publish(server, "rate_48000", server.mint(KEY), live=True, loop=True)
        server.wait_playlist(KEY)
        browser = Browser(self, server.url(f"/player/{KEY}"), "stuck")
        browser.wait_time(1, 40)
        state = browser.state
        self.assertGreater(state["players"], 1)
        self.assertEqual([each for each in state["errors"] if each["fatal"]], [])
        self.assertEqual((state["thrown"], state["failed"]), ([], []))
        browser.close()
        publisher.kill()
        server.stop()

    def test_open_gop(self) -> None:
        """B-frames that reach over I-frames, which are no IDR, play without an error.

        The stream is over, so that the browser plays it from its only IDR picture on: it
        cannot join between two of them (Chromium's decoder fails at the leading pictures).
        """
        server = self.serve(STREAM_GRACE="1s")
        viewer = self.watch(server)
        self.publish(server, "open_gop", server.mint(KEY)).succeed()
        viewer.wait_ended()
        browser = Browser(self, server.url(f"/player/{KEY}"))
        browser.wait_time(5)
        self.assert_plays(browser, 320, 180, audio=True)
        wait_for(lambda: browser.state["frames"] >= 195, "all 200 pictures are shown", 20)
        self.assertEqual([each for each in browser.state["errors"] if each["fatal"]], [])
        self.assert_clean(viewer)
        browser.close()
        server.stop()

    def test_diagnosis(self) -> None:
        """What is wrong with an encoder is told when it is found, as plain text, until it goes."""
        # a browser may take long to begin
        server = self.serve(RTMP_FIRST_MEDIA_TIMEOUT="10m", RTMP_IDLE_TIMEOUT="10m")
        browser = Browser(self, server.url(f"/player/{KEY}"))
        encoder = self.raw(server)
        encoder.publish(f"{KEY}?token={server.mint(KEY)}")
        # after five seconds, that it sends nothing is a problem, too
        wait_for(lambda: "Encoder" in browser.state.get("text", ""), "the encoder is there", 20)
        # SequenceStart of a FourCC that is none, but would be markup
        encoder.send(9, 4, encoder.stream_id, 0, b"\x90<u>z")
        problem = "Not supported, its frames are dropped: unknown codec (<u>z)"
        wait_for(lambda: problem in browser.state["text"], "the problem is shown", 15)
        text = browser.state["text"]
        self.assertIn("Choose H.264 and AAC, which play everywhere, in OBS → Settings", text)
        self.assertRegex(text, r"not live yet\n\d problem")
        encoder.close()
        wait_for(lambda: "Encoder" not in browser.state["text"], "it has gone", 15)
        self.assertEqual((browser.state["thrown"], browser.state["outside"]), ([], []))
        browser.close()
        server.stop()

    def test_index(self) -> None:
        """The first page lists the live stream and nothing on it comes from elsewhere."""
        server = self.serve()
        publisher = self.publish(server, "plain", server.mint(KEY), live=True, loop=True)
        server.wait_playlist(KEY)
        browser = Browser(self, server.url("/"))
        wait_for(lambda: KEY in browser.state.get("text", ""), "the stream is listed", 20)
        wait_for(lambda: "0 watching · just started" in browser.state["text"], "what is told of it")
        state = browser.state
        self.assertEqual((state["outside"], state["thrown"], state["failed"]), ([], [], []))
        browser.close()
        publisher.kill()
        server.stop()

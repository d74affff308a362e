"""Ten minutes of low latency in headless Chromium."""

import time
from statistics import median

from tests.timing.test_glass_to_glass import LIMIT, GlassCase, glass_to_glass

MINUTES = 10
DRIFT = 0.2
"""Seconds by which the last minute may be later than the first."""


class EnduranceTests(GlassCase):
    def test_ten_minutes(self) -> None:
        """hls.js plays on and on: no stall, and as near to the live edge as at the beginning."""
        server, publisher, pages = self.begin()
        begun = self.settle(pages)[-1]
        deadline = time.monotonic() + 60 * MINUTES + 60
        while pages.states[0]["time"] < begun["time"] + 60 * MINUTES:
            self.assertLess(time.monotonic(), deadline, pages.states)
            time.sleep(5)
        looks = [state for [state] in pages.history if state.get("time", 0.0) > begun["time"]]
        medians = []
        for minute in range(MINUTES):
            start = begun["time"] + 60 * minute
            of_minute = [look for look in looks if start <= look["time"] < start + 60]
            medians.append(median(glass_to_glass(of_minute)))
        shown = ", ".join(f"{each:.2f}" for each in medians)
        dropped = looks[-1]["dropped"] - begun["dropped"]
        print(f"glass to glass by minute: {shown} s; {dropped} frames dropped", flush=True)
        self.assertEqual(looks[-1]["waits"], begun["waits"], looks[-1]["messages"])
        self.assertEqual(looks[-1]["errors"], begun["errors"])
        self.assertEqual((looks[-1]["page"], looks[-1]["players"]), ("playing", 1))
        self.assertLess(max(medians), LIMIT)
        self.assertLess(medians[-1] - medians[0], DRIFT)
        pages.close()
        publisher.kill()
        server.stop()

"""Results as text and pictures, and the command line."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import plot, report
from benchmarks.__main__ import WORKS, parser
from benchmarks.http_load import Position
from benchmarks.points import FLAT_OUT_WORK, INGEST_HLS_WORK
from benchmarks.servers import ROOT
from benchmarks.session import Result

PLAYLIST = """\
#EXTM3U
#EXT-X-PART:DURATION=0.2,URI="../life/video1/7.0.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.2,URI="../life/video1/7.1.m4s"
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="../life/video1/7.2.m4s"
"""


def result(work: str, n: int, server: str, *values: float, error: str = "") -> dict[str, Any]:
    """Return a result as JSON has it."""
    return {
        "work": work,
        "n": n,
        "server": server,
        "unit": "ms",
        "values": list(values),
        "others": [],
        "details": {"cores": 0.25},
        "error": error,
    }


class TableTests(SynchronousTestCase):
    def table(self, work: str, *results: dict[str, Any]) -> list[list[str]]:
        """Return the cells of a work's table, its heads first."""
        shown = next(each for each in report.TABLES if each.work == work)
        lines = report.of_work(results, shown)
        rows = [line for line in lines if line.startswith("| ")]
        return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]

    def test_ratio(self) -> None:
        """The first server's median by each other's, at the same point."""
        rows = self.table(
            INGEST_HLS_WORK,
            result(INGEST_HLS_WORK, 10, "ours", 3.0, 4.0, 5.0),
            result(INGEST_HLS_WORK, 10, "theirs", 2.0),
            result(INGEST_HLS_WORK, 1, "ours", 6.0),
            result(INGEST_HLS_WORK, 1, "theirs", 8.0),
        )
        self.assertEqual(rows[0][:5], ["streams", "server", "ms", "least to greatest", "ours ÷ it"])
        self.assertEqual(
            [row[:5] for row in rows[1:]],
            [
                ["1", "ours", "**6.00**", "6.00 to 6.00", "1.00"],
                ["1", "theirs", "**8.00**", "8.00 to 8.00", "0.75"],
                ["10", "ours", "**4.00**", "3.00 to 5.00", "1.00"],
                ["10", "theirs", "**2.00**", "2.00 to 2.00", "2.00"],
            ],
        )
        self.assertEqual(rows[1][5], "0.25")

    def test_more_is_better(self) -> None:
        """Where more is better, a ratio below 1 still says that the first is better."""
        rows = self.table(
            FLAT_OUT_WORK,
            result(FLAT_OUT_WORK, 0, "ours", 400.0),
            result(FLAT_OUT_WORK, 0, "theirs", 200.0),
        )
        self.assertEqual([row[3] for row in rows[1:]], ["1.00", "0.50"])

    def test_failures(self) -> None:
        """A point that failed says why, in a row as wide as the others."""
        rows = self.table(
            INGEST_HLS_WORK,
            result(INGEST_HLS_WORK, 10, "ours", error="lost | all"),
            result(INGEST_HLS_WORK, 10, "theirs", 2.0),
        )
        self.assertEqual(rows[1][:3], ["10", "ours", "lost / all"])
        self.assertEqual(len({len(row) for row in rows}), 1)
        self.assertEqual(rows[2][4], "-")
        self.assertEqual(self.table(INGEST_HLS_WORK), [])

    def test_median(self) -> None:
        """A result is its values' median."""
        self.assertEqual(Result("x", 1, "ours", "ms", [1.0, 9.0, 2.0]).value, 2.0)
        self.assertIsNone(Result("x", 1, "ours", "ms").value)


class PlotTests(SynchronousTestCase):
    def test_lines(self) -> None:
        """A line for each server, in well-formed XML; none for a single point."""
        results = [
            result(INGEST_HLS_WORK, n, server, n * factor)
            for n in (1, 10, 100)
            for server, factor in (("ours", 1.0), ("<theirs>", 0.5))
        ]
        [(name, picture)] = plot.draw(results).items()
        self.assertEqual(plot.PLOTS[name].work, INGEST_HLS_WORK)
        root = ElementTree.fromstring(picture)
        self.assertEqual(len([each for each in root if each.tag.endswith("circle")]), 6)
        texts = [each.text for each in root if each.tag.endswith("text")]
        for word in ("ours", "<theirs>", "1", "10", "100", "streams", "CPU-ms"):
            self.assertIn(word, texts)
        self.assertEqual(plot.draw(results[:2]), {})

    def test_steps(self) -> None:
        """Grid lines are at round numbers, and few."""
        for greatest in (0.03, 0.9, 1.0, 7.0, 42.0, 1300.0):
            step = plot.nice_step(greatest)
            self.assertLessEqual(greatest / step, 5.0)
            self.assertGreater(greatest / step, 1.9)


class PageTests(SynchronousTestCase):
    def test_page(self) -> None:
        """The page in the documentation is what its data say, with the plots of them."""
        docs = ROOT / "docs" / "topics"
        results = json.loads((docs / "performance-results.json").read_text())
        place = Path(self.mktemp())
        place.mkdir()
        report.write(place, results, report.markdown(results))
        for made in place.rglob("*.*"):
            name = made.relative_to(place)
            self.assertEqual(made.read_text(), (docs / name).read_text(), name)


class CommandTests(SynchronousTestCase):
    def test_works(self) -> None:
        """Every work has words of help, and those with a number take some."""
        made = parser()
        for name in WORKS:
            self.assertEqual(made.parse_args([name]).work, name)
        arguments = made.parse_args(["fanout", "--players", "10", "20", "--server", "a=/b#C=1"])
        self.assertEqual((arguments.players, arguments.server), ([10, 20], ["a=/b#C=1"]))
        self.assertIsNone(arguments.streams)
        self.assertFalse(arguments.docs)


class PositionTests(SynchronousTestCase):
    def test_read(self) -> None:
        """A viewer learns the parts and the hint from a low-latency playlist."""
        position = Position()
        position.read(PLAYLIST.encode())
        self.assertEqual(position.parts, ["../life/video1/7.0.m4s", "../life/video1/7.1.m4s"])
        self.assertEqual(position.hint, "../life/video1/7.2.m4s")

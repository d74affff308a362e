"""Writes the table of docs/reference/codecs.md: ``python -m tests.browser.codec_table``.

Publishes every row, and looks at what ffprobe and Chromium make of it.
"""

import contextlib
import sys
import tempfile
import unittest

from tests.browser.test_codecs import plays
from tests.integration import codec_table
from tests.integration.case import IntegrationTestCase


class Measurement(IntegrationTestCase):
    """Not a test: it needs what a test has to start and end servers and browsers."""

    rows: list[tuple[str, ...]]

    def measure(self) -> None:
        """Measure all rows."""
        server = self.serve(STREAM_GRACE="1s")
        self.rows = []
        for rows in codec_table.rows(self, server):
            for row, last in zip(rows, plays(self, server, rows), strict=True):
                self.rows.append((*codec_table.cells(self, row), last))
        server.stop()


def main() -> None:
    """Replace the table in the page."""
    measurement = Measurement("measure")
    result = unittest.TestResult()
    with tempfile.TemporaryDirectory() as directory, contextlib.chdir(directory):
        measurement.run(result)
    for _, text in (*result.errors, *result.failures):
        sys.exit(str(text))
    lines = codec_table.PAGE.read_text().splitlines(keepends=True)
    is_row = [line.count("|") == len(codec_table.COLUMNS) + 1 for line in lines]
    first = is_row.index(True)  # the page has a table, if only its head
    kept = [line for line, drop in zip(lines, is_row, strict=True) if not drop]
    kept.insert(first, codec_table.table(measurement.rows))
    codec_table.PAGE.write_text("".join(kept))


if __name__ == "__main__":
    main()

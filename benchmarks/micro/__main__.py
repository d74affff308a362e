"""Measures the parts of this checkout: ``python -m benchmarks.micro [--instructions] [CASE ...]``.

CASE is the beginning of a case's name. Times are CPU time of one operation (a message, a request,
a rendered playlist): the least and the median of many short rounds.
"""

import argparse
import sys
from statistics import median

from benchmarks.micro.cases import CASES
from benchmarks.micro.run import Worker, instructions
from benchmarks.process import BenchmarkError
from benchmarks.servers import ROOT
from benchmarks.session import alone

ROUNDS = 30
SECONDS = 0.02


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.micro", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument("--instructions", action="store_true", help="count them, by valgrind")
    arguments = parser.parse_args()
    cases = [name for name in CASES if name.startswith(tuple(arguments.cases or ("",)))]
    try:
        if arguments.instructions:
            for name, counted in instructions(ROOT).items():
                shown = counted if isinstance(counted, str) else f"{counted:12,.0f} instructions"
                print(f"{name:28} {shown}", flush=True)
            return 0
        with alone(), Worker(ROOT) as worker:
            for name in cases:
                times = [worker.measure(name, SECONDS) for _ in range(ROUNDS)]
                good = [each for each in times if isinstance(each, float)]
                if not good:
                    print(f"{name:28} {times[0]}")
                    continue
                least, middle = min(good) / 1000, median(good) / 1000
                print(f"{name:28} {least:8.2f} µs least, {middle:8.2f} µs median", flush=True)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

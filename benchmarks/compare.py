"""Compares two commits, part by part: ``python -m benchmarks.compare BASE [HEAD]``.

BASE and HEAD are commits, which get worktrees of their own for the time, or directories; HEAD is
this checkout when absent. Each case runs in both in alternation, in short rounds, from several
launches. The figure is the median of the pairs' ratios, with its 95 % interval: 1.10 says that
HEAD takes 10 % more CPU time. The exit status is 1 when a case is dearer by more than the
threshold and the interval's lower end is above it, too: noise makes intervals wide, not red.

With --instructions, valgrind counts them instead: slow (minutes), and nearly the same on a busy
machine as on an idle one; the kernel's work is not in it.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.figures import bootstrap
from benchmarks.micro.cases import CASES
from benchmarks.micro.run import Worker, instructions, pairs
from benchmarks.process import BenchmarkError
from benchmarks.servers import ROOT
from benchmarks.session import alone, progress

LAUNCHES = 5
PAIRS = 12
SECONDS = 0.02
THRESHOLD = 1.05


class Verdict(NamedTuple):
    """How one case compares."""

    case: str
    base: float
    """ns or instructions, of one operation."""
    head: float
    ratio: float
    low: float
    high: float
    note: str = ""
    """Why it cannot be compared."""

    def is_worse(self, threshold: float) -> bool:
        """Tell whether HEAD is surely dearer than allowed."""
        return not self.note and self.low > threshold


def verdict(case: str, launches: Sequence[Sequence[tuple[float, float]]]) -> Verdict:
    """Judge a case by its pairs, which come in groups from the launches."""
    groups = [[head / base for base, head in launch] for launch in launches]
    low, high = bootstrap(groups)
    everything = [pair for launch in launches for pair in launch]
    return Verdict(
        case,
        median(base for base, _ in everything),
        median(head for _, head in everything),
        median(ratio for group in groups for ratio in group),
        low,
        high,
    )


@contextmanager
def checkout(name: str) -> Iterator[Path]:
    """Give a directory with a commit's tree.

    Raises:
        BenchmarkError: it is neither directory nor commit.
    """
    if Path(name).is_dir():
        yield Path(name)
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        place = Path(directory, "tree")
        add = ["git", "worktree", "add", "--quiet", "--detach", str(place), name]
        done = subprocess.run(add, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise BenchmarkError(f"{name} is neither directory nor commit: {done.stderr.strip()}")
        try:
            yield place
        finally:
            remove = ["git", "worktree", "remove", "--force", str(place)]
            subprocess.run(remove, cwd=ROOT, check=True)


def by_time(base: Path, head: Path, cases: Sequence[str], launches: int) -> list[Verdict]:
    """Compare by CPU time."""
    found: dict[str, list[list[tuple[float, float]]]] = {case: [] for case in cases}
    notes: dict[str, str] = {}
    with alone():
        for number in range(launches):
            progress(f"launch {number + 1} of {launches}")
            with Worker(base) as one, Worker(head) as other:
                for case in cases:
                    measured = pairs(one, other, case, PAIRS, SECONDS)
                    if isinstance(measured, str):
                        notes[case] = measured
                    else:
                        found[case].append(measured)
    return [
        Verdict(case, 0.0, 0.0, 0.0, 0.0, 0.0, notes[case])
        if case in notes
        else verdict(case, found[case])
        for case in cases
    ]


def by_instructions(base: Path, head: Path, cases: Sequence[str]) -> list[Verdict]:
    """Compare by instructions."""
    one, other = instructions(base), instructions(head)
    found = []
    for case in cases:
        before, after = one[case], other[case]
        if isinstance(before, str) or isinstance(after, str):
            words = before if isinstance(before, str) else str(after)
            found.append(Verdict(case, 0.0, 0.0, 0.0, 0.0, 0.0, words))
        else:
            ratio = after / before
            found.append(Verdict(case, before, after, ratio, ratio, ratio))
    return found


def show(verdicts: Sequence[Verdict], unit: str, scale: float, threshold: float) -> str:
    """Return the table."""
    lines = [f"{'case':28} {'base':>12} {'head':>12}  ratio  95 % interval   ({unit})"]
    for each in verdicts:
        if each.note:
            lines.append(f"{each.case:28} cannot be compared: {each.note}")
            continue
        lines.append(
            f"{each.case:28} {each.base / scale:12,.2f} {each.head / scale:12,.2f}  "
            f"{each.ratio:.3f}  {each.low:.3f} to {each.high:.3f}"
            f"{'   dearer' if each.is_worse(threshold) else ''}"
        )
    return "\n".join(lines)


def main() -> int:
    """Compare."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("base", metavar="BASE")
    parser.add_argument("head", metavar="HEAD", nargs="?", default=str(ROOT))
    parser.add_argument(
        "--case", action="append", help="the beginning of a case's name", default=[]
    )
    parser.add_argument("--launches", type=int, default=LAUNCHES, help=f"({LAUNCHES})")
    parser.add_argument(
        "--threshold", type=float, default=THRESHOLD, help=f"ratio that is too much ({THRESHOLD})"
    )
    parser.add_argument("--instructions", action="store_true", help="count them, by valgrind")
    arguments = parser.parse_args()
    cases = [name for name in CASES if name.startswith(tuple(arguments.case or ("",)))]
    with ExitStack() as stack:
        try:
            base = stack.enter_context(checkout(arguments.base))
            head = stack.enter_context(checkout(arguments.head))
            if arguments.instructions:
                verdicts = by_instructions(base, head, cases)
                print(show(verdicts, "instructions", 1.0, arguments.threshold))
            else:
                verdicts = by_time(base, head, cases, arguments.launches)
                print(show(verdicts, "CPU-µs of an operation", 1000.0, arguments.threshold))
        except BenchmarkError as error:
            print(f"benchmarks: {error}", file=sys.stderr)
            return 2
    return 1 if any(each.is_worse(arguments.threshold) for each in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())

"""Workers of one or two checkouts: their times in pairs, and their instructions."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.process import BenchmarkError
from benchmarks.sample import sample

HERE = Path(__file__).resolve().parent.parent
_TOTALS = re.compile(r"^totals: (\d+)", re.MULTILINE)
COUNTED_ROUNDS = 3
_NO_STRING_INSTRUCTIONS = ":".join(
    f"glibc.cpu.x86_rep_{name}_threshold=1000000000" for name in ("movsb", "stosb")
)
"""Valgrind counts those for each byte: copies would outweigh all else."""
COUNT_TIMEOUT = 1800


@contextmanager
def environment(checkout: Path) -> Iterator[tuple[Path, Mapping[str, str]]]:
    """Give directory and environment for a worker: these benchmarks, but a checkout's package."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        Path(directory, "benchmarks").symlink_to(HERE)
        yield (
            Path(directory),
            {
                **os.environ,
                "PYTHONPATH": f"{directory}{os.pathsep}{checkout.resolve()}",
                "PYTHONDONTWRITEBYTECODE": "1",
                "BENCH_SAMPLE": str(sample()),
            },
        )


class Worker:
    """A process that measures cases, as a context."""

    def __init__(self, checkout: Path) -> None:
        self._stack = ExitStack()
        directory, variables = self._stack.enter_context(environment(checkout))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.micro.worker"],
            cwd=directory,
            env=dict(variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._stack.close()

    def measure(self, case: str, seconds: float) -> float | str:
        """Return the ns of one operation, or why the case cannot be measured.

        Raises:
            BenchmarkError: the process ended.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"case": case, "seconds": seconds}) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise BenchmarkError(f"a worker ended: {error}") from error
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError("a worker ended: its error is above")
        answer: dict[str, Any] = json.loads(line)
        return str(answer["error"]) if "error" in answer else float(answer["ns"])


def pairs(
    base: Worker, head: Worker, case: str, count: int, seconds: float
) -> list[tuple[float, float]] | str:
    """Measure a case in both, in alternation.

    Args:
        base: the one.
        head: the other.
        case: its name.
        count: of pairs.
        seconds: of each measurement.

    Returns:
        The pairs of ns, or why the case cannot be measured.
    """
    found = []
    for number in range(count):
        order = (base, head) if number % 2 else (head, base)
        measured = [worker.measure(case, seconds) for worker in order]
        for each in measured:
            if isinstance(each, str):
                return each
        one, other = (float(each) for each in (measured if number % 2 else measured[::-1]))
        found.append((one, other))
    return found


def instructions(checkout: Path) -> dict[str, float | str]:
    """Count the instructions of one operation of each case, by valgrind.

    Returns:
        By case, instructions, or why it cannot be made.

    Raises:
        BenchmarkError: valgrind is missing, or failed.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise BenchmarkError("valgrind is needed to count instructions: apt-get install valgrind")
    with environment(checkout) as (directory, variables):
        done = subprocess.run(
            [
                valgrind,
                *("--tool=callgrind", "--quiet", "--callgrind-out-file=count"),
                *("--zero-before=getppid", "--dump-before=getsid"),
                *(sys.executable, "-m", "benchmarks.micro.worker", "count", str(COUNTED_ROUNDS)),
            ],
            cwd=directory,
            env={**variables, "PYTHONHASHSEED": "0", "GLIBC_TUNABLES": _NO_STRING_INSTRUCTIONS},
            capture_output=True,
            text=True,
            timeout=COUNT_TIMEOUT,
        )
        if done.returncode:
            raise BenchmarkError(f"valgrind failed: {done.stderr[-600:]}")
        found: dict[str, float | str] = {}
        number = 0
        for line in done.stdout.splitlines():
            told = json.loads(line)
            if "error" in told:
                found[told["case"]] = told["error"]
                continue
            number += 1
            totals = _TOTALS.search((directory / f"count.{number}").read_text())
            if totals is None:
                raise BenchmarkError("valgrind counted nothing")
            found[told["case"]] = int(totals[1]) / told["operations"]
    return found

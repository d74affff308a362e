"""Runs cases when told to, in a process of its own, with the package of some checkout.

Reads lines of JSON: ``{"case": NAME, "seconds": S}`` is answered ``{"ns": N}``, the CPU time of one
operation, measured for about so long; a case that cannot be made here, ``{"error": WORDS}``. With
``count ROUNDS`` as arguments it runs each case so often between a call of getppid(2) and one of
getsid(2), which is where `benchmarks.micro.run` has the instructions counted.
"""

import gc
import json
import os
import sys
import time

from benchmarks.micro.cases import CASES, Round, sample_loop

WARM_ROUNDS = 3


class Worker:
    """The cases that were made so far."""

    def __init__(self) -> None:
        self._loop = sample_loop()
        self._rounds: dict[str, Round] = {}
        self._seconds: dict[str, float] = {}

    def make(self, name: str) -> Round:
        """Return a case, warm."""
        if name not in self._rounds:
            made = CASES[name](self._loop)
            for _ in range(WARM_ROUNDS):
                begun = time.process_time()
                made()
                self._seconds[name] = time.process_time() - begun
            gc.collect()
            gc.freeze()
            self._rounds[name] = made
        return self._rounds[name]

    def measure(self, name: str, seconds: float) -> float:
        """Return the CPU time of one operation in ns, of whole rounds."""
        made = self.make(name)
        count = max(1, round(seconds / max(self._seconds[name], 1e-6)))
        operations = 0
        begun = time.process_time_ns()
        for _ in range(count):
            operations += made()
        return (time.process_time_ns() - begun) / operations


def serve() -> None:
    """Answer until the input ends."""
    worker = Worker()
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer: dict[str, object] = {"ns": worker.measure(asked["case"], asked["seconds"])}
        except Exception as error:  # whatever another commit does otherwise
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


def count(rounds: int) -> None:
    """Run every case between the calls; tell which one each pair of them was."""
    worker = Worker()
    for name in CASES:
        try:
            made = worker.make(name)
        except Exception as error:
            print(json.dumps({"case": name, "error": f"{type(error).__name__}: {error}"}))
            continue
        operations = 0
        gc.disable()
        os.getppid()
        for _ in range(rounds):
            operations += made()
        os.getsid(0)
        gc.enable()
        print(json.dumps({"case": name, "operations": operations}), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["count"]:
        count(int(sys.argv[2]))
    else:
        serve()

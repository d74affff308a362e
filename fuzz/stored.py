"""The corpus in the repository: a few inputs of each target that reach what the seeds do not.

``fuzz/corpus/<target>.txt`` has one input a line, in hexadecimal. ``python -m fuzz keep`` chooses
them out of what the fuzzer has found; every test run and every run of the fuzzer tries them.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

CORPUS = Path(__file__).parent / "corpus"
MAX_INPUT = 512
"""Bytes of an input that is kept."""
MAX_TARGET = 2500
"""Bytes of all that are kept of a target."""

Arc = tuple[CodeType | None, int, CodeType, int]
"""Two lines that were run one after the other."""


def read(target: str) -> list[bytes]:
    """Give the inputs of a target."""
    path = CORPUS / f"{target}.txt"
    return [bytes.fromhex(line) for line in path.read_text().split()] if path.exists() else []


def write(target: str, inputs: Iterable[bytes]) -> None:
    """Keep these inputs of a target, and no others."""
    CORPUS.mkdir(exist_ok=True)
    lines = [octets.hex() for octets in inputs if octets]
    CORPUS.joinpath(f"{target}.txt").write_text("".join(f"{line}\n" for line in lines))


def arcs(target: Callable[[bytes], object], octets: bytes, package: str) -> set[Arc]:
    """Run a target; give what was run of a package."""
    found: set[Arc] = set()
    before: tuple[CodeType | None, int] = (None, 0)

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal before
        if package not in frame.f_code.co_filename:
            return None
        here = (frame.f_code, frame.f_lineno)
        found.add((*before, *here))
        before = here
        return trace

    outer = sys.gettrace()
    sys.settrace(trace)
    try:
        target(octets)
    finally:
        sys.settrace(outer)
    return found


def choose(
    target: Callable[[bytes], object],
    seeds: Iterable[bytes],
    inputs: Iterable[bytes],
    package: str = "/rapidrtmp/",
) -> list[bytes]:
    """Choose inputs that reach what others do not: again and again who brings most by its size.

    Args:
        target: what is run.
        seeds: inputs that are there anyway.
        inputs: those to choose from.
        package: part of the names of the files that count.

    Returns:
        The shortest first.
    """
    reached = set[Arc]().union(*(arcs(target, octets, package) for octets in seeds))
    left = {
        octets: arcs(target, octets, package) - reached
        for octets in sorted(set(inputs), key=lambda octets: (len(octets), octets))
        if 0 < len(octets) <= MAX_INPUT
    }
    chosen: list[bytes] = []
    room = MAX_TARGET
    while left:
        best = max(left, key=lambda octets: len(left[octets]) / (8 + len(octets)))
        gain = left.pop(best)
        room -= len(best)
        if not gain or room < 0:
            break
        chosen.append(best)
        left = {octets: found - gain for octets, found in left.items()}
    return sorted(chosen, key=lambda octets: (len(octets), octets))

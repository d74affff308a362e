"""Runs the fuzzer: ``python -m fuzz SECONDS [TARGET ...]``, all targets without names.

Inputs that found something new are kept in fuzz/corpus/<target>, for the next run to go on
from; an input that broke something is a file fuzz/found/<target>-*, and the exit status 1.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["rapidrtmp"]):
    from fuzz.targets import TARGETS
from fuzz.corpus import CORPUS

HERE = Path(__file__).parent
MAX_LENGTH = 8192
"""Bytes of one input: the handshake has 3073."""
TIMEOUT = 5
"""Seconds for one input, after which it counts as one that breaks something."""
MEMORY = 1024
"""MiB for the whole process, likewise."""


def write_corpus(target: str) -> Path:
    """Write the first inputs of a target; give their directory."""
    directory = HERE / "corpus" / target
    directory.mkdir(parents=True, exist_ok=True)
    for octets in CORPUS[target]():
        directory.joinpath(hashlib.sha1(octets).hexdigest()).write_bytes(octets)
    return directory


def run_one(target: str, arguments: list[str]) -> None:
    """Fuzz one target in this process; does not return."""
    atheris.Setup(["fuzz", *arguments], TARGETS[target])
    atheris.Fuzz()


def main() -> int:
    """Fuzz targets one after the other, each in a process of its own."""
    if sys.argv[1:2] == ["--one"]:
        run_one(sys.argv[2], sys.argv[3:])
    if not sys.argv[1:2] or not sys.argv[1].isdecimal() or not set(sys.argv[2:]) <= set(TARGETS):
        print(f"{__doc__}\nTargets: {' '.join(TARGETS)}", file=sys.stderr)
        return 2
    found = HERE / "found"
    found.mkdir(exist_ok=True)
    broken = []
    for target in sys.argv[2:] or TARGETS:
        print(f"--- {target}", flush=True)
        options = [
            f"-max_total_time={sys.argv[1]}",
            f"-max_len={MAX_LENGTH}",
            f"-timeout={TIMEOUT}",
            f"-rss_limit_mb={MEMORY}",
            f"-artifact_prefix={found / target}-",
            "-print_final_stats=1",
        ]
        command = [sys.executable, "-m", "fuzz", "--one", target, str(write_corpus(target))]
        if subprocess.run([*command, *options]).returncode:
            broken.append(target)
    print(f"{len(broken)} targets broken: {' '.join(broken)}" if broken else "nothing found")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

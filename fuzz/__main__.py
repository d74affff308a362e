"""Runs the fuzzer: ``python -m fuzz SECONDS [TARGET ...]``, all targets without names.

It starts from fuzz/seeds.py and from fuzz/corpus. Inputs that reached something new are added to
fuzz/grown/<target>, for the next run to go on from; an input that broke something is a file
fuzz/found/<target>-*, and the exit status 1.

``python -m fuzz keep [TARGET ...]`` chooses anew what fuzz/corpus has, out of that and of
fuzz/grown.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["rapidrtmp"]):
    from fuzz.targets import TARGETS
from fuzz import stored
from fuzz.seeds import SEEDS

HERE = Path(__file__).parent
MAX_LENGTH = 8192
"""Bytes of one input: the handshake has 3073."""
TIMEOUT = 5
"""Seconds for one input, after which it counts as one that breaks something."""
MEMORY = 1024
"""MiB for the whole process, likewise."""


def write_first(target: str) -> Path:
    """Write the inputs that a target starts from; give their directory."""
    directory = HERE / "grown" / target
    directory.mkdir(parents=True, exist_ok=True)
    for octets in (*SEEDS[target](), *stored.read(target)):
        directory.joinpath(hashlib.sha1(octets).hexdigest()).write_bytes(octets)
    return directory


def run_one(target: str, arguments: list[str]) -> None:
    """Fuzz one target in this process; does not return."""
    atheris.Setup(["fuzz", *arguments], TARGETS[target])
    atheris.Fuzz()


def keep(target: str) -> None:
    """Choose what is kept in the repository of a target's inputs."""
    found = [path.read_bytes() for path in write_first(target).iterdir()]
    chosen = stored.choose(TARGETS[target], SEEDS[target](), found)
    stored.write(target, chosen)
    print(f"{target}: {len(chosen)} of {len(found)}, {sum(map(len, chosen))} bytes", flush=True)


def main() -> int:
    """Fuzz targets one after the other, each in a process of its own."""
    what, *names = sys.argv[1:] or [""]
    if what == "--one":
        run_one(names[0], names[1:])
    if not (what == "keep" or what.isdecimal()) or not set(names) <= set(TARGETS):
        print(f"{__doc__}\nTargets: {' '.join(TARGETS)}", file=sys.stderr)
        return 2
    if what == "keep":
        for target in names or TARGETS:
            keep(target)
        return 0
    found = HERE / "found"
    found.mkdir(exist_ok=True)
    broken = []
    for target in names or TARGETS:
        print(f"--- {target}", flush=True)
        options = [
            f"-max_total_time={what}",
            f"-max_len={MAX_LENGTH}",
            f"-timeout={TIMEOUT}",
            f"-rss_limit_mb={MEMORY}",
            f"-artifact_prefix={found / target}-",
            "-print_final_stats=1",
        ]
        command = [sys.executable, "-m", "fuzz", "--one", target, str(write_first(target))]
        if subprocess.run([*command, *options]).returncode:
            broken.append(target)
    print(f"{len(broken)} targets broken: {' '.join(broken)}" if broken else "nothing found")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

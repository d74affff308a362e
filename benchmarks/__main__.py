"""Measures RapidRTMP, and other servers beside it, on this machine.

    python -m benchmarks         all, an hour or less; writes docs/topics/performance-results.*
    python -m benchmarks quick   the main points once, about three minutes
    python -m benchmarks fanout --players 100
    python -m benchmarks ingest --streams 30 --server rapidrtmp --server before=../other-checkout

What is measured is the server's own CPU time, of its whole process tree, so that other work on
the machine disturbs it little. Servers that are compared are started in alternation.
docs/topics/performance.md says how to read the numbers.
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import growth, points, report
from benchmarks.process import BenchmarkError
from benchmarks.sample import build_directory, sample
from benchmarks.servers import HLS, INGEST, ROOT, find
from benchmarks.session import Session, progress

STREAMS = (1, 10, 30, 100, 200)
PLAYERS = (10, 100, 300, 1000)
VIEWERS = (100,)


def ingest(session: Session, arguments: argparse.Namespace) -> None:
    """(a) ingest and HLS packaging with low-latency parts, of --streams streams."""
    for n in arguments.streams or STREAMS:
        points.ingest(session, n)


def ingest_only(session: Session, arguments: argparse.Namespace) -> None:
    """(b) ingest without packaging, of --streams streams."""
    for n in arguments.streams or STREAMS:
        points.ingest(session, n, INGEST)


def fanout(session: Session, arguments: argparse.Namespace) -> None:
    """(c, f) one publisher to --players RTMP players: cost, latency, time to join."""
    for n in arguments.players or PLAYERS:
        points.fanout(session, n)


def http(session: Session, arguments: argparse.Namespace) -> None:
    """(d) requests for playlist and segment, over 32 connections that are kept open."""
    points.requests(session)


def viewers(session: Session, arguments: argparse.Namespace) -> None:
    """(d) --viewers low-latency HLS viewers: blocking reloads and parts of two renditions."""
    for n in arguments.viewers or VIEWERS:
        points.viewers(session, n)


def flat_out(session: Session, arguments: argparse.Namespace) -> None:
    """(e) one publisher that sends as fast as the server takes it."""
    points.flat_out(session, HLS)
    points.flat_out(session, INGEST)


def latency(session: Session, arguments: argparse.Namespace) -> None:
    """(f) from the publisher's socket to the part that holds the picture, of --streams streams."""
    for n in arguments.streams or (1, 30):
        points.part_latency(session, n)


def memory(session: Session, arguments: argparse.Namespace) -> None:
    """(g) memory of a stream, of a player, of a viewer."""
    points.memory(session)


def start(session: Session, arguments: argparse.Namespace) -> None:
    """(h) how long the start takes, and what an idle server costs."""
    points.start(session)


def grow(session: Session, arguments: argparse.Namespace) -> None:
    """How cost grows with streams, players, viewers, window and GOP; what one core carries."""
    growth.run(session)


def everything(session: Session, arguments: argparse.Namespace) -> None:
    """All of these."""
    for name, run in WORKS.items():
        progress(f"--- {name}")
        run(session, arguments)


def quick(session: Session, arguments: argparse.Namespace) -> None:
    """The main points, once and short."""
    session.rounds, session.seconds, session.warm = 1, 3.0, 2.5
    points.start(session, 2.0)
    points.ingest(session, 10)
    points.ingest(session, 30)
    points.ingest(session, 30, INGEST)
    points.fanout(session, 100)
    points.requests(session)
    points.viewers(session, 50)
    points.flat_out(session, HLS)
    points.part_latency(session, 1, 6.0)


WORKS: dict[str, Callable[[Session, argparse.Namespace], None]] = {
    "start": start,
    "ingest": ingest,
    "ingest-only": ingest_only,
    "fanout": fanout,
    "http": http,
    "viewers": viewers,
    "flat-out": flat_out,
    "latency": latency,
    "memory": memory,
    "growth": grow,
}


def parser() -> argparse.ArgumentParser:
    """Return what the command line may hold."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Parts of the code, and two commits: python -m benchmarks.micro, "
        "python -m benchmarks.compare BASE HEAD",
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="SERVER",
        help="rapidrtmp, nginx-rtmp, node-media-server, or [LABEL=]CHECKOUT[#SETTING=VALUE,...]; "
        "give it again for more. By default this checkout and all of the others that are installed",
    )
    common.add_argument("--rounds", type=int, default=2, help="starts of each server (2)")
    common.add_argument("--windows", type=int, default=2, help="windows of each start (2)")
    common.add_argument("--seconds", type=float, default=4.0, help="of a window (4)")
    common.add_argument("--warm", type=float, default=4.0, help="seconds before the first (4)")
    common.add_argument("--docs", action="store_true", help="write them into docs/topics, too")
    common.add_argument("--json", type=Path, help="where the results go, too")
    commands = made.add_subparsers(dest="work", metavar="WORK")
    for name, run in {"all": everything, "quick": quick, **WORKS}.items():
        words = run.__doc__ or ""
        command = commands.add_parser(name, parents=[common], help=words, description=words)
        command.set_defaults(run=run)
        for option in ("streams", "players", "viewers"):
            if f"--{option}" in words or name == "all":
                command.add_argument(f"--{option}", type=int, nargs="+", metavar="N")
            else:
                command.set_defaults(**{option: None})
    words = "write docs/topics/performance-results.md anew of the data beside it"
    commands.add_parser("report", help=words, description=words)
    return made


def main() -> int:
    """Measure what is asked for."""
    arguments = parser().parse_args(sys.argv[1:] or ["all"])
    # servers end with it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    docs = ROOT / "docs" / "topics"
    if arguments.work == "report":
        results = json.loads((docs / "performance-results.json").read_text())
        report.write(docs, results, report.markdown(results))
        return 0
    try:
        found = find(arguments.server)
        for name, words in found.missing.items():
            progress(f"{name} is left out: {words}")
        sample()
        session = Session(
            found, arguments.seconds, arguments.warm, arguments.windows, arguments.rounds
        )
        arguments.run(session, arguments)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    results = session.describe()
    text = report.markdown(results)
    places = [build_directory(), *([docs] if arguments.docs or arguments.work == "all" else [])]
    for place in places:
        report.write(place, results, text)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    print(text)
    progress(f"written: {', '.join(str(place / 'performance-results.md') for place in places)}")
    return 1 if any(result.error for result in session.results) else 0


if __name__ == "__main__":
    sys.exit(main())

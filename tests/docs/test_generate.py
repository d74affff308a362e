"""Tests of what is generated into the documentation."""

import json
import re
from collections.abc import Callable, Iterator
from enum import Enum
from itertools import count
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from docs.generate import deployment, diagram, machines, python_api
from docs.generate.fill import MARK, PARTS, fill
from docs.generate.machines import Machine, Move
from rapidrtmp.interfaces import IStorage
from rapidrtmp.rtmp.netconnection import State
from rapidrtmp.stream.events import NAMES
from tests.test_docs import DOCS, PAGES, ROOT


class Light(Enum):
    """Of a crossing."""

    RED = "red"
    """Wait."""
    GREEN = "green"
    BROKEN = "broken"


class Lamp:
    def __init__(self) -> None:
        self.state = Light.RED

    def key(self) -> Light:
        return self.state

    def ways(self) -> Iterator[tuple[str, Callable[[], None]]]:
        if self.state is not Light.BROKEN:
            after = Light.GREEN if self.state is Light.RED else Light.RED
            yield "time", lambda: setattr(self, "state", after)
            yield "nothing", lambda: None
        if self.state is Light.GREEN:
            yield "a stone", lambda: setattr(self, "state", Light.BROKEN)


CROSSING = Machine(
    {"red": "Wait.", "green": "", "broken": ""},
    (
        Move("red", "green", "time"),
        Move("green", "red", "time"),
        Move("green", "broken", "a stone"),
    ),
)


class MachineTests(SynchronousTestCase):
    def test_explore(self) -> None:
        """All ways are followed, and the words below the members are found."""
        self.assertEqual(machines.explore(Lamp, Light), CROSSING)

    def test_session(self) -> None:
        """Every state of a session is reached, and only the last one has no way out."""
        found = machines.session()
        self.assertEqual(list(found.states), [state.value for state in State])
        self.assertEqual(
            set(found.states) - {move.after for move in found.moves}, {State.HANDSHAKE.value}
        )
        self.assertEqual(
            set(found.states) - {move.before for move in found.moves}, {State.CLOSED.value}
        )
        self.assertIn(Move("connected", "publishing", "`publish` granted"), found.moves)
        self.assertIn(Move("publishing", "connected", "`FCUnpublish`"), found.moves)

    def test_stream(self) -> None:
        """A stream is what the API's contract says; nobody sees it stopping."""
        found = machines.stream()
        self.assertIn(Move("connecting", "live", "its tracks are known"), found.moves)
        self.assertIn(Move("idle", "stopped", "its grace is over"), found.moves)
        seen = {state for move in found.moves for state in move[:2]}
        self.assertEqual(set(found.states) - seen, {"stopping"})

    def test_relay(self) -> None:
        """The table of a relay has every state."""
        found = machines.relay()
        self.assertEqual(set(found.states), {move.before for move in found.moves})

    def test_picture(self) -> None:
        """A picture has each state once, and an arc with a tip for each way."""
        picture = diagram.svg(CROSSING, "A crossing")
        for state in CROSSING.states:
            self.assertEqual(picture.count(f">{state}</text>"), 1)
        self.assertEqual(picture.count("<path"), 2 * len(CROSSING.moves))
        self.assertIn("<title>A crossing</title>", picture)

    def test_table(self) -> None:
        """A table has a line for each state and what follows it."""
        lines = diagram.table(CROSSING).splitlines()[2:]
        self.assertEqual(
            lines,
            [
                "| `red` | Wait. | time | `green` |",
                "| `green` |  | time | `red` |",
                "| | | a stone | `broken` |",
                "| `broken` |  | | |",
            ],
        )


class PartTests(SynchronousTestCase):
    def test_marks(self) -> None:
        """Every mark of a page is filled, and every part has a page."""
        names = set()
        for page in PAGES:
            names |= {mark.split()[0] for mark in MARK.findall(page.read_text())}
        self.assertEqual(names, set(PARTS))
        self.assertRaises(KeyError, fill, "<!-- generated: nothing -->")

    def test_openapi(self) -> None:
        """The page of the API has every request, answer and schema."""
        document = json.loads((ROOT / "rapidrtmp" / "web" / "openapi.json").read_text())
        page = PARTS["openapi"]()
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                part = page.partition(f"### `{method.upper()} {path}`\n")[2].partition("\n##")[0]
                self.assertIn(operation["summary"], part)
                self.assertEqual(
                    re.findall(r"^\| `(\d+)`", part, re.MULTILINE), list(operation["responses"])
                )
        for name in document["components"]["schemas"]:
            self.assertEqual(page.count(f"### `{name}`\n"), 1)

    def test_python(self) -> None:
        """The page of a module has its public classes with their methods, and their words."""
        page = python_api.markdown("rapidrtmp.interfaces")
        part = page.partition("### `class IStorage(Interface)`")[2].partition("\n###")[0]
        self.assertEqual(set(re.findall(r"^- \*\*`(\w+)", part, re.MULTILINE)), set(IStorage))
        self.assertIn("Fails with NotFound.", part)
        self.assertIn("get(path: str, start: int=0, end: int | None=None) -> Deferred[bytes]", part)
        with self.assertRaisesRegex(LookupError, "no_such"):
            python_api.markdown("rapidrtmp.interfaces", ["IHook", "no_such"])

    def test_arguments(self) -> None:
        """Arguments and errors of a docstring become lists."""
        page = python_api.markdown("rapidrtmp.service", ["make_service"])
        self.assertIn("*Arguments:*\n\n- `settings`: ", page)
        self.assertIn("*Raises:*\n\n- `SettingError`: ", page)

    def test_alerts(self) -> None:
        """Every alert rule is in the table."""
        rules = ROOT / "deploy" / "prometheus" / "alerts.yml"
        table = deployment.alerts(rules)
        found = re.findall(r"- alert: (\w+)", rules.read_text())
        self.assertGreater(len(found), 10)
        self.assertEqual(re.findall(r"^\| `(\w+)`", table, re.MULTILINE), found)

    def test_capacity(self) -> None:
        """Costs are those of the largest point of each work, in CPU-ms a second."""
        numbers = count(1)
        results = [
            {"work": work, "n": n, "server": server, "unit": unit, "values": [next(numbers)]}
            | {"error": ""}
            for work, n, unit in (
                ("ingest + HLS", 10, "ms/stream-s"),
                ("ingest + HLS", 30, "ms/stream-s"),
                ("playlist", 0, "µs/request"),
                ("segment", 0, "µs/request"),
            )
            for server in ("RapidRTMP", "other")
        ]
        place = Path(self.mktemp())
        place.write_text(
            json.dumps({"began": "today", "machine": {"model": "M"}, "results": results})
        )
        table = deployment.capacity(place)
        self.assertIn("| a stream, packaged as HLS | 3.00 | 266 |", table)
        self.assertIn("| an HLS viewer without low latency | 0.01 | 66666 |", table)
        self.assertNotIn("player", table)

    def test_events(self) -> None:
        """The page of the API lists every kind of event, and no other."""
        page = (DOCS / "reference" / "api.md").read_text()
        part = page.partition("| event | when |")[2].partition("\n\n")[0]
        self.assertEqual(set(re.findall(r"^\| `(\w+)`", part, re.MULTILINE)), set(NAMES))
        page = (DOCS / "topics" / "architecture.md").read_text()
        told = page.partition("`stream/events.py` is a bus: ")[2].partition(".")[0]
        self.assertEqual(set(re.findall(r"`(\w+)`", told)), set(NAMES))

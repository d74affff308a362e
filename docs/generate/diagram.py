"""Draws a state machine: states in a row, the ways onward as arcs above, those back below."""

from collections.abc import Iterable
from html import escape

from docs.generate.machines import Machine

STEP = 150
"""Pixels from one state to the next."""
WIDTH, HEIGHT = 104, 32
"""Of a state."""
RISE = 34
"""Pixels that an arc is higher for each state that it leaps."""
SPREAD = 9
"""Pixels between the ends of arcs at one state."""


def markdown(machine: Machine, label: str) -> str:
    """Return the picture, and a table that says the same and more.

    Args:
        machine: what is drawn.
        label: what it is, for those who do not see it.
    """
    return f"```{{raw}} html\n{svg(machine, label)}\n```\n\n{table(machine)}"


def table(machine: Machine) -> str:
    """Return the states, what follows each, and why where the machine tells."""
    has_causes = any(move.cause for move in machine.moves)
    lines = ["| state | | what happens | then |", "|---|---|---|---|"]
    if not has_causes:
        lines = ["| state | | may be followed by |", "|---|---|---|"]
    for state, words in machine.states.items():
        moves = [move for move in machine.moves if move.before == state]
        first = f"| `{state}` | {words} |"
        afters = list(dict.fromkeys(move.after for move in moves))
        if not has_causes:
            lines.append(f"{first} {', '.join(f'`{after}`' for after in afters)} |")
            continue
        for after in afters:
            causes = "; ".join(move.cause for move in moves if move.after == after)
            lines.append(f"{first} {causes} | `{after}` |")
            first = "| | |"
        if not moves:
            lines.append(f"{first} | |")
    return "\n".join(lines) + "\n"


def svg(machine: Machine, label: str) -> str:
    """Return the picture, in the colours of the text around it."""
    reached = {state for move in machine.moves for state in (move.before, move.after)}
    names = [state for state in machine.states if state in reached]
    place = {name: number * STEP + WIDTH // 2 + 4 for number, name in enumerate(names)}
    ways = list(dict.fromkeys((move.before, move.after) for move in machine.moves))
    spans = [(place[after] - place[before]) // STEP for before, after in ways]
    above = max([span for span in spans if span > 0], default=0) * RISE + 12
    below = max([-span for span in spans if span < 0], default=0) * RISE + 12
    middle = above + HEIGHT // 2
    width, height = place[names[-1]] + WIDTH // 2 + 4, above + HEIGHT + below
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {height}" '
        f'style="max-width: {width}px; width: 100%" font-family="sans-serif" font-size="13">',
        f"<title>{escape(label)}</title>",
        '<g fill="none" stroke="currentColor" stroke-width="1.2">',
        *(_arc(before, after, ways, place, middle) for before, after in ways),
        "</g>",
        *(_state(name, place[name], middle) for name in names),
        "</svg>",
    ]
    return "\n".join(parts)


def _arc(
    before: str, after: str, ways: list[tuple[str, str]], place: dict[str, int], middle: int
) -> str:
    is_onward = place[after] > place[before]
    side = -1 if is_onward else 1
    start = place[before] + _offset((before, after), before, ways, place)
    end = place[after] + _offset((before, after), after, ways, place)
    edge = middle + side * HEIGHT // 2
    span = abs(place[after] - place[before]) // STEP
    # a cubic curve reaches three quarters of the way to its control points
    top = edge + side * span * RISE * 4 / 3
    tip = edge + side * 6
    return (
        f'<path d="M{start} {edge} C{start} {top:.0f} {end} {top:.0f} {end} {tip}"/>'
        f'<path d="M{end - 4} {tip} h8 l-4 {-side * 6} z" fill="currentColor" stroke="none"/>'
    )


def _offset(
    way: tuple[str, str], state: str, ways: Iterable[tuple[str, str]], place: dict[str, int]
) -> int:
    """Return where an arc meets a state, so that no two meet it at one point on one side."""
    is_onward = place[way[1]] > place[way[0]]
    meeting = [w for w in ways if state in w and (place[w[1]] > place[w[0]]) == is_onward]
    # those that lead far to the left first, those that lead far to the right last
    others = sorted(meeting, key=lambda w: _rank(w, state, place))
    return round((others.index(way) - (len(others) - 1) / 2) * SPREAD)


def _rank(way: tuple[str, str], state: str, place: dict[str, int]) -> tuple[bool, int]:
    other = place[way[0] if way[1] == state else way[1]]
    return other > place[state], -other


def _state(name: str, x: int, y: int) -> str:
    return (
        f'<rect x="{x - WIDTH // 2}" y="{y - HEIGHT // 2}" width="{WIDTH}" height="{HEIGHT}" '
        f'rx="8" fill="none" stroke="currentColor"/>'
        f'<text x="{x}" y="{y + 4}" text-anchor="middle" fill="currentColor">{escape(name)}</text>'
    )

"""What the judge finds, kept within bounds."""

from collections import Counter
from dataclasses import dataclass

from rapidrtmp.judge.rules import ERROR, RULES, Rule

MAX_KEPT = 10
"""Findings of one rule that are kept; the others are counted."""
MAX_WORDS = 300
"""Characters of a finding's words: servers choose parts of them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach of a rule."""

    rule: Rule
    where: str
    """Playlist and line, or segment, part and sample."""
    words: str
    """What is wrong, with the numbers."""


class Report:
    """Collects findings."""

    def __init__(self) -> None:
        """Make an empty report."""
        self.findings: list[Finding] = []
        """The first `MAX_KEPT` of each rule, in the order found."""
        self.counts: Counter[str] = Counter()
        """How many there were, by the rule's name."""
        self._last: dict[str, tuple[str, str]] = {}

    def add(self, rule: str, where: str, words: str) -> None:
        """Note a breach; the very same one again, at once, is not noted twice.

        Raises:
            KeyError: there is no such rule.
        """
        found = Finding(RULES[rule], where[:MAX_WORDS], _printable(words[:MAX_WORDS]))
        if self._last.get(rule) == (found.where, found.words):
            return
        self._last[rule] = (found.where, found.words)
        self.counts[rule] += 1
        if self.counts[rule] <= MAX_KEPT:
            self.findings.append(found)

    @property
    def errors(self) -> int:
        """How many breaches of demands there were."""
        return sum(n for name, n in self.counts.items() if RULES[name].severity == ERROR)

    @property
    def warnings(self) -> int:
        """How many breaches of advice there were."""
        return self.counts.total() - self.errors


def _printable(words: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in words)

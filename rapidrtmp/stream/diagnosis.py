"""What is wrong with a stream's encoder, in plain words: found once a second, logged once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from twisted.logger import Logger

from rapidrtmp.stream.diagnosis_rules import RULES
from rapidrtmp.stream.evidence import Evidence

if TYPE_CHECKING:
    from rapidrtmp.stream.stream import Stream

CALM = 30.0
"""Seconds after which a problem that is not found any more is taken for gone."""


@dataclass(slots=True)
class Diagnosis:
    """A problem that a stream has, or had a moment ago."""

    id: str
    """Names the kind: a key of `RULES`."""
    since: float
    """Unix time at which it was found first."""
    seen: float
    """Unix time at which it was found last."""
    problem: str
    """In plain words."""
    fix: str
    """What to change in the encoder."""


class Diagnoses:
    """The problems of one stream. They outlive the publication that has them, until the next."""

    _log = Logger()

    def __init__(self) -> None:
        self._current: dict[str, Diagnosis] = {}
        self._logged: set[str] = set()
        self._evidence = Evidence()

    @property
    def current(self) -> list[Diagnosis]:
        """The problems that there are, the gravest first."""
        return [self._current[name] for name in RULES if name in self._current]

    def restart(self) -> None:
        """Forget everything but what was logged: another publication starts."""
        self._current.clear()
        self._evidence = Evidence()

    def observe(self, stream: "Stream", now: float) -> None:
        """Look at a stream that has a publisher; to be done about once a second.

        Args:
            stream: whose problems these are.
            now: unix time.
        """
        evidence = self._evidence
        evidence.observe(stream, now)
        for name, rule in RULES.items():
            finding = rule(evidence)
            known = self._current.get(name)
            if finding is None:
                if known is not None and now - known.seen > CALM:
                    del self._current[name]
            elif known is not None:
                known.seen = now
                known.problem, known.fix = finding
            else:
                self._current[name] = Diagnosis(name, now, now, *finding)
                self._tell(stream.key, self._current[name])

    def _tell(self, key: str, found: Diagnosis) -> None:
        if found.id in self._logged:
            return
        self._logged.add(found.id)
        self._log.warn(
            "stream {key}: {problem}: {fix} ({diagnosis})",
            key=key,
            problem=found.problem,
            fix=found.fix,
            diagnosis=found.id,
        )

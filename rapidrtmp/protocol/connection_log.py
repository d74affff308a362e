"""What is logged of one connection, and how much."""

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from rapidrtmp.protocol.log_budget import LogBudget


class ConnectionLog:
    """Logs what happens on a connection, under its name.

    Args:
        connection_id: names it.
        budget: of lines. All who never published or played have so many together.
    """

    _log = Logger()

    def __init__(self, connection_id: str, budget: LogBudget) -> None:
        self.budget = budget
        self.peer = ""
        """IP address of the client."""
        self.key = ""
        """What it publishes or plays, or wants to."""
        self._connection_id = connection_id

    @property
    def _name(self) -> str:
        return " ".join(filter(None, (self._connection_id, self.peer, self.key)))

    def say(self, level: LogLevel, text: str, now: float) -> None:
        """Log a line, if there is one left.

        Args:
            level: its level.
            text: holds nothing that the client sent.
            now: seconds.
        """
        left = self.budget.spend(now)
        if not left:
            return
        if left == 1:
            text += f" (and no more such lines for up to {LogBudget.PERIOD:g} s)"
        self._log.emit(
            level,
            "RTMP {connection}: {text}",
            connection=self._name,
            text=text,
            key=self.key,
            peer=self.peer,
            session=self._connection_id,
        )

    def failed(self, failure: Failure | None) -> None:
        """Log an exception that nobody expected: that under way when there is no failure."""
        self._log.failure("RTMP {connection}: failed", failure, connection=self._name)

"""Calls the methods of one hook: each call has a deadline, each outage is logged once."""

from collections import Counter
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from rapidrtmp.interfaces import AccessDenied

METHODS = ("on_publish", "on_play", "on_unpublish", "on_segment")
"""All that a hook may have, see `IHook`."""

RECOVERED = 5.0
"""Seconds without a failure after which a hook that answers counts as well again."""

Calls = Counter[tuple[str, str]]
"""Calls by method and outcome: ok, refused, failed, timeout, dropped."""


class HookFailed(Exception):
    """A hook gave no answer. The words are for the log, they hold no secret."""

    def __init__(
        self, description: str, retry_after: float | None = 0.0, outcome: str = "failed"
    ) -> None:
        super().__init__(description)
        self.retry_after = retry_after
        """Seconds after which it may be worth another try, at the earliest; None: it is not."""
        self.outcome = outcome
        """'failed', 'timeout' or 'dropped'."""


class HookCaller:
    """One hook and how it fares."""

    _log = Logger()

    def __init__(self, hook: object, clock: IReactorTime, timeout: float) -> None:
        """Call nothing yet.

        Args:
            hook: has some of `METHODS`.
            clock: for the deadline.
            timeout: seconds for each call.
        """
        self._hook = hook
        self._clock = clock
        self._timeout = timeout
        self._is_out = False
        self._failed_at = 0.0

    def method(self, name: str) -> Callable[..., object] | None:
        """Return a method of the hook; None when it has none of that name."""
        method = getattr(self._hook, name, None)
        return method if callable(method) else None

    async def call(self, name: str, *arguments: object) -> object:
        """Call a method and wait for its answer: a value, or one by a Deferred or a coroutine.

        Raises:
            AccessDenied: as the hook did.
            HookFailed: there is no answer.
        """
        method = self.method(name)
        assert method is not None
        answer: Deferred[object] = maybeDeferred(method, *arguments)
        # What a hook makes of being cancelled comes too late, whatever it is.
        answer.addTimeout(self._timeout, self._clock, _too_late)
        try:
            result = await answer
        except AccessDenied:
            self._answered()
            raise
        except TimeoutError:
            failed = HookFailed(f"no answer within {self._timeout:g} s", outcome="timeout")
            self._out(name, failed)
            raise failed from None
        except HookFailed as error:
            self._out(name, error)
            raise
        except CancelledError:
            # Nobody waits for the answer any more: that tells nothing of the hook.
            raise HookFailed("given up", None, "dropped") from None
        except Exception as error:
            if not self._is_out:
                self._log.failure("{hook} failed at {name}", hook=str(self._hook), name=name)
            self._fails()
            raise HookFailed(f"{type(error).__name__}: {error}") from error
        self._answered()
        return result

    async def close(self) -> None:
        """Close the hook, if it can be closed. Never fails."""
        method = self.method("close")
        if method is None:
            return
        try:
            await maybeDeferred(method).addTimeout(self._timeout, self._clock)
        except Exception:
            self._log.failure("{hook} could not be closed", hook=str(self._hook))

    def _out(self, name: str, error: HookFailed) -> None:
        if not self._is_out:
            self._log.warn(
                "{hook} is out of order at {name}: {error}",
                hook=str(self._hook),
                name=name,
                error=str(error),
            )
        self._fails()

    def _fails(self) -> None:
        self._is_out = True
        self._failed_at = self._clock.seconds()

    def _answered(self) -> None:
        # One that fails now and then is one outage, not a line for each call.
        if self._is_out and not 0 <= self._clock.seconds() - self._failed_at < RECOVERED:
            self._log.info("{hook} answers again", hook=str(self._hook))
            self._is_out = False


def _too_late(_: object, timeout: float) -> None:
    raise TimeoutError(timeout)

"""All hooks of the server: what they are asked, and what they are told."""

from collections import Counter
from collections.abc import Sequence
from random import Random

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from rapidrtmp.hooks.caller import Calls, HookCaller, HookFailed
from rapidrtmp.hooks.notifications import Notifications
from rapidrtmp.interfaces import AccessDenied, AccessRequest, Grant, IAuthenticator, Refusal
from rapidrtmp.stream.events import StreamEvent

CLOSE_PATIENCE = 5.0
"""Seconds for the last notifications when the server stops."""
UNAVAILABLE = "authorization is not available, try again"


class Hooks:
    """Asks every hook, in order, whether a publish or a play is allowed; tells them the rest.

    A hook that gives no answer is a refusal: what it would have said is not known.
    """

    _log = Logger()

    def __init__(
        self,
        hooks: Sequence[object],
        clock: IReactorTime,
        timeout: float,
        random: Random | None = None,
    ) -> None:
        """Call nothing yet.

        Args:
            hooks: each has some of the methods of `IHook`.
            clock: for deadlines and pauses.
            timeout: seconds for each call.
            random: spreads the tries of many servers.
        """
        self.calls: Calls = Counter()
        """Answers by method and outcome: ok, refused, failed, timeout, dropped."""
        self._clock = clock
        self._callers = [HookCaller(hook, clock, timeout) for hook in hooks]
        random = random or Random()  # noqa: S311  (spreads retries, and is no secret)
        self._notifications = [
            (caller, Notifications(caller, clock, self.calls, random)) for caller in self._callers
        ]

    @property
    def waiting(self) -> int:
        """Notifications that were not delivered yet."""
        return sum(notifications.waiting for _, notifications in self._notifications)

    @property
    def dropped(self) -> int:
        """Calls that were given up for want of room or time."""
        return sum(n for (_, outcome), n in self.calls.items() if outcome == "dropped")

    def is_asked(self, name: str) -> bool:
        """Tell whether some hook has a method of this name."""
        return any(caller.method(name) is not None for caller in self._callers)

    def authorize(self, request: AccessRequest) -> Deferred[None]:
        """Fire when every hook allows a request, or fail with AccessDenied."""
        return Deferred.fromCoroutine(self._authorize(request))

    async def _authorize(self, request: AccessRequest) -> None:
        name = f"on_{request.action}"
        for caller in self._callers:
            if caller.method(name) is None:
                continue
            try:
                if await caller.call(name, request) is False:
                    words = f"not allowed to {request.action} this"
                    raise AccessDenied(Refusal.DENIED, words, "hook")
            except AccessDenied:
                self.calls[name, "refused"] += 1
                raise
            except HookFailed as error:
                self.calls[name, error.outcome] += 1
                if error.outcome == "dropped":
                    raise CancelledError from error  # who asked has gone: nobody is refused
                # Not DENIED: players never ask again after that, and encoders would be barred.
                raise AccessDenied(Refusal.REJECTED, UNAVAILABLE, "hook_unavailable") from error
            self.calls[name, "ok"] += 1

    def heard(self, event: StreamEvent) -> None:
        """Tell the hooks what happened, soon: a listener of `Events`."""
        if event.name not in ("unpublish", "segment"):
            return
        name = f"on_{event.name}"
        for caller, notifications in self._notifications:
            if caller.method(name) is not None:
                notifications.put(name, event)

    def close(self, patience: float = CLOSE_PATIENCE) -> Deferred[None]:
        """Deliver what waits, then close the hooks that can be closed.

        Args:
            patience: seconds after which the rest is dropped.
        """
        return Deferred.fromCoroutine(self._close(patience))

    async def _close(self, patience: float) -> None:
        dropped = self.dropped
        await DeferredList([queue.close(patience) for _, queue in self._notifications])
        if self.dropped > dropped:
            self._log.warn("{count} hook calls were given up", count=self.dropped - dropped)
        for caller in self._callers:
            await caller.close()


@implementer(IAuthenticator)
class HookedAuthenticator:
    """Asks the hooks about those whose right is proven."""

    def __init__(self, inner: IAuthenticator, hooks: Hooks) -> None:
        """Stand before another authenticator.

        Args:
            inner: is asked first.
            hooks: are asked then.
        """
        self._inner = inner
        self._hooks = hooks

    def authorize(self, request: AccessRequest) -> Deferred[Grant]:
        """See `IAuthenticator.authorize`."""
        return Deferred.fromCoroutine(self._authorize(request))

    async def _authorize(self, request: AccessRequest) -> Grant:
        await self._inner.authorize(request)
        await self._hooks.authorize(request)
        # The hooks may have taken their time: the right may have been revoked meanwhile.
        return await self._inner.authorize(request)

    def in_use(self, key: str, identity: str, until: float | None) -> None:
        """See `IAuthenticator.in_use`."""
        self._inner.in_use(key, identity, until)

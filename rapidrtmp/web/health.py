"""``/health``: the process answers. ``/ready``: it can do its work."""

# Twisted's request methods carry no annotations yet.
# mypy: allow-untyped-calls

from collections.abc import Callable, Collection, Mapping

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from rapidrtmp.web.request import Request
from rapidrtmp.web.responses import json_body, open_read

Check = Callable[[], "str | Deferred[str]"]
"""Returns 'ok', or what is wrong."""

OK = "ok"

DEGRADABLE = ("storage", "disk")
"""Checks that are reported but do not make the server unready: live streams go on from memory."""

CHECK_TIMEOUT = 2.0
"""Seconds for one check: less than the 3 s after which Kubernetes gives a probe up."""


class HealthResource(Resource):
    """Answers 200 as long as the reactor turns."""

    isLeaf = True

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__()
        self._clock = clock

    def render(self, request: Request) -> bytes:
        """Answer a liveness probe."""
        request.route = "/health"
        answer = open_read(request)
        if answer is not None:
            return answer
        return json_body(request, {"status": "healthy", "time": int(self._clock.seconds())})


class ReadyResource(Resource):
    """Runs the checks and answers 200 or 503, naming each check's result."""

    isLeaf = True
    _log = Logger()

    def __init__(
        self,
        checks: Mapping[str, Check],
        clock: IReactorTime,
        degradable: Collection[str] = DEGRADABLE,
    ) -> None:
        """Make the resource.

        Args:
            checks: name to check.
            clock: times checks out.
            degradable: checks that do not make the server unready.
        """
        super().__init__()
        self._checks = checks
        self._clock = clock
        self._degradable = frozenset(degradable)

    def render(self, request: Request) -> bytes | int:
        """Answer a readiness probe."""
        request.route = "/ready"
        answer = open_read(request)
        if answer is not None:
            return answer
        results: Deferred[dict[str, str]] = Deferred.fromCoroutine(self._run())
        results.addCallback(self._answer, request)
        return NOT_DONE_YET

    async def _run(self) -> dict[str, str]:
        pending = {name: self._start(name, check) for name, check in self._checks.items()}
        return {name: await result for name, result in pending.items()}

    def _start(self, name: str, check: Check) -> Deferred[str]:
        result = Deferred.fromCoroutine(_result(check))
        result.addTimeout(
            CHECK_TIMEOUT,
            self._clock,
            onTimeoutCancel=lambda _, seconds: f"no answer within {seconds:g} s",
        )

        def failed(failure: Failure) -> str:
            self._log.failure("Readiness check {name} failed", failure=failure, name=name)
            return "check failed"

        return result.addErrback(failed)

    def _answer(self, results: dict[str, str], request: Request) -> None:
        if request.is_gone:
            return
        ready = all(result == OK or name in self._degradable for name, result in results.items())
        value = {
            "checks": dict(sorted(results.items())),
            "ready": ready,
            "time": int(self._clock.seconds()),
        }
        code = http.OK if ready else http.SERVICE_UNAVAILABLE
        request.end(json_body(request, value, code))


async def _result(check: Check) -> str:
    result = check()
    return result if isinstance(result, str) else await result

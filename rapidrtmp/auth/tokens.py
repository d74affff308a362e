"""Publish tokens: each proves the right to publish one stream key until it expires."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rapidrtmp.interfaces import (
    AccessDenied,
    AccessRequest,
    Grant,
    IAuthenticator,
    IStorage,
    Refusal,
)
from rapidrtmp.state import StateError, StateFile

TOKEN_BYTES = 32
"""Random bytes of a token: 256 bits, nothing to guess."""

MAX_TOKENS = 10_000
"""Tokens kept at once: they all are written at each change (1.4 MB, some 20 ms)."""

PURGE_INTERVAL = 60.0
"""Seconds between two searches for expired tokens."""

TOKENS_PATH = "tokens.json"
TOKENS_SCHEMA = 1

CREDENTIALS = ("token", "password", "pass")
"""Where a token may stand, the first one given wins. The latter two: encoders with a user and a
password field, which append ``?user=&pass=``. The user is ignored."""

_HASH = re.compile("[0-9a-f]{64}")

_log = Logger()


class TooManyTokens(Exception):
    """`MAX_TOKENS` tokens are valid: no further one is issued until some expire."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was just issued. Its value is nowhere else."""

    value: str = field(repr=False)
    """64 hexadecimal digits."""
    key: str
    expires_at: float
    """Unix time."""


class _Record(TypedDict):
    """What is kept of a token, in the form in which it is stored."""

    hash: str
    expires_at: float
    publishing: bool
    """Valid whatever the time: its holder is publishing."""
    in_use_until: float
    """Valid until then even past its expiry: its holder may come back (unix time)."""


@implementer(IAuthenticator)
class TokenStore:
    """Issues publish tokens and lets their holders publish.

    A token may be used any number of times until it expires. Only hashes are kept: who reads
    the file cannot publish. All times are wall-clock time: a step of the clock moves the
    expiry by as much.
    """

    def __init__(
        self,
        storage: IStorage,
        clock: IReactorTime,
        default_expiration: float,
        max_expiration: float,
        grace: float,
        max_tokens: int = MAX_TOKENS,
    ) -> None:
        """Make an empty store. Call `load` before anything else.

        Args:
            storage: keeps the tokens over a restart.
            clock: gives unix time.
            default_expiration: life of a token in seconds when none is asked for.
            max_expiration: longest life of a token in seconds.
            grace: seconds for which a token that was publishing when the process died stays
                valid after the restart.
            max_tokens: tokens kept at once.
        """
        self._file = StateFile(storage, TOKENS_PATH, TOKENS_SCHEMA)
        self._clock = clock
        self._default_expiration = default_expiration
        self._max_expiration = max_expiration
        self._grace = grace
        self._max_tokens = max_tokens
        self._tokens: dict[str, list[_Record]] = {}
        self._count = 0
        self._purge_at = 0.0

    def load(self) -> Deferred[None]:
        """Read the tokens that were issued before the restart.

        Fails with StateError when the file is broken or was written by a newer version, and
        as `IStorage.get` does: tokens are never thrown away silently.
        """
        return self._file.load().addCallback(self._restore)

    def close(self) -> Deferred[None]:
        """Store the last changes. The storage must still be open."""
        return self._file.save(self._tokens)

    def issue(self, key: str, expires_in: int | None = None) -> Deferred[Token]:
        """Make a new token. The Deferred fires when it has been stored.

        Fails with TooManyTokens, and as `IStorage.put` does; no token is left then.

        Args:
            key: the stream key that it is good for. The caller has checked it.
            expires_in: its life in seconds: None, 0 and less mean the default; a longer one
                than allowed is cut.
        """
        now = self._clock.seconds()
        if now >= self._purge_at or self._count >= self._max_tokens:
            self._purge(now)
        if self._count >= self._max_tokens:
            return fail(TooManyTokens(f"there are {self._count} publish tokens already"))
        asked = expires_in if expires_in and expires_in > 0 else self._default_expiration
        expires_at = now + min(asked, self._max_expiration)
        token = Token(secrets.token_hex(TOKEN_BYTES), key, expires_at)
        record = _Record(
            hash=_hash(token.value), expires_at=expires_at, publishing=False, in_use_until=0.0
        )
        self._tokens.setdefault(key, []).append(record)
        self._count += 1
        return self._file.save(self._tokens).addCallbacks(
            lambda _: token, _withdraw, errbackArgs=(record,)
        )

    def authorize(self, request: AccessRequest) -> Deferred[Grant]:
        """Let the holder of a token for the key in. See `IAuthenticator.authorize`."""
        identity = self.identify(request)
        if identity is not None:
            return succeed(Grant(identity))
        # One text for a wrong, an unknown, an expired and another key's token: a guesser
        # learns nothing from it.
        description = (
            "wrong or expired publish token"
            if _credential(request.credentials)
            else "no publish token was given"
        )
        return fail(AccessDenied(Refusal.DENIED, description))

    def identify(self, request: AccessRequest) -> str | None:
        """Give the hash of the request's token; None when it has none that is valid for its key."""
        given = _credential(request.credentials)
        if not given:
            return None
        given_hash = _hash(given)
        now = self._clock.seconds()
        identity = None
        # Constant time: each token of the key is compared in full, also after a hit. The time
        # tells only how many tokens the key has.
        for record in self._tokens.get(request.key, ()):
            if hmac.compare_digest(record["hash"], given_hash) and _is_valid(record, now):
                identity = record["hash"]
        return identity

    def in_use(self, key: str, identity: str, until: float | None) -> None:
        """Let a token outlive its expiry while in use. See `IAuthenticator.in_use`.

        Stored soon, without waiting; the latest call counts.
        """
        for record in self._tokens.get(key, ()):
            if record["hash"] == identity:
                record["publishing"] = until is None
                record["in_use_until"] = until or 0.0
                self._file.save(self._tokens).addErrback(_log_not_stored)

    def _restore(self, state: dict[str, object] | None) -> None:
        now = self._clock.seconds()
        self._tokens = {key: list(_records(key, stored)) for key, stored in (state or {}).items()}
        for records in self._tokens.values():
            for record in records:
                if record["publishing"]:
                    record["publishing"] = False
                    record["in_use_until"] = now + self._grace
        self._purge(now)

    def _purge(self, now: float) -> None:
        """Forget the tokens that have expired."""
        self._purge_at = now + PURGE_INTERVAL
        for key, records in list(self._tokens.items()):
            records[:] = [record for record in records if _is_valid(record, now)]
            if not records:
                del self._tokens[key]
        self._count = sum(map(len, self._tokens.values()))


def _credential(credentials: Mapping[str, str]) -> str:
    return next((credentials[name] for name in CREDENTIALS if credentials.get(name)), "")


def _hash(token: str) -> str:
    # A plain hash is enough: 256 random bits cannot be searched. The given text may be
    # anything, lone surrogates too.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _is_valid(record: _Record, now: float) -> bool:
    return record["publishing"] or now < max(record["expires_at"], record["in_use_until"])


def _is_time(seconds: float) -> bool:
    """Tell whether it is a unix time, not NaN or infinity: neither would ever expire rightly."""
    return 0 <= seconds < 1e11


def _records(key: str, stored: object) -> Iterator[_Record]:
    """Check what was stored for a key."""
    for item in stored if isinstance(stored, list) else [stored]:
        match item:
            case {
                "hash": str(token_hash),
                "expires_at": int() | float() as expires_at,
                "publishing": bool(publishing),
                "in_use_until": int() | float() as in_use_until,
            } if _HASH.fullmatch(token_hash) and _is_time(expires_at) and _is_time(in_use_until):
                yield _Record(
                    hash=token_hash,
                    expires_at=expires_at,
                    publishing=publishing,
                    in_use_until=in_use_until,
                )
            case _:
                raise StateError(
                    f"state file {TOKENS_PATH} holds no valid token for key {key!r};"
                    " repair it or move it away"
                )


def _withdraw(failure: Failure, record: _Record) -> Failure:
    """Make a token that could not be stored worthless; the next purge forgets it."""
    record["expires_at"] = 0.0
    return failure


def _log_not_stored(failure: Failure) -> None:
    _log.warn(
        "That a publish token is in use could not be stored: {reason}",
        reason=failure.getErrorMessage(),
    )

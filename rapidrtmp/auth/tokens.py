"""Publish tokens: each proves the right to publish one stream key until it expires."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rapidrtmp.auth.stored_secret import StoredSecret
from rapidrtmp.interfaces import (
    TOKEN_PARAMETERS,
    AccessDenied,
    AccessRequest,
    Grant,
    IAuthenticator,
    IStorage,
    Refusal,
)
from rapidrtmp.state import StateError, StateFile

TOKEN_BYTES = 32
"""Bytes of a token: 256 bits, nothing to guess."""

SEED_BYTES = 16
"""Random bytes that a token is made of, together with the server's secret."""

MAX_TOKENS = 10_000
"""Tokens kept at once: they all are written at each change (1.9 MB, some 25 ms)."""

PURGE_INTERVAL = 60.0
"""Seconds between two searches for expired tokens."""

MAX_COMPARED = 1000
"""Tokens of one key that a proof is compared with, the newest: some 10 ms in all."""

TOKENS_PATH = "tokens.json"
TOKENS_SCHEMA = 1
TOKEN_SECRET_PATH = "token-secret.json"  # noqa: S105  (where it is kept)

ID_DIGITS = 16
"""Hexadecimal digits that name a token: 64 bits of its hash, which are no help to a guesser."""

_HASH = re.compile("[0-9a-f]{64}")
_SEED = re.compile(f"[0-9a-f]{{{2 * SEED_BYTES}}}")

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


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """What can be told of a token later on."""

    id: str
    """Names it: the first `ID_DIGITS` hexadecimal digits of its hash."""
    key: str
    identity: str = field(repr=False)
    """Of its holder, as in a Grant."""
    created_at: float | None
    """Unix time; None when it was issued by a version that did not note it."""
    expires_at: float
    """Unix time."""
    is_publishing: bool


class _Record(TypedDict):
    """What is kept of a token, in the form in which it is stored."""

    hash: str
    seed: NotRequired[str]
    """What the server can make the token of again; absent when it was issued by a version that
    could not, or is not to."""
    created_at: NotRequired[float]
    expires_at: float
    publishing: bool
    """Valid whatever the time: its holder is publishing."""
    in_use_until: float
    """Valid until then even past its expiry: its holder may come back (unix time)."""


@implementer(IAuthenticator)
class TokenStore:
    """Issues publish tokens and lets their holders publish.

    A token may be used any number of times until it expires. The file holds hashes, and what
    makes tokens only together with a secret in another file: who reads it cannot publish. A
    token that was not sent, but proven to be known, is made again for as long as it takes to
    compare it. All times are wall-clock time: a step of the clock moves the expiry by as much.
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
        self.default_expiration = default_expiration
        self.max_expiration = max_expiration
        """Both hold for tokens that are issued from now on; may be changed at any time."""
        self.grace = grace
        """Seconds; may be changed at any time."""
        self.secret: StoredSecret | None = None
        """What tokens are made of, so that they can be made again and be proven without being
        sent; None for tokens that are nothing but random. May be changed at any time."""
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
        asked = expires_in if expires_in and expires_in > 0 else self.default_expiration
        expires_at = now + min(asked, self.max_expiration)
        seed = secrets.token_hex(SEED_BYTES)
        value = _derive(self.secret, seed) if self.secret else secrets.token_hex(TOKEN_BYTES)
        token = Token(value, key, expires_at)
        record = _Record(
            hash=_hash(token.value),
            created_at=now,
            expires_at=expires_at,
            publishing=False,
            in_use_until=0.0,
        )
        if self.secret:
            record["seed"] = seed
        self._tokens.setdefault(key, []).append(record)
        self._count += 1
        return self._file.save(self._tokens).addCallbacks(
            lambda _: token, _withdraw, errbackArgs=(record,)
        )

    @property
    def count(self) -> int:
        """How many tokens are kept. Those that have expired count for a minute more."""
        return self._count

    def tokens(self, key: str | None = None) -> list[IssuedToken]:
        """Return the valid tokens of a stream key, or all of them."""
        now = self._clock.seconds()
        keys = self._tokens if key is None else (key,)
        return [
            _issued(key, record)
            for key in keys
            for record in self._tokens.get(key, ())
            if _is_valid(record, now)
        ]

    def find(self, token_id: str) -> IssuedToken | None:
        """Return the valid token of an id."""
        return next((token for token in self.tokens() if token.id == token_id), None)

    def revoke(self, tokens: Iterable[IssuedToken]) -> Deferred[None]:
        """Make tokens worthless, at once. The Deferred fires when that has been stored.

        Fails as `IStorage.put` does; they are worthless until a restart then.

        Args:
            tokens: from `tokens` or `find`. Those that are gone by now are no error.
        """
        for token in tokens:
            records = self._tokens.get(token.key, [])
            kept = [record for record in records if record["hash"] != token.identity]
            self._count -= len(records) - len(kept)
            if kept:
                self._tokens[token.key] = kept
            else:
                self._tokens.pop(token.key, None)
        return self._file.save(self._tokens)

    def authorize(self, request: AccessRequest) -> Deferred[Grant]:
        """Let the holder of a token for the key in. See `IAuthenticator.authorize`."""
        identity = self.identify(request)
        if identity is not None:
            return succeed(Grant(identity))
        # One text for a wrong, an unknown, an expired and another key's token: a guesser
        # learns nothing from it.
        if _credential(request.credentials):
            description, reason = "wrong or expired publish token", "wrong_token"
        elif request.proves:
            words = "the password is no publish token of this stream key, or an expired one"
            description, reason = words, "wrong_token"
        else:
            description, reason = "no publish token was given", "no_token"
        return fail(AccessDenied(Refusal.DENIED, description, reason))

    def identify(self, request: AccessRequest) -> str | None:
        """Give the hash of the request's token; None when it has none that is valid for its key.

        One that it sends counts before one that it only proves to know.
        """
        given = _credential(request.credentials)
        now = self._clock.seconds()
        records = [one for one in self._tokens.get(request.key, ()) if _is_valid(one, now)]
        identity = None
        # Constant time: each token of the key is compared in full, also after a hit. The time
        # tells only how many tokens the key has.
        if given:
            given_hash = _hash(given)
            for record in records:
                if hmac.compare_digest(record["hash"], given_hash):
                    identity = record["hash"]
        elif request.proves and self.secret:
            for record in records[-MAX_COMPARED:]:
                if "seed" in record and request.proves(_derive(self.secret, record["seed"])):
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
                    record["in_use_until"] = now + self.grace
        self._purge(now)

    def _purge(self, now: float) -> None:
        """Forget the tokens that have expired."""
        self._purge_at = now + PURGE_INTERVAL
        for key, records in list(self._tokens.items()):
            records[:] = [record for record in records if _is_valid(record, now)]
            if not records:
                del self._tokens[key]
        self._count = sum(map(len, self._tokens.values()))


def token_secret(storage: IStorage) -> StoredSecret:
    """Make the secret of a token store, kept beside the tokens. Call `load` before its use."""
    loss = "leaves tokens valid where they are sent, but not as passwords of authmod"
    return StoredSecret(storage, TOKEN_SECRET_PATH, loss)


def _derive(secret: StoredSecret, seed: str) -> str:
    """Make a token of its seed: 64 hexadecimal digits."""
    return hmac.digest(secret.value, f"rapidrtmp-token-v1\n{seed}".encode(), "sha256").hex()


def _issued(key: str, record: _Record) -> IssuedToken:
    return IssuedToken(
        record["hash"][:ID_DIGITS],
        key,
        record["hash"],
        record.get("created_at"),
        record["expires_at"],
        record["publishing"],
    )


def _credential(credentials: Mapping[str, str]) -> str:
    return next((credentials[name] for name in TOKEN_PARAMETERS if credentials.get(name)), "")


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
                record = _Record(
                    hash=token_hash,
                    expires_at=expires_at,
                    publishing=publishing,
                    in_use_until=in_use_until,
                )
                match item:
                    case {"seed": str(seed)} if _SEED.fullmatch(seed):
                        record["seed"] = seed
                match item:
                    case {"created_at": int() | float() as created_at} if _is_time(created_at):
                        record["created_at"] = created_at
                yield record
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

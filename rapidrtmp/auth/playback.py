"""Signed playback URLs: each opens one stream to whoever has it, until it expires."""

import hmac
import re
from collections.abc import Mapping, Sequence

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from rapidrtmp.interfaces import AccessDenied, AccessRequest, Grant, IAuthenticator, Refusal

_EXPIRES = re.compile(r"[1-9][0-9]{0,11}")
"""A unix time in the one way of writing it, up to the year 33658."""


class PlaybackSigner:
    """Signs and verifies playback URLs.

    A signature is the HMAC-SHA256 of the lines ``rapidrtmp-playback-v1``, stream key and
    expiry (unix time, whole seconds), with a line feed between them and none at the end, as
    64 lower-case hexadecimal digits. A stream key has no line feed.
    """

    def __init__(self, secrets: Sequence[bytes], clock: IReactorTime) -> None:
        """Make a signer.

        Args:
            secrets: the first one signs, all are good for verifying.
            clock: gives unix time.

        Raises:
            ValueError: there is no secret, or an empty one.
        """
        self._clock = clock
        self.replace(secrets)

    def replace(self, secrets: Sequence[bytes]) -> None:
        """Put other secrets in force, at once. What only a former one signed is void.

        Raises:
            ValueError: there is no secret, or an empty one.
        """
        if not all(secrets) or not secrets:
            raise ValueError("signing playback URLs needs a secret")
        self._secrets = tuple(secrets)

    def sign(self, key: str, expires: int) -> str:
        """Return the signature that opens a stream until `expires`, a unix time."""
        return _signature(self._secrets[0], key, str(expires))

    def query(self, key: str, expires: int) -> str:
        """Return the query, without '?', of a stream's signed URLs: playlist's and player's."""
        return f"expires={expires}&signature={self.sign(key, expires)}"

    def verify(self, key: str, expires: str, signature: str) -> bool:
        """Tell whether a signature is good for the stream now, given the texts of a URL."""
        given = signature.encode("utf-8", "surrogatepass")
        is_good = False
        # Constant time: the whole of every secret's signature is compared, also after a hit.
        for secret in self._secrets:
            expected = _signature(secret, key, expires).encode("ascii")
            is_good |= hmac.compare_digest(expected, given)
        is_time = _EXPIRES.fullmatch(expires) is not None
        return is_good and is_time and self._clock.seconds() < int(expires)


@implementer(IAuthenticator)
class PlaybackAuthenticator:
    """Lets the holders of signed URLs play. Credentials: ``expires`` and ``signature``."""

    def __init__(self, signer: PlaybackSigner) -> None:
        """Make an authenticator.

        Args:
            signer: knows the secrets.
        """
        self._signer = signer

    def denial(self, key: str, credentials: Mapping[str, str]) -> AccessDenied | None:
        """Tell why somebody may not play a stream; None when it may.

        It depends on nothing but the arguments: nobody learns by it whether there is a stream.
        """
        expires, signature = credentials.get("expires", ""), credentials.get("signature", "")
        if self._signer.verify(key, expires, signature):
            return None
        if not (expires or signature):
            return AccessDenied(Refusal.DENIED, "this stream needs a signed URL", "no_signature")
        return AccessDenied(Refusal.DENIED, "wrong or expired playback URL", "wrong_signature")

    def authorize(self, request: AccessRequest) -> Deferred[Grant]:
        """Let somebody play, and nobody publish. See `IAuthenticator.authorize`."""
        if request.action != "play":
            return fail(AccessDenied(Refusal.DENIED, "a playback URL is not for publishing"))
        denial = self.denial(request.key, request.credentials)
        return succeed(Grant("")) if denial is None else fail(denial)

    def in_use(self, key: str, identity: str, until: float | None) -> None:
        """See `IAuthenticator.in_use`. A signature is good until its expiry, in use or not."""


def _signature(secret: bytes, key: str, expires: str) -> str:
    message = f"rapidrtmp-playback-v1\n{key}\n{expires}"
    return hmac.digest(secret, message.encode("utf-8", "surrogatepass"), "sha256").hex()

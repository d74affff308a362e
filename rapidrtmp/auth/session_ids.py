"""Viewers' sessions that prove themselves: whoever has one was let in when it was issued."""

import hmac
from functools import lru_cache

from twisted.internet.defer import Deferred

from rapidrtmp.auth.stored_secret import StoredSecret
from rapidrtmp.interfaces import IStorage

SESSIONS_PATH = "sessions.json"

SIGNATURE_DIGITS = 16
"""Hexadecimal digits of a session's signature: 64 bits are plenty where each guess is a request."""

REMEMBERED = 8192
"""Signatures that are remembered: viewers come five times a second."""


class SessionSigner:
    """Signs the ids of viewers' sessions, and verifies them, after a restart too.

    A signature is the beginning of the HMAC-SHA256 of the lines ``rapidrtmp-session-v1``,
    stream key, life and session id. Neither a stream key nor a session id has a line feed.
    """

    def __init__(self, storage: IStorage) -> None:
        """Make a signer with a secret of its own. Call `load` before anything else.

        Args:
            storage: keeps the secret over a restart.
        """
        self._secret = StoredSecret(
            storage, SESSIONS_PATH, "makes the server ask about everybody who is watching anew"
        )

    def load(self) -> Deferred[None]:
        """Take over the secret of before the restart. Fails as `StoredSecret.load` does."""
        return self._secret.load()

    def sign(self, key: str, life: str, session_id: str) -> str:
        """Return the signature of a session that was let in, `SIGNATURE_DIGITS` digits."""
        return _signature(self._secret.value, key, life, session_id)

    def verify(self, key: str, life: str, session_id: str, signature: str) -> bool:
        """Tell whether a session was issued by this server, for this life of this stream."""
        expected = self.sign(key, life, session_id)
        return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogatepass"))


@lru_cache(REMEMBERED)
def _signature(secret: bytes, key: str, life: str, session_id: str) -> str:
    message = f"rapidrtmp-session-v1\n{key}\n{life}\n{session_id}"
    digest = hmac.digest(secret, message.encode("utf-8", "surrogatepass"), "sha256")
    return digest.hex()[:SIGNATURE_DIGITS]

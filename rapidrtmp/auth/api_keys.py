"""API keys: each opens parts of the management API to whoever bears it."""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Protocol

PUBLISH = "publish"
"""Scope: issue, list and revoke publish tokens; sign playback URLs."""
READ = "read"
"""Scope: ask for anything, change nothing."""
ADMIN = "admin"
"""Scope: everything."""


class Key(Protocol):
    """A key as the settings give it."""

    @property
    def value(self) -> str:
        """The secret itself."""

    @property
    def scopes(self) -> frozenset[str]:
        """What its bearer may do."""


class APIKeys:
    """The keys that are in force. Only their hashes are kept."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        """Take the keys; without any, nobody has to bear one."""
        self.replace(keys)

    def replace(self, keys: Iterable[Key]) -> None:
        """Put other keys in force, at once."""
        self._keys = [(_hash(key.value), key.scopes) for key in keys]

    def __bool__(self) -> bool:
        """Tell whether there is any key."""
        return bool(self._keys)

    def find(self, bearer: str) -> frozenset[str] | None:
        """Return the scopes of a key; None when it is not in force.

        Args:
            bearer: what somebody claims to be a key.
        """
        given = _hash(bearer)
        found = None
        # Constant time: every key is compared in full, also after a hit.
        for key_hash, scopes in self._keys:
            if hmac.compare_digest(key_hash, given):
                found = scopes if found is None else found | scopes
        return found


def fingerprint(bearer: str) -> str:
    """Name a key in a log without telling it: 8 hexadecimal digits of its hash."""
    return _hash(bearer).hex()[:8]


def _hash(key: str) -> bytes:
    # A plain hash is enough: keys are long and random. The given text may be anything.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()

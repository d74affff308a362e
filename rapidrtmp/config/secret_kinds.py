"""The kinds of secret settings, whose values are shown nowhere."""

import re
from dataclasses import dataclass, field

from rapidrtmp.config.kinds import Kind

HIDDEN = "<set>"
"""Stands for the value of a secret wherever settings are shown."""


def _hide(value: object) -> str:
    return HIDDEN if value else ""


def _parse_secret(text: str) -> str:
    if not re.fullmatch(r"[!-~]{16,1024}", text):
        raise ValueError("not a secret")
    return text


SECRET = Kind(
    "secret",
    "16 to 1024 printable ASCII characters without spaces",
    _parse_secret,
    _hide,
    secret=True,
)


@dataclass(frozen=True, slots=True)
class APIKey:
    """A key of the management API."""

    value: str = field(repr=False)
    scopes: frozenset[str]
    """Of `SCOPES`: what its bearer may do."""


SCOPES = ("publish", "read", "admin")


def _parse_api_keys(text: str) -> tuple[APIKey, ...]:
    keys: dict[str, APIKey] = {}
    for entry in re.split(r"[,\s]+", text.strip(", \t\r\n")):
        value, colon, scopes = entry.partition(":")
        names = frozenset(scopes.split("+")) if colon else frozenset({"admin"})
        if not re.fullmatch(r"[A-Za-z0-9._~+/=-]{16,256}", value) or names - set(SCOPES):
            raise ValueError("not a key with scopes")
        if value in keys:
            raise ValueError("a key twice")
        keys[value] = APIKey(value, names)
    return tuple(keys.values())


API_KEYS = Kind(
    "API keys",
    "keys of 16 to 256 characters of A-Z, a-z, 0-9 and ._~+/=- separated by commas or white "
    "space, no key twice; behind each, if not admin, its scopes: KEY:publish+read",
    _parse_api_keys,
    _hide,
    secret=True,
)

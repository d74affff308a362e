"""How a client proves a password without sending it: ``authmod=adobe``.

It takes three connections. The first connect is refused by `NEED_AUTH`. Then the client appends
``?authmod=adobe&user=U`` to app and tcUrl, and is refused by `challenge_text`. Then it appends
``&challenge=C&response=R&opaque=O``, too, and R tells whether it knows the password. There is no
specification: texts and formula are what encoders have in common.
"""

import hmac
import os
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import md5
from urllib.parse import unquote

ADOBE = "adobe"
"""The only method of signing in that is understood. Another one is ``llnw``, Limelight's."""

# GStreamer insists on these brackets, other clients search for parts of the text.
_REJECT = "[ AccessManager.Reject ] : [ authmod=adobe ] : "
NEED_AUTH = "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : "
"""Asks for a user and a password."""
AUTH_FAILED = f"{_REJECT}?reason=authfailed"
"""Tells that the response is wrong."""
NO_SUCH_USER = f"{_REJECT}?reason=nosuchuser"
"""Tells that the user is wrong."""

MAX_USER_LENGTH = 128
"""Characters: FFmpeg keeps 299 of the text that repeats the user."""
FFMPEG_PASSWORD_LENGTH = 49
"""Characters of a password that FFmpeg keeps; of a token, they are 196 bits."""
MAX_ANSWER_LENGTH = 64
"""Characters of a client's challenge and of its response that count: real ones have 24 at most."""
LIFETIME = 30.0
"""Seconds for which a challenge is good: clients answer at once, over a slow network, too."""
MAX_USED = 10_000
"""Used challenges that are remembered (some 2 MB), so that none is good twice; the oldest
goes, and with it all challenges of its time."""

_NAMES = ("authmod", "user", "challenge", "response", "opaque")
_SEPARATOR = re.compile("[?&]")
_ENDS = "\r\n\t \"'"
_TIME_DIGITS, _SALT_DIGITS, _SEAL_DIGITS = 8, 16, 24


@dataclass(frozen=True, slots=True)
class SignIn:
    """What a client has appended to app or tcUrl in order to sign in. Texts are as it sent them."""

    method: str
    user: str = ""
    challenge: str = ""
    """The client's own random text."""
    response: str = field(default="", repr=False)
    opaque: str = field(default="", repr=False)
    """The server's challenge, repeated."""

    def proves(self, password: str) -> bool:
        """Tell whether the client knows a password. Takes the same time for each of its length."""
        given = self.response.encode("utf-8", "surrogatepass")
        is_known = False
        for known in (password, password[:FFMPEG_PASSWORD_LENGTH]):
            expected = response(self.user, self.opaque, self.challenge, known)
            is_known |= hmac.compare_digest(expected.encode("ascii"), given)
        return is_known


def split(text: str) -> tuple[str, SignIn | None]:
    """Split an app or a tcUrl into itself and what was appended in order to sign in.

    Args:
        text: as the client sent it.
    """
    path, _, query = text.partition("?")
    # clients append a query of their own, whether or not there is one
    pairs = _SEPARATOR.split(query.rstrip(_ENDS))
    values: dict[str, str] = {}
    others = []
    for pair in pairs:
        name, _, value = pair.partition("=")
        if name in _NAMES:
            values.setdefault(name, value)
        else:
            others.append(pair)
    if "authmod" not in values:
        return text, None
    sign_in = SignIn(
        values["authmod"],
        values.get("user", ""),
        _digits(values.get("challenge", "")),
        _digits(values.get("response", "")),
        values.get("opaque", ""),
    )
    return f"{path}?{'&'.join(others)}", sign_in


def is_user(user: str) -> bool:
    """Tell whether a user's name can be repeated to the client."""
    return 0 < len(user) <= MAX_USER_LENGTH and user.isprintable()


def challenge_text(user: str, opaque: str) -> str:
    """Return the text that a client is challenged by.

    Args:
        user: as the client sent it: it hashes what it reads here.
        opaque: of `Challenges.issue`.
    """
    # Clients hash opaque, and the challenge without one: either way it is the same.
    return (
        f"{_REJECT}?reason=needauth&user={user}&salt={_salt(opaque)}"
        f"&challenge={opaque}&opaque={opaque}"
    )


def response(user: str, opaque: str, challenge: str, password: str) -> str:
    """Compute what a client answers that knows the password.

    Args:
        user: as it was sent.
        opaque: the server's challenge.
        challenge: the client's.
        password: the password.
    """
    return _digest(_digest(user + _salt(opaque) + password) + opaque + challenge)


class Challenges:
    """Issues challenges and knows them again, each once.

    Nothing is kept of one that is not answered: it carries its time and the proof of its origin.

    Args:
        random: returns so many random bytes.
    """

    def __init__(self, random: Callable[[int], bytes] = os.urandom) -> None:
        self._random = random
        self._secret = random(32)
        self._used: dict[str, None] = {}  # in the order of time
        self._forgotten = -1  # unix time of the newest that is not remembered any more

    def issue(self, now: float) -> str:
        """Make a challenge of hexadecimal digits.

        Args:
            now: unix time.
        """
        salt = self._random(_SALT_DIGITS // 2).hex()
        body = f"{int(now):0{_TIME_DIGITS}x}{salt}"
        return body + self._seal(body)

    def use(self, opaque: str, now: float) -> bool:
        """Tell whether a challenge was issued here, in the last `LIFETIME`, and not used yet.

        Args:
            opaque: what a client sent as such.
            now: unix time.
        """
        body = opaque[: _TIME_DIGITS + _SALT_DIGITS]
        expected = (body + self._seal(body)).encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(expected, opaque.encode("utf-8", "surrogatepass")):
            return False
        issued = _time(opaque)
        if not 0 <= now - issued <= LIFETIME or opaque in self._used:
            return False
        if issued <= self._forgotten <= now:
            return False  # a flood of others is no way to use it twice
        while self._used and len(self._used) >= MAX_USED:
            oldest = next(iter(self._used))
            del self._used[oldest]
            self._forgotten = max(self._forgotten, _time(oldest))
        self._used[opaque] = None
        return True

    def _seal(self, body: str) -> str:
        text = body.encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, text, "sha256").hex()[:_SEAL_DIGITS]


def _digits(text: str) -> str:
    """Read base64 or hexadecimal digits, which have no '%' of their own."""
    digits, padding, _ = unquote(text)[:MAX_ANSWER_LENGTH].partition("==")
    # librtmp with GnuTLS sends what happens to stand in memory behind the padding, too
    return digits + padding


def _time(opaque: str) -> int:
    return int(opaque[:_TIME_DIGITS], 16)


def _salt(opaque: str) -> str:
    return opaque[_TIME_DIGITS : _TIME_DIGITS + _SALT_DIGITS]


def _digest(text: str) -> str:
    digest = md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    return b64encode(digest).decode("ascii")

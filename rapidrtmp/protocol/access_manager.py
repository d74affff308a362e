"""Asks clients for user and password when they connect (``authmod``)."""

import os
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from rapidrtmp.interfaces import TOKEN_PARAMETERS
from rapidrtmp.rtmp.authmod import (
    ADOBE,
    AUTH_FAILED,
    NEED_AUTH,
    NO_SUCH_USER,
    Challenges,
    SignIn,
    challenge_text,
    is_user,
)
from rapidrtmp.rtmp.events import ConnectRequested
from rapidrtmp.rtmp.url import application

# Clients search these for 'authmod': without that word they give up.
_OFF = (
    "signing in by user and password is switched off: put the token into the URL, "
    "<stream key>?token=<token> or <stream key>?user=<any>&pass=<token>"
)
_UNKNOWN_METHOD = (
    "this way of signing in by user and password is not supported, Adobe's is; or put the token "
    "into the URL, <stream key>?token=<token> or <stream key>?user=<any>&pass=<token>"
)


class ConnectRefused(Exception):
    """A client may not connect, or not yet. Its text is for a log."""

    def __init__(self, description: str, words: str = "", is_guess: bool = False) -> None:
        super().__init__(words or description)
        self.description = description
        """What the client is told."""
        self.is_guess = is_guess
        """Whether it may be somebody's guessing."""


class PasswordAsked(ConnectRefused):
    """A client is to connect again, with a further step of signing in."""


class AccessManager:
    """Decides who is asked for a password, and whether an answer belongs to a question.

    The password is a publish token: whether it is the right one is decided at publish, when the
    stream key is known. Nothing is kept of those that were asked.
    """

    def __init__(
        self, clock: IReactorTime, app: str, random: Callable[[int], bytes] = os.urandom
    ) -> None:
        """Make one.

        Args:
            clock: tells unix time.
            app: clients that connect to this application are asked; '' switches signing in off.
            random: returns so many random bytes.
        """
        self.app = app
        """May be changed at any time."""
        self._clock = clock
        self._challenges = Challenges(random)

    def admit(self, request: ConnectRequested) -> SignIn | None:
        """Let a client connect.

        Returns:
            The answer of a client that was asked, still to be compared with passwords; None of
            one that has no need to.

        Raises:
            PasswordAsked: it has to connect again.
            ConnectRefused: it cannot be let in.
        """
        sign_in = request.sign_in
        if sign_in is None:
            if self.app and self._must_sign_in(request):
                raise PasswordAsked(NEED_AUTH)
            return None
        if not self.app:
            raise ConnectRefused(_OFF)
        if sign_in.method != ADOBE:
            raise ConnectRefused(_UNKNOWN_METHOD)
        if not is_user(sign_in.user):
            raise ConnectRefused(NO_SUCH_USER, "the user is empty, too long or not printable")
        now = self._clock.seconds()
        if not sign_in.response:
            raise PasswordAsked(challenge_text(sign_in.user, self._challenges.issue(now)))
        if not self._challenges.use(sign_in.opaque, now):
            words = "the answer to a challenge that is unknown, too old or answered already"
            raise ConnectRefused(AUTH_FAILED, words, is_guess=True)
        return sign_in

    def _must_sign_in(self, request: ConnectRequested) -> bool:
        app, parameters = application(request.app, request.tc_url)
        return app == self.app and not any(map(parameters.get, TOKEN_PARAMETERS))

"""Viewers' sessions, which need no cookies: they stand in the addresses of media playlists.

``<life>.<session>/video1.m3u8``, with signed URLs
``<life>.<session>.<expires>.<signature>/video1.m3u8``: relative URIs in the multivariant
playlist lead every player there. Media is always below the plain life, so that all viewers
and caches share it.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from rapidrtmp.interfaces import Representation

PRIVATE = "private, no-cache"
"""Cache-Control of what is made for one viewer."""

SIGNED = ("expires", "signature")
"""What a signed URL has in its query, and playlists have in their address."""

_PART = re.compile(
    r"(?P<life>[^.]{1,64})\.(?P<session>[0-9a-f]{16})(?P<proof>[0-9a-f]{16})"
    r"(?:\.(?P<expires>[0-9]{1,12})\.(?P<signature>[0-9a-f]{64}))?"
)


class Session(NamedTuple):
    """A viewer, as far as an address tells."""

    life: str
    session_id: str
    """16 hexadecimal digits, which name it wherever it is told of."""
    proof: str
    """16 hexadecimal digits more, by `SessionSigner`, which nobody but the viewer is told."""
    credentials: Mapping[str, str]
    """``expires`` and ``signature``, or nothing."""


def read_session(part: str) -> Session | None:
    """Read the part of an address that holds a life and a session; None when it is malformed."""
    found = _PART.fullmatch(part)
    if found is None:
        return None
    life, session_id, proof, expires, signature = found.groups()
    credentials = {} if expires is None else dict(zip(SIGNED, (expires, signature), strict=True))
    return Session(life, session_id, proof, credentials)


def personal(multivariant: Representation, session: Session) -> Representation:
    """Make a viewer's own version of the multivariant playlist, for nobody to keep."""
    own = _part(session)
    plain = f"{session.life}/".encode("ascii")
    body = multivariant.body.replace(plain, f"{own}/".encode("ascii"))
    return replace(multivariant, content=body, cache_control=PRIVATE, etag="")


def at_first_address(manifest: Representation, session: Session | None) -> Representation:
    """Make the version of a DASH manifest that stands at ``/live/<key>/manifest.mpd``.

    That is one level above the others. It leads to the viewer's own one, if there is one.
    """
    body = manifest.body.replace(b'"../', b'"')
    if session is not None:
        body = body.replace(b"<Location>", f"<Location>{_part(session)}/".encode("ascii"))
    return replace(manifest, content=body, cache_control=PRIVATE, etag="")


def _part(session: Session) -> str:
    signed = [session.credentials[name] for name in SIGNED if name in session.credentials]
    return ".".join((session.life, session.session_id + session.proof, *signed))

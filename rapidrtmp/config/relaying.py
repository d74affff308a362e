"""The settings of relays: streams to other servers, and from them."""

from dataclasses import dataclass, field

from rapidrtmp.config.kinds import FILE, Kind, duration
from rapidrtmp.config.row import HOUR, SECOND, row, secret_file
from rapidrtmp.config.secret_kinds import HIDDEN
from rapidrtmp.config.serving import ServingSettings
from rapidrtmp.media.key import is_stream_key
from rapidrtmp.rtmp.target import BadTarget, Target


@dataclass(frozen=True, slots=True)
class RelaySetting:
    """A relay that stands in the settings."""

    key: str
    """Stream key on this server."""
    url: str = field(repr=False)
    """Of the stream on the other server: a secret."""


def _parse_relays(text: str) -> tuple[RelaySetting, ...]:
    relays = []
    for entry in text.split():
        key, _, url = entry.partition("=")
        if not is_stream_key(key):
            raise ValueError("no stream key")
        try:
            Target.parse(url)
        except BadTarget:
            raise ValueError("no target") from None
        relays.append(RelaySetting(key, url))
    if len(set(relays)) != len(relays):
        raise ValueError("a relay twice")
    return tuple(relays)


def _parse_pulls(text: str) -> tuple[RelaySetting, ...]:
    relays = _parse_relays(text)
    if len({relay.key for relay in relays}) != len(relays):
        raise ValueError("a key twice")
    return relays


def _show(relays: tuple[RelaySetting, ...]) -> str:
    return HIDDEN if relays else ""


_FORM = "stream keys and URLs, KEY=rtmp://host/app/name or rtmps://, separated by white space"
PUSHES = Kind("relays", _FORM, _parse_relays, _show, secret=True)
PULLS = Kind("relays", f"{_FORM}, no key twice", _parse_pulls, _show, secret=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayingSettings(ServingSettings):
    """Where streams are sent to, and taken from."""

    relay_push: tuple[RelaySetting, ...] = row(
        "Relays",
        PUSHES,
        (),
        "Streams that are published to other servers, too, for as long as they are live here. "
        "A key may stand here several times, with different targets.",
    )
    relay_push_file: str = secret_file("Relays", "RELAY_PUSH")
    relay_pull: tuple[RelaySetting, ...] = row(
        "Relays",
        PULLS,
        (),
        "Streams that are played from other servers all the time, and published here.",
    )
    relay_pull_file: str = secret_file("Relays", "RELAY_PULL")
    relay_pull_on_demand: tuple[RelaySetting, ...] = row(
        "Relays",
        PULLS,
        (),
        "Streams that are played from other servers only while somebody plays them here.",
    )
    relay_pull_on_demand_file: str = secret_file("Relays", "RELAY_PULL_ON_DEMAND")
    relay_on_demand_linger: float = row(
        "Relays",
        duration(SECOND, HOUR),
        10.0,
        "How long a pull on demand goes on after the last viewer has gone.",
        reload=True,
    )
    relay_ca_file: str = row(
        "Relays",
        FILE,
        "",
        "PEM file of the certificate authorities that rtmps targets are checked by. Without it, "
        "those of the system.",
    )

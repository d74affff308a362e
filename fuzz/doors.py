"""Targets that read text and small headers: what comes before, beside and instead of media."""

import os
import tempfile
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import parse_qs

from twisted.web.http_headers import Headers

from fuzz.broken import check
from rapidrtmp.config import TABLE
from rapidrtmp.config.file import read_settings
from rapidrtmp.config.row import SettingError
from rapidrtmp.hls.low_latency import DirectiveError, awaited, read_directives
from rapidrtmp.hls.scte35 import SPLICE_INSERT, TIME_SIGNAL, SpliceError, crc_32, parse_section
from rapidrtmp.proxy_protocol import (
    MAX_V2,
    REASONS,
    Header,
    MalformedHeader,
    read_header,
)
from rapidrtmp.rtmp import authmod
from rapidrtmp.rtmp.authmod import Challenges
from rapidrtmp.web.forwarded import client_address

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
NAMES = frozenset(row.name for row in TABLE)
TARGET_PARTS = 10
KINDS = {(row.kind.name, row.kind.allowed): row.kind for row in TABLE}.values()
"""Of settings, each once."""


def proxy(octets: bytes) -> None:
    """What a load balancer sends first: however it is cut, the same header, or the same end."""

    def read(data: bytes) -> Header | str | None:
        try:
            return read_header(data)
        except MalformedHeader as error:
            check(error.reason in REASONS, error.reason)
            return error.reason

    whole = read(octets)
    for size in range(min(len(octets), MAX_V2 + 20)):
        found = read(octets[:size])
        if found is not None:
            check(found == whole, "what follows makes a difference")
            break
    if isinstance(whole, Header):
        check(0 < whole.size <= len(octets), "a header of bytes that are not there")
        check((whole.source is None) == (whole.target is None), "half a connection")


def directives(octets: bytes) -> None:
    """The query of a media playlist, against a stream with some segments and parts."""
    try:
        query = parse_qs(octets.decode("latin-1"), keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return
    try:
        found = read_directives(query)
        position = awaited(found, (7, 4), (8, 2), TARGET_PARTS)
    except DirectiveError as error:
        check(len(str(error)) < 200, "a long quotation")
        return
    if position is not None:
        check((7, 4) < position, "a wait for what is there")
        check(position[0] <= 10, "a wait for what is far away")


def settings(octets: bytes) -> None:
    """The text of a setting, of each kind: a value that can be shown, or ValueError."""
    text = octets.decode("utf-8", "replace")
    for kind in KINDS:
        try:
            value = kind.parse(text)
        except ValueError:
            continue
        if not kind.secret:
            shown = kind.show(value)
            check(kind.parse(shown) == value, f"{kind.name}: shown as {shown!r}")


def config_file(octets: bytes) -> None:
    """A whole file of settings: names that there are, or one line that says what is wrong."""
    number, path = tempfile.mkstemp()
    try:
        os.write(number, octets)
        os.close(number)
        try:
            found = read_settings(path, NAMES)
        except SettingError as error:
            check("\n" not in str(error).strip(), "more than a line")
            check(len(str(error)) < 500, "a long quotation")
            return
        check(found.keys() <= NAMES, "a setting that there is not")
    finally:
        Path(path).unlink()


def sign_in(octets: bytes) -> None:
    """What clients append to sign in by user and password: text of any kind."""
    text = octets.decode("utf-8", "replace")
    rest, found = authmod.split(text)
    check(len(rest) <= len(text) + 1, "more than was sent")
    if found is None:
        check(rest == text, "changed, though nobody signs in")
        return
    challenges = Challenges(lambda size: b"r" * size)
    check(not challenges.use(found.opaque, 1e9), "an answer to what nobody asked")
    check(not found.proves("password") or found.response != "", "proven by nothing")
    if authmod.is_user(found.user):
        asked = authmod.challenge_text(found.user, challenges.issue(1e9))
        check(asked.isprintable(), "a question that cannot be printed")


def splice(octets: bytes) -> None:
    """A splice_info_section; its CRC is made right, or nothing but that would be tried."""
    for section in (octets, octets + crc_32(octets).to_bytes(4, "big")):
        try:
            found = parse_section(section)
        except SpliceError:
            continue
        check(found.command in (SPLICE_INSERT, TIME_SIGNAL), "another command")
        check(found.duration is None or 0 <= found.duration < 1e6, "an absurd duration")


def forwarded(octets: bytes) -> None:
    """X-Forwarded-For, a line for each line: the peer's address, or one that is an address."""
    headers = Headers()
    for line in octets.split(b"\n")[:20]:
        headers.addRawHeader(b"X-Forwarded-For", line)
    found = client_address("10.0.0.1", headers, PROXIES)
    check(str(ip_address(found)) == found, "no address")


DOORS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (proxy, directives, settings, config_file, sign_in, splice, forwarded)
}
"""By name."""

"""``rapidrtmp check URL``: judges a stream by the standards, from outside."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, gatherResults

from rapidrtmp.check.client import Client, FetchError, resolve
from rapidrtmp.check.follower import TIMEOUT, Follower, with_directives
from rapidrtmp.judge.finding import Report
from rapidrtmp.judge.http_rules import MULTIVARIANT, judge_answer
from rapidrtmp.judge.multivariant import Multivariant, is_multivariant, read_multivariant
from rapidrtmp.judge.presentation import PresentationJudge
from rapidrtmp.judge.rendition import RenditionJudge
from rapidrtmp.judge.syntax import MAX_PLAYLIST

MAX_RENDITIONS = 32
"""That are followed; a playlist may name any number."""
INDEX = "index.m3u8"
"""The playlist of a directory."""


class CannotCheck(Exception):
    """There is nothing to judge. The message says why, in one line."""


@dataclass(slots=True)
class Outcome:
    """What came of a check."""

    url: str
    seconds: float
    """How long it took."""
    report: Report
    followers: list[Follower] = field(default_factory=list)


def as_url(target: str) -> str:
    """Return the URL of an argument: an http, https or file URL, or a path.

    Raises:
        CannotCheck: it is none of these.
    """
    if target.startswith(("http:", "https:")):
        try:
            host = urlsplit(target).hostname
        except ValueError:
            host = None
        if not host:
            raise CannotCheck(f"{target} names no host")
        return target
    path = Path(target.removeprefix("file://")).absolute()
    if path.is_dir():
        path /= INDEX
    if not path.is_file():
        raise CannotCheck(f"{target} is no http or https URL, and no file")
    return path.as_uri()


async def check_url(
    target: str, reactor: Any, *, seconds: float, segments: int | None = None, agent: Any = None
) -> Outcome:
    """Follow a stream and judge it.

    Args:
        target: URL or path of a multivariant or media playlist.
        reactor: connects, and tells the time.
        seconds: how long, at most.
        segments: how many of each rendition, at most; None for no such limit.
        agent: sends the requests in place of one of its own, for tests.

    Raises:
        CannotCheck: there is no playlist.
    """
    url = as_url(target)
    client = Client(reactor, agent)
    report = Report()
    began = reactor.seconds()
    try:
        followers, presentation = await _followers(url, client, reactor, report, segments)
        following = gatherResults(
            [Deferred.fromCoroutine(follower.follow()) for follower in followers],
            consumeErrors=True,
        )
        end = reactor.callLater(seconds, _stop, followers)
        try:
            await following
        finally:
            if end.active():
                end.cancel()
        presentation.finish()
    finally:
        await client.close()
    if not any(follower.is_reached for follower in followers):
        problem = next((f.problem for f in followers if f.problem), "no rendition answered")
        raise CannotCheck(f"no media playlist at {url}: {problem}")
    return Outcome(url, reactor.seconds() - began, report, followers)


def _stop(followers: Iterable[Follower]) -> None:
    for follower in followers:
        follower.stop()


async def _followers(
    url: str, client: Client, reactor: Any, report: Report, segments: int | None
) -> tuple[list[Follower], PresentationJudge]:
    """Fetch the first playlist, and make a follower for each rendition."""
    try:
        answer = await client.get(url, limit=MAX_PLAYLIST, timeout=TIMEOUT, compressed=True)
    except FetchError as error:
        raise CannotCheck(f"no answer from {url}: {error}") from error
    if answer.status != 200:
        raise CannotCheck(f"{url} answered {answer.status}")
    if not answer.body.lstrip(b"\xef\xbb\xbf").startswith(b"#EXTM3U"):
        raise CannotCheck(f"{url} is no playlist")
    multivariant: Multivariant | None = None
    uris = [urlsplit(url).path.rsplit("/", 1)[-1] or url]
    base = url
    if is_multivariant(answer.body):
        name = uris[0]
        judge_answer(MULTIVARIANT, answer, name, report)
        multivariant = read_multivariant(answer.body, name, report)
        uris = multivariant.uris()[:MAX_RENDITIONS] if multivariant is not None else []
        base = answer.url
        if not uris:
            raise CannotCheck(f"{url} names no media playlist")
    judges: dict[str, RenditionJudge] = {}
    for uri in uris:
        target = with_directives(resolve(base, uri), {}) if multivariant is not None else url
        judges.setdefault(target, RenditionJudge(uri, report))
    presentation = PresentationJudge(multivariant, judges, report)
    followers = [
        Follower(target, judge, presentation, client, reactor, report, segments)
        for target, judge in judges.items()
    ]
    return followers, presentation

"""Tests of rapidrtmp.web.live: thumbnails, who may see them, and what is said without one."""

from twisted.internet.defer import Deferred, fail

from rapidrtmp.interfaces import (
    AccessDenied,
    NotFound,
    NotReady,
    Refusal,
    Representation,
)
from tests.web.live_fakes import LIFE
from tests.web.session_case import AGENT, NOW, SessionTestCase

THUMB = "/live/k/thumb.jpg"
JPEG = Representation(b"\xff\xd8JPEG\xff\xd9", "image/jpeg", "public, max-age=2", "j1")


class ThumbnailCase(SessionTestCase):
    def setUp(self) -> None:
        """Give the stream a picture."""
        super().setUp()
        self.files = self.stream.output.files
        self.files["thumb.jpg"] = JPEG


class ThumbnailTests(ThumbnailCase):
    def test_picture(self) -> None:
        """Who asks gets a JPEG that may be cached for a moment, and is no viewer."""
        response = self.ask(THUMB, AGENT)
        self.assertEqual((response.code, response.body), (200, JPEG.body))
        self.assertEqual(response.headers["content-type"], "image/jpeg")
        self.assertEqual(response.headers["cache-control"], "public, max-age=2")
        self.assertEqual(self.code(THUMB, ("If-None-Match", '"j1"')), 304)
        self.assertEqual(self.ask(THUMB, method="HEAD").headers["content-length"], "8")
        self.assertEqual(len(self.viewers), 0)
        self.assertEqual(self.manager.joined, [])

    def test_waits(self) -> None:
        """One that is being made is waited for; who leaves does not hold it up."""
        made: Deferred[Representation] = Deferred()
        self.files["thumb.jpg"] = made
        connection = self.connect(THUMB)
        self.assertEqual(connection.transport.value(), b"")
        made.callback(JPEG)
        self.assertEqual(connection.response("GET").body, JPEG.body)
        cancelled: list[object] = []
        self.files["thumb.jpg"] = Deferred(cancelled.append)
        self.connect(THUMB).lose()
        self.assertEqual(len(cancelled), 1)

    def test_none(self) -> None:
        """Without a picture the answer says why, and whether it is worth asking again."""
        for reason in (NotFound("the stream has no video"), fail(NotFound("no PyAV"))):
            self.files["thumb.jpg"] = reason
            response = self.ask(THUMB)
            self.assertEqual(response.code, 404)
            self.assertIn(response.json()["error"], ("the stream has no video", "no PyAV"))
        self.files["thumb.jpg"] = NotReady("no thumbnail could be made", 60)
        response = self.ask(THUMB)
        self.assertEqual((response.code, response.headers["retry-after"]), (503, "60"))
        self.assertEqual(self.code("/live/nobody/thumb.jpg"), 404)

    def test_hook(self) -> None:
        """A hook is asked as about a viewer, before anything is made, and not each time."""
        decision: Deferred[None] = Deferred()
        self.manager.decide = lambda request: decision
        connection = self.connect(f"{THUMB}?jwt=ticket", AGENT)
        self.assertEqual(self.stream.output.asked, [])
        [request] = self.manager.requests
        self.assertEqual((request.action, request.key, request.client), ("play", "k", "VLC/3"))
        self.assertEqual(request.credentials, {"jwt": "ticket"})
        decision.callback(None)
        self.assertEqual(connection.response("GET").code, 200)
        self.assertEqual(self.code(THUMB, AGENT), 200)
        self.assertEqual(len(self.manager.requests), 1)

    def test_hook_refuses(self) -> None:
        """Who may not watch sees no picture, and makes no work."""
        self.manager.decide = lambda request: fail(AccessDenied(Refusal.DENIED, "members only"))
        response = self.ask(THUMB)
        self.assertEqual((response.code, response.json()), (403, {"error": "members only"}))
        self.assertEqual(self.stream.output.asked, [])


class ProtectedTests(ThumbnailCase):
    protected = True

    def test_signature(self) -> None:
        """A picture of a protected stream needs what its playlists need, in any form."""
        expires = NOW + 60
        good = self.signer.query("k", expires)
        self.assertEqual(self.code(f"{THUMB}?{good}"), 200)
        self.stream.output.asked.clear()
        other = self.signer.query("other", expires)
        for query in ("", f"?{other}", f"?expires={expires}&signature={'0' * 64}"):
            for method in ("GET", "HEAD"):
                self.assertEqual(self.code(THUMB + query, method=method), 403)
        answers = [self.ask(f"/live/{key}/thumb.jpg") for key in ("k", "nobody")]
        self.assertEqual(answers[0].body, answers[1].body, "it tells that there is a stream")
        self.clock.advance(61)
        self.assertEqual(self.code(f"{THUMB}?{good}"), 403)
        self.assertEqual(self.stream.output.asked, [])

    def test_images(self) -> None:
        """The image rendition is protected as the video: its playlist by the session."""
        self.files[f"{LIFE}/image1.m3u8"] = JPEG
        self.files[f"{LIFE}/image1/7.jpg"] = JPEG
        self.assertEqual(self.code(f"/live/k/{LIFE}/image1.m3u8"), 403)
        self.assertEqual(self.code(f"/live/k/{LIFE}/image1/7.jpg"), 200)
        self.assertEqual(self.code("/live/k/0000000000000000/image1/7.jpg"), 404)

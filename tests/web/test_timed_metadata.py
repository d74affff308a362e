"""POST /api/v1/streams/{streamKey}/timed-metadata."""

import json
from base64 import b64encode
from typing import Any

from rapidrtmp.hls.id3 import text_tag
from rapidrtmp.hls.timed import ID3_SCHEME, SCTE35_SCHEME
from rapidrtmp.media.timed import Attribute, DateRange, EventMessage, TimedMetadata
from rapidrtmp.storage.memory import MemoryStorage
from rapidrtmp.stream.date_ranges import MAX_RANGES
from rapidrtmp.stream.manager import StreamManager, StreamSettings
from rapidrtmp.stream.records import RecordStore
from tests.hls.splices import segmentation, splice_insert, time_signal
from tests.stream.fakes import Encoder, FakeAuthenticator, FakeMaker, request
from tests.web.api_case import JSON, KEYS, NOW, PUBLISH, READ, APITestCase, bearer
from tests.web.fakes import Response

PATH = "/api/v1/streams/key/timed-metadata"
START = "2026-09-21T14:13:24.000Z"
"""Some 4 s after the stream's start: the live edge."""


class TimedMetadataTests(APITestCase):
    def setUp(self) -> None:
        """Have a stream that has been live for 4 s."""
        super().setUp()
        maker = FakeMaker()
        self.manager = StreamManager(
            self.clock,
            FakeAuthenticator(),
            [maker],
            StreamSettings(),
            RecordStore(MemoryStorage(self.clock)),
            self.events,
        )
        self.make()
        publication = self.successResultOf(self.manager.publish(request()))
        self.live = Encoder(self.clock, publication)
        self.live.run(4)
        self.heard: list[TimedMetadata] = maker.outputs[-1].metadata

    def post(self, path: str = PATH, /, **fields: Any) -> Response:
        """Ask for something to be put in."""
        return self.ask("POST", path, JSON, body=json.dumps(fields).encode())

    def taken(self, **fields: Any) -> dict[str, Any]:
        """Ask for what is taken; return the answer, and forget what was heard before."""
        self.heard.clear()
        response = self.post(**fields)
        self.assertEqual(response.code, 200, response.body)
        answer: dict[str, Any] = response.json()
        self.assertEqual((answer.pop("streamKey"), answer.pop("kind")), ("key", fields["kind"]))
        return answer

    def field(self, **fields: Any) -> str:
        """Ask for what is refused; return the field at fault."""
        self.heard.clear()
        response = self.post(**fields)
        self.assertEqual(response.code, 400, response.body)
        self.assertEqual(self.heard, [])
        return str(response.json().get("field"))

    def content(self) -> list[object]:
        """Return what the output heard."""
        return [metadata.content for metadata in self.heard]

    def test_date_range(self) -> None:
        """A range now, at a date, and its end."""
        answer = self.taken(kind="daterange", id="a")
        self.assertEqual(answer["id"], "a")
        self.assertRegex(answer["start"], r"^2026-09-21T14:13:2\d\.\d\d\dZ$")
        [made] = self.content()
        assert isinstance(made, DateRange)
        self.assertAlmostEqual(made.start, NOW + 4, places=1)
        self.assertEqual(
            self.taken(
                kind="daterange",
                id="b",
                start="2026-09-21T16:13:30+02:00",
                duration=1.5,
                plannedDuration=2,
                attributes={"X-A": "ä", "X-B": 2, "X-C": 0.5},
                **{"class": "c"},
            ),
            {
                "id": "b",
                "start": "2026-09-21T14:13:30.000Z",
                "duration": 1.5,
                "plannedDuration": 2.0,
            },
        )
        attributes: dict[str, Attribute] = {"X-A": "ä", "X-B": 2.0, "X-C": 0.5}
        self.assertEqual(self.content(), [DateRange("b", 1790000010.0, "c", 1.5, 2.0, attributes)])
        self.live.run(2)
        answer = self.taken(kind="daterange", id="a", end="now")
        self.assertAlmostEqual(answer["duration"], 2.0, places=1)

    def test_date_range_refused(self) -> None:
        """Whatever is wrong, the field at fault is named, and nobody hears of it."""
        self.taken(kind="daterange", id="a", duration=3, attributes={"X-A": "1"})
        for fields, name in (
            ({}, "id"),
            ({"id": 5}, "id"),
            ({"id": 'a"b'}, "id"),
            ({"id": "a\nb"}, "id"),
            ({"id": "x" * 129}, "id"),
            ({"id": "b", "class": "\u2028"}, "class"),
            ({"id": "b", "start": "soon"}, "start"),
            ({"id": "b", "start": 5}, "start"),
            ({"id": "b", "start": "2026-09-21T16:13:30"}, "start"),
            ({"id": "b", "start": "2020-01-01T00:00:00Z"}, "start"),
            ({"id": "b", "end": "2026-09-21T14:13:20Z"}, "end"),
            ({"id": "b", "duration": -1}, "duration"),
            ({"id": "b", "duration": True}, "duration"),
            ({"id": "b", "duration": 1e300}, "duration"),
            ({"id": "b", "plannedDuration": "x"}, "plannedDuration"),
            ({"id": "b", "attributes": []}, "attributes"),
            ({"id": "b", "attributes": {f"X-{n}": n for n in range(17)}}, "attributes"),
            ({"id": "b", "attributes": {"A": "b"}}, "attributes.A"),
            ({"id": "b", "attributes": {"X-a": "b"}}, "attributes.X-a"),
            ({"id": "b", "attributes": {"X-A": 'b",ID="c'}}, "attributes.X-A"),
            ({"id": "b", "attributes": {"X-A": None}}, "attributes.X-A"),
            ({"id": "b", "attributes": {"X-A": 10**400}}, "attributes.X-A"),
            ({"id": "b", "attribute": {}}, "attribute"),
            ({"id": "a", "duration": 4}, "duration"),
            ({"id": "a", "attributes": {"X-A": "2"}}, "attributes.X-A"),
        ):
            self.assertEqual(self.field(kind="daterange", **fields), name)
        self.assertEqual(self.field(kind="text"), "kind")
        self.assertEqual(self.field(), "kind")

    def test_splice(self) -> None:
        """Out and back again: one range, whose id is the event's, and the sections as they are."""
        out = splice_insert(7, out=True, seconds=30)
        back = splice_insert(7, out=False, immediate=True)
        answer = self.taken(kind="scte35", data="0x" + out.hex())
        self.assertEqual((answer["id"], answer["plannedDuration"]), ("splice-7", 30.0))
        opened, message = self.content()
        assert isinstance(opened, DateRange)
        self.assertEqual(opened.attributes, {"SCTE35-OUT": out})
        self.assertEqual(message, EventMessage(SCTE35_SCHEME, out, duration=30.0))
        self.assertEqual(self.heard[0].time, self.heard[1].time)
        self.live.run(2)
        answer = self.taken(kind="scte35", data=b64encode(back).decode())
        self.assertAlmostEqual(answer["duration"], 2.0, places=1)
        closed, message = self.content()
        assert isinstance(closed, DateRange)
        self.assertEqual(closed.attributes, {"SCTE35-OUT": out, "SCTE35-IN": back})
        self.assertEqual(message, EventMessage(SCTE35_SCHEME, back))
        self.assertAlmostEqual(self.heard[1].wall, NOW + 6, places=1)

    def test_splice_kinds(self) -> None:
        """A time signal is what its segmentation says, or the request; a command is a moment."""
        start = time_signal(segmentation(9, 0x34, seconds=15))
        self.assertEqual(self.taken(kind="scte35", data=start.hex())["plannedDuration"], 15.0)
        answer = self.taken(kind="scte35", data=time_signal().hex(), start=START)
        self.assertEqual((answer["duration"], answer["start"]), (0.0, START))
        self.assertRegex(answer["id"], r"^splice-0-\d+$")
        answer = self.taken(kind="scte35", data=start.hex(), cue="cmd", id="own", duration=2)
        self.assertEqual((answer["id"], answer["duration"]), ("own", 2.0))

    def test_splice_refused(self) -> None:
        """Sections that are broken, and ends of what did not begin, are refused."""
        out = splice_insert(7, out=True).hex()
        for fields, name in (
            ({}, "data"),
            ({"data": ""}, "data"),
            ({"data": "zz!"}, "data"),
            ({"data": out[:-2] + "00"}, "data"),
            ({"data": "fc" * 40000}, "data"),
            ({"data": out, "cue": "on"}, "cue"),
            ({"data": out, "cue": ["out"]}, "cue"),
            ({"data": splice_insert(8, out=False).hex()}, "id"),
            ({"data": out, "end": "now"}, "end"),
        ):
            if len(fields.get("data", "")) > 65_000:
                self.assertEqual(self.post(kind="scte35", **fields).code, 413)
            else:
                self.assertEqual(self.field(kind="scte35", **fields), name)
        self.taken(kind="scte35", data=out)
        other = splice_insert(7, out=True, immediate=True).hex()
        self.assertEqual(self.field(kind="scte35", data=other), "data")

    def test_id3(self) -> None:
        """Text, or a tag as it is."""
        tag = text_tag("d", "t")
        answer = self.taken(kind="id3", text="t", description="d", duration=2)
        self.assertEqual(answer["duration"], 2.0)
        self.assertEqual(self.content(), [EventMessage(ID3_SCHEME, tag, duration=2.0)])
        self.taken(kind="id3", data=b64encode(tag).decode(), start=START)
        self.assertEqual(self.content(), [EventMessage(ID3_SCHEME, tag)])
        self.assertAlmostEqual(self.heard[0].wall, NOW + 4, places=3)

    def test_id3_refused(self) -> None:
        """What is no tag, too much, or two things at once."""
        good = b64encode(text_tag("d", "t")).decode()
        large = b64encode(text_tag("d", "t" * 17_000)).decode()
        for fields, name in (
            ({}, "data"),
            ({"data": good, "text": "t"}, "data"),
            ({"data": good, "description": "t"}, "description"),
            ({"data": "SUQz"}, "data"),
            ({"data": large}, "data"),
            ({"text": "t" * 4097}, "text"),
            ({"text": 5}, "text"),
            ({"text": "t", "description": '"'}, "description"),
            ({"text": "t", "duration": "1"}, "duration"),
            ({"text": "t", "id": "x"}, "id"),
        ):
            self.assertEqual(self.field(kind="id3", **fields), name)

    def test_where(self) -> None:
        """A stream that is not there, and one without a publisher."""
        self.assertEqual(self.post("/api/v1/streams/other/timed-metadata", kind="id3").code, 404)
        self.live.publication.close("over")
        self.assertEqual(self.post(kind="id3", text="t").code, 409)

    def test_full(self) -> None:
        """Too many ranges are refused for now."""
        for number in range(MAX_RANGES):
            self.taken(kind="daterange", id=str(number))
        self.assertEqual(self.post(kind="daterange", id="one more").code, 503)

    def test_scopes(self) -> None:
        """Who may publish may, who may read may not."""
        self.keys.replace(KEYS)
        body = json.dumps({"kind": "id3", "text": "t"}).encode()
        for key, code in ((PUBLISH, 200), (READ, 403)):
            self.assertEqual(self.ask("POST", PATH, JSON, bearer(key), body=body).code, code)

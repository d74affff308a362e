"""Tests for `rapidrtmp.hls.images`."""

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.hls.images import Image, image_playlist, image_stream_inf

NOW = 1_800_000_000.0
FIRST = Image(7, "image1/7.jpg", 2.0, NOW, 0, False, (320, 180))
GAP = Image(8, "image1/8.jpg", 1.96, NOW + 2, 0, False, None)
OTHER = Image(9, "image1/9.jpg", 2.0, NOW + 60, 1, True, (180, 320))


class ImagePlaylistTests(SynchronousTestCase):
    def test_playlist(self) -> None:
        """Every segment has its line, and its picture's size where there is one."""
        body = image_playlist([FIRST, GAP, OTHER], base="../life/", target_duration=2, ended=False)
        expected = """\
#EXTM3U
#EXT-X-VERSION:10
#EXT-X-IMAGES-ONLY
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-PROGRAM-DATE-TIME:2027-01-15T08:00:00.000Z
#EXTINF:2.000000,
#EXT-X-TILES:RESOLUTION=320x180,LAYOUT=1x1,DURATION=2.000000
../life/image1/7.jpg
#EXT-X-PROGRAM-DATE-TIME:2027-01-15T08:00:02.000Z
#EXT-X-GAP
#EXTINF:1.960000,
../life/image1/8.jpg
#EXT-X-DISCONTINUITY
#EXT-X-PROGRAM-DATE-TIME:2027-01-15T08:01:00.000Z
#EXTINF:2.000000,
#EXT-X-TILES:RESOLUTION=180x320,LAYOUT=1x1,DURATION=2.000000
../life/image1/9.jpg
"""
        self.assertEqual(body.decode(), expected)

    def test_discontinuity_sequence(self) -> None:
        """A discontinuity counts when it has left the list, as in the playlist of the video."""
        for image, number in ((OTHER, 0), (replace(OTHER, is_discontinuity=False), 1)):
            body = image_playlist([image], base="", target_duration=2, ended=True).decode()
            self.assertIn(f"#EXT-X-DISCONTINUITY-SEQUENCE:{number}\n", body)
            self.assertTrue(body.endswith("\n#EXT-X-ENDLIST\n"))

    def test_stream_inf(self) -> None:
        """The multivariant playlist names it in one line: its address is an attribute."""
        self.assertEqual(
            image_stream_inf("life/image1.m3u8", (320, 180), 150_000),
            '#EXT-X-IMAGE-STREAM-INF:BANDWIDTH=150000,RESOLUTION=320x180,CODECS="jpeg",'
            'URI="life/image1.m3u8"',
        )

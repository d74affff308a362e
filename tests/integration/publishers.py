"""Programs that publish: ffmpeg and two GStreamer pipelines, each an RTMP of its own."""

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.process import Child, tool


def ffmpeg(
    case: SynchronousTestCase,
    source: Path,
    url: str,
    *,
    live: bool = False,
    loop: bool = False,
    program: str = "",
) -> Child:
    """Publish a file as it is.

    Args:
        case: the test; the child ends with it.
        source: the file.
        url: where to.
        live: in real time rather than as fast as the server takes it.
        loop: over and over.
        program: its path, when not the system's.
    """
    arguments = [program or tool("ffmpeg"), "-hide_banner", "-nostdin", "-loglevel", "verbose"]
    arguments += ["-re"] if live else []
    arguments += ["-stream_loop", "-1"] if loop else []
    arguments += ["-i", str(source), "-map", "0", "-c", "copy", "-f", "flv", url]
    return _start(case, "ffmpeg", arguments)


def rtmp2sink(case: SynchronousTestCase, url: str, copy: Path, *properties: str) -> Child:
    """Publish a test picture and tone with GStreamer's own RTMP (rtmp2sink).

    Args:
        case: the test; the child ends with it.
        url: where to.
        copy: gets a copy of the FLV that is sent.
        properties: further ones of the element.
    """
    return _gstreamer(case, ["rtmp2sink", f"location={url}", *properties], copy)


def rtmpsink(case: SynchronousTestCase, url: str, copy: Path) -> Child:
    """Publish a test picture and tone with librtmp (rtmpsink), as old OBS does."""
    return _gstreamer(case, ["rtmpsink", f"location={url}"], copy)


def _gstreamer(case: SynchronousTestCase, sink: list[str], copy: Path) -> Child:
    buffers = 150
    picture = (
        f"videotestsrc num-buffers={buffers} ! video/x-raw,width=320,height=180,framerate=25/1"
    )
    sound = (
        f"audiotestsrc num-buffers={buffers * 48000 // 25 // 960} samplesperbuffer=960 "
        "! audio/x-raw,rate=48000,channels=2 ! audioconvert"
    )
    start = (
        "flvmux name=mux streamable=true ! tee name=both "
        f"both. ! queue ! filesink location={copy} both. ! queue !"
    )
    sources = (
        f"{picture} ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! h264parse "
        f"! queue ! mux. {sound} ! voaacenc ! aacparse ! queue ! mux."
    )
    pipeline = [*start.split(), *sink, "sync=false", *sources.split()]
    return _start(case, sink[0], [tool("gst-launch-1.0"), *pipeline])


def _start(case: SynchronousTestCase, name: str, arguments: list[str]) -> Child:
    # each call of mktemp gives a new directory
    environment = {
        **os.environ,
        "GST_DEBUG": "2,rtmp*:5",
        "GST_DEBUG_NO_COLOR": "1",
    }
    child = Child(arguments, Path(case.mktemp()) / f"{name}.log", environment=environment)
    case.addCleanup(child.kill)
    return child

"""Makes the pictures of README.md and the documentation: ``screenshots.py [DIR]``.

Starts a server with the test card and two streams of FFmpeg's, and takes pictures of its pages in
headless Chromium, where live.example.org means this machine. Runs with the Python of the virtual
environment (``make screenshots``).
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Browser, Page, sync_playwright

TARGET = Path("docs", "images")
NAME = "live.example.org"
KEY = "demo"
OTHERS = {
    "garden": "mandelbrot=size=640x360:rate=25",
    "stage": "life=size=640x360:rate=25:mold=9:life_color=#c7cbff:death_color=#4f46e5",
}
"""Streams beside the test card: key, and FFmpeg's source."""
FILM = 12
"""Seconds of each, again and again: what is played on this machine must not want for time."""
DESKTOP, PHONE = (1280, 920), (390, 844)
SHOTS = {
    # name: (address, light or dark, size, seconds of charts)
    "player": (f"/player/{KEY}", "light", DESKTOP, 20),
    "player-phone": (f"/player/{KEY}", "dark", PHONE, 20),
    "waiting": ("/player/show", "light", DESKTOP, 0),
    "status": ("/", "light", (1280, 780), 0),
}
PATIENCE = 60_000
"""ms until a page shows what it is to show."""
PLAYS = "() => window.rapidrtmp && document.getElementById('latency-range').textContent"
LISTED = """
(count) => document.querySelectorAll('.streams a').length === count
  && [...document.querySelectorAll('.shot img')].every((image) => image.naturalWidth)
"""
FFMPEG = ["ffmpeg", "-loglevel", "error"]
COLOURS = 256
"""Of the pictures, which are a third as large then, and look the same."""


def free_port() -> int:
    """Find a port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def wait_ready(http: int) -> None:
    """Wait until the server answers."""
    for _ in range(300):
        with contextlib.suppress(URLError), urlopen(f"http://127.0.0.1:{http}/ready"):
            return
        time.sleep(0.1)
    sys.exit("the server does not start")


@contextlib.contextmanager
def streams(directory: str) -> Iterator[int]:
    """Run a server with live streams; gives its HTTP port."""
    films = {key: make_film(f"{directory}/{key}.flv", source) for key, source in OTHERS.items()}
    http, rtmp = free_port(), free_port()
    settings = {
        "HTTP_ADDR": f"127.0.0.1:{http}",
        "RTMP_ADDR": f"127.0.0.1:{rtmp}",
        "RTMP_INGEST_ADDR": f"rtmp://{NAME}:1935",
        "AUTH_REQUIRED": "false",
        "STORAGE_DIR": f"{directory}/streams",
        "STATE_DIR": f"{directory}/state",
    }
    server = [sys.executable, "-m", "rapidrtmp.cli", "serve"]
    processes = [subprocess.Popen(server, env=os.environ | settings)]
    try:
        wait_ready(http)
        card = subprocess.Popen([sys.executable, "-m", "rapidrtmp.testcard"], stdin=subprocess.PIPE)
        processes.append(card)
        assert card.stdin is not None
        card.stdin.write(f"rtmp://127.0.0.1:{rtmp}/live/{KEY}\n".encode())
        card.stdin.flush()
        for key, film in films.items():
            url = f"rtmp://127.0.0.1:{rtmp}/live/{key}"
            loop = ["-re", "-stream_loop", "-1", "-i", film, "-c", "copy", "-f", "flv", url]
            processes.append(subprocess.Popen([*FFMPEG, *loop]))
        yield http
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


def make_film(path: str, source: str) -> str:
    """Encode what a source of FFmpeg's shows."""
    sound = ["-f", "lavfi", "-i", "sine=frequency=220:sample_rate=48000"]
    coded = ["-c:v", "libx264", "-g", "50", "-pix_fmt", "yuv420p", "-c:a", "aac", "-t", str(FILM)]
    subprocess.run([*FFMPEG, "-f", "lavfi", "-i", source, *sound, *coded, path], check=True)
    return path


def take(browser: Browser, name: str, path: Path) -> None:
    """Take a picture of a page."""
    address, colours, (width, height), seconds = SHOTS[name]
    is_phone = (width, height) == PHONE
    page: Page = browser.new_page(
        color_scheme="light" if colours == "light" else "dark",
        viewport={"width": width, "height": height},
        device_scale_factor=2 if is_phone else 1,
    )
    page.goto(f"http://{NAME}{address}")
    if seconds:
        page.wait_for_function(PLAYS, timeout=PATIENCE)
        page.wait_for_timeout(seconds * 1000)
    page.wait_for_function(LISTED, arg=len(OTHERS) + 1, timeout=PATIENCE)
    with tempfile.TemporaryDirectory() as directory:
        raw = Path(directory, "raw.png")
        page.screenshot(path=raw)
        shrink(raw, path)
    page.close()
    print(f"{path}: {path.stat().st_size // 1024} KB", flush=True)


def shrink(raw: Path, path: Path) -> None:
    """Write a picture with a palette of its own."""
    palette = f"palettegen=max_colors={COLOURS}:reserve_transparent=0"
    graph = f"split[a][b];[a]{palette}[p];[b][p]paletteuse=dither=none"
    command = [*FFMPEG, "-y", "-i", str(raw), "-vf", graph, "-compression_level", "9", str(path)]
    subprocess.run(command, check=True)


def main(target: Path) -> None:
    """Take all."""
    chromium = shutil.which("chromium")
    if chromium is None or shutil.which("ffmpeg") is None:
        sys.exit("pictures need chromium and ffmpeg: apt-get install chromium ffmpeg")
    with (
        tempfile.TemporaryDirectory() as directory,
        streams(directory) as http,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--hide-scrollbars",
                f"--host-resolver-rules=MAP {NAME}:80 127.0.0.1:{http}",
                "--autoplay-policy=no-user-gesture-required",
            ],
        )
        for name in SHOTS:
            take(browser, name, target / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)

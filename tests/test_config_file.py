"""Tests for files of settings, secrets and reload: `rapidrtmp.config` and its neighbours."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp import config
from rapidrtmp.config import TABLE, SettingError, Settings, load, reference
from rapidrtmp.config.file import MAX_SIZE
from rapidrtmp.config.secret_kinds import API_KEYS, APIKey

KEY = "k3y." + "x" * 16
SECRET = "s3cret-" + "y" * 16

SECRETS = {"API_KEYS": KEY, "PLAYBACK_SECRET": SECRET, "WEBHOOK_SECRET": SECRET + "2"}


class FileCase(SynchronousTestCase):
    """Writes files."""

    def write(self, text: str | bytes) -> str:
        """Write a file, and give its path."""
        path = Path(self.mktemp())
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return str(path)

    def refusal(self, environ: dict[str, str], options: dict[str, str | None] | None = None) -> str:
        """Give the line by which settings are refused."""
        return str(self.assertRaises(SettingError, load, environ, options))


class APIKeysTests(SynchronousTestCase):
    """The text of API_KEYS."""

    def test_read(self) -> None:
        """Keys stand alone or with scopes, between commas or white space."""
        one, two, three = "a" * 16, "b" * 256, "c._~+/=-" * 2
        keys = API_KEYS.parse(f" {one},{two}:publish+read\n{three}:read ,")
        self.assertEqual(
            keys,
            (
                APIKey(one, frozenset({"admin"})),
                APIKey(two, frozenset({"publish", "read"})),
                APIKey(three, frozenset({"read"})),
            ),
        )

    def test_refused(self) -> None:
        """Short keys, other characters, unknown scopes, and a key twice are refused."""
        key = "a" * 16
        for text in (
            "a" * 15, "a" * 257, key + "!", f"{key}:", f"{key}:write", f"{key}:read+",
            f"{key}:read:admin", f"{key},{key}:read", ",", f":{key}", key + "\u00e9",
        ):  # fmt: skip
            with self.assertRaises(ValueError, msg=text):
                API_KEYS.parse(text)


class SecretTests(FileCase):
    """Secrets are read, and shown nowhere."""

    def test_every_secret_is_known(self) -> None:
        """The table has these secrets, each with its file."""
        names = {*SECRETS, "RELAY_PUSH", "RELAY_PULL", "RELAY_PULL_ON_DEMAND"}
        self.assertEqual({row.name for row in TABLE if row.kind.secret}, names)
        files = {row.name: row.secret_of for row in TABLE if row.secret_of}
        self.assertEqual(files, {f"{name}_FILE": name for name in names})

    def test_values(self) -> None:
        """They can stand in the environment, and `secrets` gives them all."""
        settings = load(SECRETS)
        self.assertEqual(settings.playback_secret, SECRET)
        self.assertEqual(settings.api_keys[0].value, KEY)
        self.assertEqual(config.secrets(settings), list(SECRETS.values()))
        self.assertEqual(config.secrets(Settings()), [])

    def test_files(self) -> None:
        """Each can stand in a file instead; white space around it does not count."""
        environ = {f"{name}_FILE": self.write(f"\n{value} \n") for name, value in SECRETS.items()}
        settings = load(environ)
        self.assertEqual(config.secrets(settings), list(SECRETS.values()))
        self.assertEqual(settings.api_keys_file, str(Path(environ["API_KEYS_FILE"]).absolute()))

    def test_never_shown(self) -> None:
        """Neither the settings in force, nor their repr, nor an error holds one."""
        settings = load(SECRETS)
        shown = [repr(settings), reference.environment(settings)]
        self.assertEqual(shown[1].count("=<set>\n"), 3)
        bad = f"{SECRET} bad"
        for name in SECRETS:
            shown.append(self.refusal({name: bad}))
            self.assertTrue(shown[-1].startswith(f"{name}=<set>: must be "), shown[-1])
            shown.append(self.refusal({}, {name.lower().replace("_", "-"): bad}))
            shown.append(self.refusal({f"{name}_FILE": self.write(bad)}))
            self.assertIn("must hold", shown[-1])
            shown.append(self.refusal({name: SECRET, f"{name}_FILE": self.write(SECRET)}))
            shown.append(self.refusal({"CONFIG_FILE": self.write(f"{name} {SECRET}")}))
        shown.append(self.refusal({"WEBHOOK_ON_PLAY": f"http://me:{SECRET}@localhost/"}))
        for text in shown:
            self.assertNotIn(SECRET, text)
            self.assertNotIn(KEY, text)

    def test_cause_holds_none(self) -> None:
        """Not even a traceback of the error would show it."""
        error = self.assertRaises(SettingError, load, {"PLAYBACK_SECRET": "short"})
        self.assertIs(error.__cause__, None)

    def test_refused(self) -> None:
        """Both ways at once, and files that cannot be used, are refused by name."""
        good = self.write(SECRET)
        cases = [
            ({"WEBHOOK_SECRET": SECRET, "WEBHOOK_SECRET_FILE": good}, "must not be given beside"),
            ({"WEBHOOK_SECRET_FILE": "/no/such/file"}, "cannot be read: No such file"),
            ({"WEBHOOK_SECRET_FILE": self.mktemp() + "/"}, "cannot be read: "),
            ({"WEBHOOK_SECRET_FILE": self.write(" \n")}, "must not be empty"),
            ({"WEBHOOK_SECRET_FILE": self.write(b"\xff" * 20)}, "must be UTF-8"),
            ({"WEBHOOK_SECRET_FILE": "/dev/zero"}, "must not be larger"),
        ]
        for environ, problem in cases:
            line = self.refusal(environ)
            self.assertTrue(line.startswith("WEBHOOK_SECRET_FILE="), line)
            self.assertIn(problem, line)


class ConfigFileTests(FileCase):
    """The file that CONFIG_FILE names."""

    def test_read(self) -> None:
        """Comments, empty lines, `export`, quotes, a byte order mark and CR LF are understood."""
        path = self.write(
            "\ufeff# a comment\r\n"
            "\r\n"
            "  HTTP_ADDR = :9090\r\n"
            "export RTMP_ADDR=':9091'\n"
            'GCS_PROJECT_ID="a # b"\n'
            "GCS_BUCKET_NAME='\n"
            "CDN_BASE_URL=\n"
        )
        settings = load({"CONFIG_FILE": path})
        self.assertEqual((settings.http_addr, settings.rtmp_addr), (":9090", ":9091"))
        self.assertEqual(settings.gcs_project_id, "a # b")
        self.assertEqual(settings.gcs_bucket_name, "'")
        self.assertEqual(settings.cdn_base_url, "")
        self.assertEqual(settings.config_file, str(Path(path).absolute()))

    def test_precedence(self) -> None:
        """An option wins over the environment, that over the file, that over the default."""
        file = self.write("HLS_MAX_SEGMENTS=7\nSTREAM_GRACE=7s\nAMF_MAX_DEPTH=7")
        environ = {"CONFIG_FILE": file}
        environ |= {"HLS_MAX_SEGMENTS": "8", "STREAM_GRACE": "8s"}
        settings = load(environ, {"hls-max-segments": "9"})
        self.assertEqual(settings.hls_max_segments, 9)
        self.assertEqual(settings.stream_grace, 8.0)
        self.assertEqual(settings.amf_max_depth, 7)
        other = self.write("AMF_MAX_DEPTH=9")
        self.assertEqual(load(environ, {"config-file": other}).amf_max_depth, 9)

    def test_refused(self) -> None:
        """What is no setting, stands twice, or is no assignment is named by its line."""
        cases: list[tuple[str | bytes, str]] = [
            ("# x\nHTTP_PORT=80", "line 2: HTTP_PORT is no setting"),
            ("CONFIG_FILE=/x", "line 1: CONFIG_FILE is no setting that can stand here"),
            ("AMF_MAX_DEPTH=7\n\nAMF_MAX_DEPTH=7", "line 3: AMF_MAX_DEPTH stands here"),
            ("AMF_MAX_DEPTH", "line 1: must be NAME=value"),
            ("a-b=1", "line 1: must be NAME=value"),
            (b"\xff", "must be UTF-8"),
            ("#" * (MAX_SIZE + 1), "must not be larger"),
        ]
        for text, problem in cases:
            path = self.write(text)
            line = self.refusal({"CONFIG_FILE": path})
            self.assertTrue(line.startswith(f"CONFIG_FILE={path}: "), line)
            self.assertIn(problem, line)
        self.assertIn("cannot be read", self.refusal({"CONFIG_FILE": "/no/such/file"}))

    def test_wrong_value(self) -> None:
        """A value of the file is refused as one of the environment is."""
        line = self.refusal({"CONFIG_FILE": self.write("AMF_MAX_DEPTH=x")})
        self.assertTrue(line.startswith("AMF_MAX_DEPTH=x: must be "), line)


class ReloadTests(FileCase):
    """Reading again while the server runs."""

    def setUp(self) -> None:
        """Start with a file."""
        self.path = self.write("HLS_MAX_SEGMENTS=7\nLOG_LEVEL=info\nHTTP_ADDR=:9090\n")
        self.environ = {"CONFIG_FILE": self.path}
        self.settings = load(self.environ)

    def reload(self, text: str) -> tuple[Settings, list[str]]:
        """Change the file, and read again."""
        Path(self.path).write_text(text)
        return config.reload(self.settings, self.environ)

    def test_nothing_changed(self) -> None:
        """Read again, everything is as it was."""
        self.assertEqual(config.reload(self.settings, self.environ), (self.settings, []))

    def test_classes(self) -> None:
        """What may change does; what needs a restart is told, and keeps its value."""
        settings, lines = self.reload("HLS_MAX_SEGMENTS=8\nLOG_LEVEL=debug\nHTTP_ADDR=:9091\n")
        self.assertEqual(settings.hls_max_segments, 8)
        self.assertEqual(settings.log_level.default, "debug")
        self.assertEqual(settings.http_addr, ":9090")
        self.assertEqual(lines, ["HTTP_ADDR=:9091: needs a restart"])

    def test_removed(self) -> None:
        """A line that is gone gives the default back."""
        settings, lines = self.reload("HTTP_ADDR=:9090")
        self.assertEqual(settings.hls_max_segments, Settings().hls_max_segments)
        self.assertEqual(lines, [])

    def test_secret_file(self) -> None:
        """The content of a secret's file is read again, too."""
        secret = self.write(KEY)
        self.environ["API_KEYS_FILE"] = secret
        self.settings = load(self.environ)
        Path(secret).write_text(KEY + "2:read")
        settings, lines = config.reload(self.settings, self.environ)
        self.assertEqual(settings.api_keys, (APIKey(KEY + "2", frozenset({"read"})),))
        self.assertEqual(lines, [])

    def test_secret_is_not_told(self) -> None:
        """The line of a secret that needs a restart does not show it."""
        _, lines = self.reload(f"HTTP_ADDR=:9090\nWEBHOOK_SECRET={SECRET}")
        self.assertEqual(lines, ["WEBHOOK_SECRET=<set>: needs a restart"])

    def test_refused(self) -> None:
        """A wrong file raises, as at the start."""
        with self.assertRaises(SettingError):
            self.reload("HLS_MAX_SEGMENTS=1")

    def test_together_with_what_is_kept(self) -> None:
        """A change that does not go with a setting that stays is refused."""
        self.environ = {"CONFIG_FILE": self.path}
        Path(self.path).write_text(f"PLAYBACK_AUTH=true\nPLAYBACK_SECRET={SECRET}")
        self.settings = load(self.environ)
        with self.assertRaises(SettingError) as caught:
            self.reload("PLAYBACK_AUTH=false")
        self.assertIn("PLAYBACK_SECRET", str(caught.exception))

    def test_truth_of_the_table(self) -> None:
        """Addresses, places, hooks and switches of access need a restart; limits do not."""
        for row in TABLE:
            group_reloads = {"RTMP limits": True, "HTTP limits": True, "Webhooks": False}
            group_reloads |= {"Listeners": False, "TLS": True, "Storage": False}
            if row.name in ("STORAGE_MAX_WAITING", "MIN_FREE_DISK"):
                self.assertTrue(row.reload, row.name)
            elif row.group in group_reloads:
                self.assertEqual(row.reload, group_reloads[row.group], row.name)
        reloads = {row.name for row in TABLE if row.reload}
        self.assertLessEqual({"API_KEYS", "API_KEYS_FILE", "LOG_LEVEL", "DRAIN_TIMEOUT"}, reloads)
        self.assertEqual(reloads & {"AUTH_REQUIRED", "PLAYBACK_AUTH", "LOG_FORMAT"}, set())
